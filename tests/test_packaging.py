"""What is shipped: pins within the ranges, a wheel that runs anywhere, files that name no machine."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROMISED = {
    "lightning", "hydra-core", "omegaconf", "torch", "transformers", "peft", "torchmetrics", "bitsandbytes", "wandb",
    "optuna",
}  # fmt: skip


def requirements(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by their canonical name."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def pins() -> dict[str, Requirement]:
    """The lines of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return requirements([line for line in lines if line and not line.startswith("#")])


def pinned_version(requirement: Requirement) -> Version:
    """The one version that a pin allows."""
    (specifier,) = requirement.specifier
    return Version(specifier.version)


DIRECT = requirements(PROJECT["dependencies"])
EXTRA = requirements([line for lines in PROJECT["optional-dependencies"].values() for line in lines])
PINS = pins()


def test_promised_packages_are_dependencies_and_not_extras():
    assert DIRECT.keys() >= PROMISED


@pytest.mark.parametrize("name", sorted(DIRECT | EXTRA))
def test_pin_lies_within_the_range(name):
    requirement = (DIRECT | EXTRA)[name]
    assert name in PINS, f"{name} is required but not pinned in constraints.txt"
    assert pinned_version(PINS[name]) in requirement.specifier


def test_pins_are_single_versions_that_resolve_everywhere():
    """`==`, no URL, no local part: torch==2.13.0 is met by 2.13.0+cpu and by every CUDA build, 2.13.0+cpu is not."""
    for pin in PINS.values():
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
        assert pin.url is None, pin
        assert pinned_version(pin).local is None, pin


def test_everything_that_gets_installed_is_pinned():
    """The requirements of the requirements, as far as they are installed here, to the last one."""
    waiting = [(name, extra) for name, r in (DIRECT | EXTRA).items() for extra in ("", *r.extras)]
    seen = set()
    while waiting:
        name, extra = waiting.pop()
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # an extra that is not installed here
            continue
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for required in map(Requirement, lines):
            if required.marker is None or required.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(required.name), more) for more in ("", *required.extras)]
    assert {name for name, _ in seen} <= PINS.keys()


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_malware_versions_of_lightning_are_excluded(version):
    """GHSA-w37p-236h-pfx3. lightning pulls in pytorch-lightning, which had the same versions, without a range."""
    assert version not in DIRECT["lightning"].specifier
    assert f"!={version}" in str(DIRECT["lightning"].specifier)
    assert str(pinned_version(PINS["pytorch-lightning"])) != version


def third_party_imports(folder: Path) -> set[str]:
    """Names of the distributions that the files of a folder import, the standard library and arena left out."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    names -= sys.stdlib_module_names | {"arena"}
    known = packages_distributions()
    return {canonicalize_name(known.get(name, [name])[0]) for name in names}


def test_everything_that_the_source_imports_is_declared():
    development = requirements(PROJECT["optional-dependencies"]["dev"]).keys()
    tests_only = {"jaxtyping"}  # arena.core.shapes imports it where the tests have
    assert third_party_imports(ROOT / "src") - tests_only <= DIRECT.keys() | (EXTRA.keys() - development)


def tracked_files() -> list[Path]:
    """Files under version control that hold text."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in files if path.is_file() and b"\0" not in path.read_bytes()]


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"(?<![\w.}>)])/(?:work|root|home|opt|mnt|tmp|Users|content)/\w", id="a path of one machine"),
        pytest.param(r"\bfile:/", id="a file URL"),
        pytest.param(r"https?://[^\s\"'>)]*(?:/simple|/whl|pythonhosted|registry)", id="a package index"),
        pytest.param(r"\b(?:hf|sk|ghp|pypi)[-_][A-Za-z0-9]{30,}", id="a secret"),
    ],
)
def test_no_tracked_file_names_a_machine(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continuation lines joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def test_image_runs_as_an_ordinary_user_on_pinned_packages():
    steps = instructions((ROOT / "Dockerfile").read_text())
    by_name = dict(steps)  # the last of each kind is the one that counts
    assert by_name["USER"] not in ("root", "0")
    assert json.loads(by_name["ENTRYPOINT"]) == ["python", "-m", "arena.train"]
    installs = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]
    assert installs
    assert all("PIP_CONSTRAINT=constraints.txt pip install" in rest for rest in installs)
    # No instruction after USER may need root again.
    assert [name for name, _ in steps].index("USER") > max(i for i, (name, _) in enumerate(steps) if name == "RUN")


def test_image_copies_files_that_exist_and_are_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name, rest in instructions((ROOT / "Dockerfile").read_text()):
        for source in rest.split()[:-1] if name == "COPY" else []:
            assert (ROOT / source).exists(), source
            assert f"!{source.removeprefix('./')}" in ignored, source


def test_ci_script_is_executable_bash():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_sweeps_have_a_folder_that_git_keeps_empty():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/multirun/*", "!/multirun/.gitkeep", "/outputs/"} <= set(ignored)
    assert (ROOT / "multirun" / ".gitkeep").is_file()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from this checkout without a network."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel: pip install '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("arena-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The Python of an empty environment that holds the wheel and borrows all other packages from this one.

    A path in a `.pth` file is searched, but the `.pth` files lying there are not obeyed: an editable install of arena
    in the lending environment stays out of sight.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (site,) = folder.glob("lib/python*/site-packages")
    lent = [path for path in sys.path if path.endswith("site-packages") and Path(path).is_dir()]
    (site / "lent.pth").write_text("\n".join(lent) + "\n")
    return python


def run_installed(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python ...` of the installed wheel in `folder`; nothing of this checkout is on its path."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "WANDB_API_KEY")}
    return subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_wheel_holds_the_package_with_its_configs_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    kinds = (".py", ".html", ".css", ".md")  # the code, and the templates of pages and cards
    source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*") if path.suffix in kinds}
    assert "arena/reporting/templates/page.html" in source
    configs = {f"arena/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert "arena/conf/train.yaml" in configs
    assert source | configs <= set(names)
    assert {name.split("/")[0] for name in names} <= {
        "arena",
        "hydra_plugins",
        wheel.name.rsplit("-", 3)[0] + ".dist-info",
    }
    assert not [name for name in names if "test" in name or "__pycache__" in name]


@pytest.mark.slow
def test_installed_wheel_helps_and_trains_in_an_empty_folder(installed, tmp_path):
    where = run_installed(installed, tmp_path, "-c", "import arena; print(arena.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed.parents[1])

    helped = run_installed(installed, tmp_path, "-m", "arena.train", "--help")
    assert helped.returncode == 0, helped.stderr
    assert "tiny" in helped.stdout
    assert not list(tmp_path.iterdir()), "help leaves nothing behind"

    trained = run_installed(installed, tmp_path, "-m", "arena.train", "trainer.max_steps=2")
    assert trained.returncode == 0, trained.stderr
    (result,) = tmp_path.glob("outputs/*/*/result.json")
    assert json.loads(result.read_text())["status"] == "completed"
