"""Pages can be read where they lie (links between files) and as a site that needs no network."""

import os
import re
import subprocess
import sys

import pytest
from pages import PAGES, ROOT

LINK = re.compile(r"\[[^][]*\]\(([^()\s]+)\)")
EXTERNAL = re.compile(r"""(?:\bsrc=|<link[^>]*\bhref=|@import\s|url\()\s*["']?(?:https?:)?//[^"')\s]+""")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in LINK.findall(text) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_the_first_page_is_short():
    assert (ROOT / "README.md").read_text().count("\n") <= 120


@pytest.mark.slow
def test_the_site_builds_and_needs_no_network(tmp_path):
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {name: found for name, text in pages.items() if (found := EXTERNAL.findall(text))} == {}
    styles = [path.read_text() for path in tmp_path.rglob("*.css")]
    assert [found for text in styles for found in EXTERNAL.findall(text)] == []
    assert "loss.gamma" in pages["reference/config/loss.html"]
    assert "data.max_length" in pages["reference/config/data.html"]
    assert "E_LABEL_SUM" in pages["reference/reason_codes.html"]
    assert ">143<" in pages["reference/exit_codes.html"]
    for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"):
        assert f"{path.stem}.html" in pages["adr/index.html"], path
