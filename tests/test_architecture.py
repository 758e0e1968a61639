"""The house keeps its shape: imports point down, siblings do not know each other, rooms stay small."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "arena"
FILES = sorted(SOURCE.rglob("*.py"))
SIBLINGS = {"data", "model", "loss", "metric", "optim", "logger"}
COMMANDS = 6
LAYERS = {
    "stats": 0,
    "core": 1,
    "diversity": 1,  # measures of texts, which a loss and a checker of replies stand on as well
    **{name: 2 for name in SIBLINGS},
    "task": 3,
    "callback": 3,
    "config": 4,
    "evaluation": 5,
    "inference": 5,
    "sweep": 5,
    "reporting": 5,
}
"""A package imports from its own layer and below; what is no package is a command."""
HYDRA_USERS = {"completion.py", "compose.py", "overrides.py", "space.py", "train.py"}

WANDB_USERS = {SOURCE / "logger" / "wandb.py", SOURCE / "reporting" / "wandb_tables.py"}
"""One file opens, writes and closes a run, the other holds what only W&B shows: tables and pictures."""


@cache
def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def package(path: Path) -> str:
    """The package of a file; empty for a command."""
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else ""


def packages_used(path: Path) -> set[str]:
    """The packages that a file imports from; empty for a command."""
    commands = {each.stem for each in SOURCE.glob("*.py")}
    names = {name.split(".")[1] for name in imports(path) if name.startswith("arena.")}
    return {"" if name in commands else name for name in names}


def import_faults(path: Path) -> Iterator[str]:
    """What the layers forbid of the imports of one file."""
    here = package(path)
    if here == "stats" and packages_used(path) - {here}:
        yield "the floor of statistics imports something of arena"
    for used in packages_used(path) - {here}:
        if used and used not in LAYERS:
            yield f"{used} has no layer; add it to the picture of the house"
        elif LAYERS.get(used, COMMANDS) > LAYERS.get(here, COMMANDS):
            yield f"{here} imports {used or 'a command'} from above"
        if used in SIBLINGS and here in SIBLINGS:
            yield f"siblings: {here} imports {used}"
        if used in SIBLINGS and here == "callback":
            yield f"{here} imports {used}"


def library_faults(path: Path) -> Iterator[str]:
    """Libraries that one file imports and another place is for."""
    tops = {name.split(".")[0] for name in imports(path)}
    allowed = {
        "hydra": path.name in HYDRA_USERS,
        "wandb": path in WANDB_USERS,
        "mlflow": False,
        "tensorboard": False,
        "matplotlib": package(path) == "reporting",
        "plotly": False,
        "seaborn": False,
        "pandas": False,
        "pickle": path.name == "weights.py",  # for the name of the exception
    }
    if package(path) == "stats":
        allowed |= {name: name in {*sys.stdlib_module_names, "numpy", "scipy", "arena"} for name in tops}
    yield from (f"imports {name}" for name in sorted(tops) if not allowed.get(name, True))


def size_faults(path: Path) -> Iterator[str]:
    """Files and functions that are too long, and packages with code in `__init__.py`."""
    text = path.read_text()
    if text.count("\n") > 300:
        yield "more than 300 lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60:
            yield f"{node.name} is too long"
    if path.name == "__init__.py" and text.strip() and path.parent != SOURCE:
        yield "code in __init__.py"


@pytest.mark.parametrize("faults", [import_faults, library_faults, size_faults], ids=lambda f: f.__name__)
def test_every_file_keeps_the_rules(faults):
    """Imports point down and siblings do not know each other; libraries have one place; files stay small."""
    assert [f"{path.relative_to(SOURCE)}: {fault}" for path in FILES for fault in faults(path)] == []
    if faults is import_faults:  # here, as the files are parsed in this process already
        modules = {module_of(path): path for path in FILES}
        graph = {name: {used for used in imports(path) if used in modules} - {name} for name, path in modules.items()}
        TopologicalSorter(graph).prepare()  # names a circle of files, also within a package and inside functions


def test_the_top_holds_only_commands():
    for path in set(SOURCE.glob("*.py")) - {SOURCE / "__init__.py"}:
        assert '__name__ == "__main__"' in path.read_text(), path


def test_every_module_has_a_user():
    """A module is imported by another one, named by a YAML or a path in the source, or started as a command."""
    named = "".join(path.read_text() for path in (ROOT / "conf").rglob("*.yaml"))
    plugins = ROOT / "src" / "hydra_plugins"
    used = set().union(*(imports(path) for path in [*FILES, *plugins.rglob("*.py")]))
    alone = []
    for path in FILES:
        module = module_of(path)
        command = path.name in ("__init__.py", "__main__.py") or '__name__ == "__main__"' in path.read_text()
        if not command and module not in used and f"{module}." not in named:
            alone.append(module)
    assert alone == []


def test_every_public_function_has_a_user():
    """Public functions and classes that only tests call are dead: each name occurs a second time outside the tests."""
    places = [path for folder in ("src", "conf", "benchmarks", "docs") for path in sorted((ROOT / folder).rglob("*"))]
    words = Counter(
        word for path in places if path.suffix in (".py", ".yaml") for word in re.findall(r"\w+", path.read_text())
    )
    dead = [
        f"{path.relative_to(SOURCE)}: {node.name}"
        for path in FILES
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and words[node.name] < 2 and node.name[:2] != "__"
    ]
    assert dead == []


def test_entry_points_import_nothing_heavy_at_the_top():
    heavy = {"torch", "lightning", "transformers", "numpy", "pyarrow", "torchmetrics", "hydra"}
    names = ("record", "run", "schema", "errors", "hub")
    for name in ("train.py", "config/build.py", "config/compose.py", *(f"core/{name}.py" for name in names)):
        body = ast.parse((SOURCE / name).read_text()).body
        tops = {alias.name.split(".")[0] for node in body if isinstance(node, ast.Import) for alias in node.names}
        tops |= {(node.module or "").split(".")[0] for node in body if isinstance(node, ast.ImportFrom)}
        assert not tops & heavy, name


def test_no_code_comes_from_data():
    """No pickle, eval or remote code anywhere in the source; one place reads YAML, one builds what it names."""
    yaml = {"yaml.load", "yaml.safe_load", "OmegaConf.load", "OmegaConf.unsafe_merge"}
    importing = {"__init__.py", "core/construct.py", "evaluation/generation/function.py", "optim/optional.py"}
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in {"eval", "exec", "pickle.load", "pickle.loads"} | yaml, f"{path}: {name}"
                assert name != "importlib.import_module" or str(path.relative_to(SOURCE)) in importing, path
                for keyword in node.keywords:
                    value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                    assert keyword.arg != "trust_remote_code" or value is False, path
                    assert keyword.arg != "weights_only" or name != "torch.load" or value is True, path


def test_conf_mirrors_the_packages():
    """Every group that builds arena's own parts has the package's name, and its targets lie in that package."""
    groups = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()}
    assert groups >= SIBLINGS | {"callback", "trainer", "experiment", "debug"}
    for group in SIBLINGS | {"callback"}:
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            for line in path.read_text().splitlines():
                target = line.partition("_target_:")[2].split(",")[0].split("}")[0].strip()
                if target.startswith("arena."):
                    # A model brings its tokenizer, an optimiser that averages the callback that shows the average.
                    # A language model brings its judge, a diversity term the task that samples and its watcher.
                    besides = {
                        "model": ("arena.data.text.tokenizer.", "arena.evaluation."),
                        "optim": ("arena.callback.averaging.",),
                        "loss": ("arena.task.sampling.", "arena.callback.diagnostics."),
                    }
                    allowed = (f"arena.{group}.", *besides.get(group, ()))
                    assert target.startswith(allowed), f"{path}: {target}"


def test_the_page_about_the_house_names_files_that_there_are():
    text = (ROOT / "docs" / "development" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text)) - {
        "tests/test_architecture.py",
        "tests/outside/test_rating.py",
    }
    assert len(named) > 15
    for name in named:
        assert any((SOURCE / above / name).is_file() for above in ("", "data")), name


def test_arena_does_not_know_the_task_that_is_an_example():
    known = [path for path in FILES if re.search(r"\brating\.[a-z]|task=rating", path.read_text())]
    assert known == []


def test_experiments_only_choose_and_set():
    for path in (ROOT / "conf" / "experiment").glob("*.yaml"):
        assert "_target_" not in path.read_text(), path
