"""Pages of the site that are generated when it is built: lists, configuration keys, commands, codes, API.

mkdocs calls `on_config`, `on_files` and `on_page_markdown`. Everything comes from the code of the day: a new decision,
option, command or module needs no change here.
"""

import ast
import html
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS, CONF, SOURCE = ROOT / "docs", ROOT / "conf", ROOT / "src" / "arena"
CONFIG, API = "reference/config", "reference/api"


# --- what mkdocs calls ------------------------------------------------------------------------------------------------


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill `FOLDER/*` in the navigation with the pages of that folder, generated ones included."""
    config.nav = _filled(config.nav or [], generated_pages())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, text in generated_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Add lists to the pages that introduce them, and point links out of docs/ at the names of the files."""
    name = page.file.src_uri
    if name == "adr/index.md":
        markdown += "\n" + "".join(f"- [{title(path)}]({path.name})\n" for path in decisions())
    if name == "reference/index.md":
        markdown += "\n" + "".join(f"- [{heading(text)}]({path.removeprefix('reference/')})\n"
                                   for path, text in generated_pages().items() if "/api/" not in path)  # fmt: skip
    if name == "reference/python.md":
        markdown += "".join(f"\n::: {each}\n    options: {{heading_level: 2}}\n" for each in public_functions())
    return markdown


def public_functions() -> list[str]:
    """Where the names of `arena` itself are defined."""
    nodes = [
        node for node in ast.walk(ast.parse((SOURCE / "__init__.py").read_text())) if isinstance(node, ast.ImportFrom)
    ]
    return [
        f"{node.module}.{each.name}" for node in nodes for each in node.names if str(node.module).startswith("arena.")
    ]


def _filled(nav: list, generated: dict[str, str]) -> list:
    filled = []
    for entry in nav:
        if isinstance(entry, dict):
            filled.append({name: _filled(each, generated) if isinstance(each, list) else each
                           for name, each in entry.items()})  # fmt: skip
        elif entry.endswith("/*"):
            folder = entry.removesuffix("*")
            written = {f"{folder}{path.name}": title(path) for path in sorted((DOCS / folder).glob("*.md"))}
            made = {path: heading(text) for path, text in generated.items() if path.startswith(folder)}
            filled += [{name: path} for path, name in (written | made).items() if path != "adr/index.md"]
        else:
            filled.append(entry)
    return filled


def heading(text: str) -> str:
    """The first heading of a page, as plain text."""
    return next(line for line in text.splitlines() if line.startswith("# "))[2:].replace("`", "")


def title(path: Path) -> str:
    """The title of a written page."""
    return heading(path.read_text())


def decisions() -> list[Path]:
    """The pages of decisions, oldest first."""
    return sorted((DOCS / "adr").glob("[0-9]*.md"))


@cache
def generated_pages() -> dict[str, str]:
    """Name and Markdown of every generated page."""
    sys.path.insert(0, str(ROOT / "src"))
    pages = {"reference/commands.md": commands_page()} | config_pages()
    pages |= {"reference/exit_codes.md": exit_codes_page(), "reference/reason_codes.md": reason_codes_page()}
    return pages | api_pages()


# --- commands and codes -----------------------------------------------------------------------------------------------


def commands() -> list[str]:
    """The commands, training first."""
    names = sorted(path.stem for path in SOURCE.glob("[a-z]*.py"))
    return sorted(names, key=lambda name: name != "train")


def help_of(command: str) -> str:
    """What `python -m arena.COMMAND --help` prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"}
    call = [sys.executable, "-m", f"arena.{command}", "--help"]
    done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commands_page() -> str:
    """One section for each command: its help text."""
    with ThreadPoolExecutor(4) as pool:
        texts = dict(zip(commands(), pool.map(help_of, commands()), strict=True))
    sections = "".join(f"\n## arena.{name}\n\n```text\n{text}\n```\n" for name, text in texts.items())
    return f"# Commands\n\nWhat each command prints for `--help`, taken when this page was built.\n{sections}"


def exit_codes_page() -> str:
    """The exit codes of the error classes, and of the two signals."""
    errors = import_module("arena.core.errors")
    found = {0: "Success."} | {each.code: each.__doc__ for each in _subclasses(errors.ArenaError)}
    found[1] = "Anything else; the traceback is in the run's `run.log`."
    found |= {128 + signal.SIGINT: "Stopped by Ctrl-C.", 128 + signal.SIGTERM: "Stopped by SIGTERM."}
    rows = "".join(f"| {code} | {_cell(first_line(found[code]))} |\n" for code in sorted(found))
    return (
        "# Exit codes\n\nOne line on stderr says what went wrong and what to do. `ARENA_TRACEBACK=1` shows the "
        f"traceback as well.\n\n| code | meaning |\n|---|---|\n{rows}"
    )


def _subclasses(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def reason_codes_page() -> str:
    """The codes with which reading data accounts for rows."""
    found: dict[str, str] = {}
    for path in sorted((SOURCE / "data" / "source").glob("*.py")):
        names = {node.targets[0].id for node in ast.parse(path.read_text()).body
                 if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}  # fmt: skip
        if "CODES" in names:
            found |= import_module(f"arena.data.source.{path.stem}").CODES
    assert found, "no table CODES in arena.data.source"
    rows = "".join(f"| `{code}` | {_cell(text)} |\n" for code, text in found.items())
    return (
        "# Reason codes\n\nEvery row of a data file is kept, rejected or merged. `E_` codes: the record is not used, "
        "and stops the run unless `data.on_bad_row=quarantine`. `W_` codes: the row is used and counted.\n\n"
        f"| code | meaning |\n|---|---|\n{rows}"
    )


# --- configuration keys -----------------------------------------------------------------------------------------------

HIDDEN = {"defaults", "_target_", "_partial_", "_convert_"}


def config_pages() -> dict[str, str]:
    """`conf/train.yaml`, and one page for each group with a section for each of its choices."""
    pages = {f"{CONFIG}/train.md": "# Keys of all runs\n\n" + _choice(CONF / "train.yaml", "", level=0)}
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"):
        files = sorted(folder.glob("*.yaml"), key=lambda path: (path.stem.startswith("_"), path.stem))
        chosen = ", ".join(f"[{path.stem}](#{_slug(path.stem)})" for path in files if not path.stem.startswith("_"))
        sections = "".join(_choice(path, folder.name, level=2) for path in files)
        name = folder.name
        sections += _settings(SOURCE / "sweep" / "settings.py") if name == "sweep" else ""
        pages[f"{CONFIG}/{name}.md"] = f"# {name}\n\n`{name}=` {chosen}\n\n{sections}"
    return pages


def _choice(path: Path, group: str, level: int) -> str:
    text = path.read_text()
    head = re.split(r"^(?!#)", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line[2:] for line in head.splitlines() if not line.startswith("# @package")]
    parts = [f"{'#' * level} {path.stem} {{#{_slug(path.stem)}}}"] if level else []
    if path.stem.startswith("_"):
        parts.append("Shared by the choices above; not a choice itself.")
    if any(line.startswith(("  ", "Why:")) for line in lines):
        parts.append("```text\n" + "\n".join(lines) + "\n```")
    elif lines:
        parts.append(_cell(" ".join(lines)))
    node = yaml.compose(text)
    values = yaml.safe_load(text) or {}
    if group and isinstance(values, dict):
        brought = [_brought(each) for each in values.get("defaults", [])]
        if brought := [each for each in brought if each]:
            parts.append("Takes " + ", ".join(brought) + ".")
    package = re.search(r"^# @package (\S+)", head, re.MULTILINE)
    place = package[1] if package else group
    prefix = "" if place in ("", "_global_") else f"{place}."
    rows = list(_rows(node, text, prefix)) if isinstance(node, yaml.MappingNode) else []
    if rows:
        table = "".join(f"| `{key}` | {f'`{value}`' if value else ''} | {_cell(said)} |\n" for key, value, said in rows)
        parts.append(f"| key | default | |\n|---|---|---|\n{table}".rstrip())
    return "\n\n".join(parts) + "\n\n"


def _settings(path: Path) -> str:
    """The keys of `hydra.sweeper`, which stand in a dataclass and not in a YAML file."""
    if not path.is_file():
        return ""
    text = path.read_text()
    lines, rows = text.splitlines(), ""
    for node in (each for kind in ast.parse(text).body if isinstance(kind, ast.ClassDef) for each in kind.body):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            said = lines[node.lineno - 1].partition("  # ")[2] or lines[node.lineno - 2].strip().removeprefix("# ")
            made = re.search(r"lambda: (.*)\)$", ast.unparse(node.value))
            default = made[1] if made else ast.unparse(node.value).replace("field(default_factory=list)", "[]")
            rows += f"| `hydra.sweeper.{ast.unparse(node.target)}` | `{default}` | {_cell(said)} |\n"
    return f"## hydra.sweeper\n\nOf every search (`hydra/sweeper=arena`).\n\n| key | default | |\n|---|---|---|\n{rows}"


def _brought(entry: str | dict) -> str:
    """What an entry of a defaults list means to a reader; empty for `_self_`."""
    if isinstance(entry, str):
        name = entry.removeprefix("/")
        return "" if entry == "_self_" else f"the keys of [{name}](#{_slug(name)})" if "/" not in name else f"`{name}`"
    (group, choice), = entry.items()  # fmt: skip
    return f"`{group.removeprefix('override ').removeprefix('/')}={choice}`"


def _rows(node: yaml.MappingNode, text: str, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and comment of every value in a file; a block of keys has a row where it has a comment."""
    from arena.core.data_keys import as_typed

    lines = text.splitlines()
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if key.value in HIDDEN or name == "hydra.help":
            continue
        block = isinstance(value, yaml.MappingNode) and not value.flow_style
        end = key.end_mark if block else value.end_mark
        rest = lines[end.line][end.column :] if end.line < len(lines) else ""
        said = _comment(rest.lstrip(": "), lines[end.line + 1 :], key.start_mark.column)
        if block:
            if said:
                yield as_typed(name), "", said
            yield from _rows(value, text, f"{name}.")
        else:
            raw = text[value.start_mark.index : value.end_mark.index]
            yield as_typed(name), " ".join(raw.split()), said


def _comment(rest: str, below: list[str], column: int) -> str:
    """The comment behind a value, with the lines below that go on with it."""
    if not rest.startswith("#"):
        return ""
    said = [rest[1:].strip()]
    for line in below:
        stripped = line.lstrip()
        if not stripped.startswith("#") or len(line) - len(stripped) <= column:
            break
        said.append(stripped[1:].strip())
    return " ".join(said)


def _slug(name: str) -> str:
    return "choice-" + name.replace(".", "-").replace("_", "-")


def _cell(text: str) -> str:
    """Plain text for a cell of a table, with what is typed in code."""
    text = html.escape(text, quote=False).replace("|", "\\|").replace("*", "\\*").replace("[", "\\[")
    return text.replace("_", "\\_")


# --- API --------------------------------------------------------------------------------------------------------------


def api_pages() -> dict[str, str]:
    """One page for each package of `src/arena`, with all of its modules that have public names."""
    pages = {}
    for folder in sorted(path for path in SOURCE.iterdir() if (path / "__init__.py").is_file()):
        modules = [path for path in sorted(folder.rglob("*.py")) if path.name != "__init__.py" and _public(path)]
        names = [".".join(path.relative_to(SOURCE.parent).with_suffix("").parts) for path in modules]
        sections = "".join(
            f"\n## {name}\n\n::: {name}\n    options: {{show_root_heading: false, show_root_toc_entry: false}}\n"
            for name in names
        )
        pages[f"{API}/{folder.name}.md"] = f"# arena.{folder.name}\n{sections}"
    return pages


def _public(path: Path) -> bool:
    kinds = ast.ClassDef, ast.FunctionDef
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in ast.parse(path.read_text()).body)


def first_line(text: str | None) -> str:
    """The first line of a docstring."""
    return (text or "").strip().splitlines()[0]
