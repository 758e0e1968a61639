"""The house keeps its shape: imports point down, siblings do not know each other, rooms stay small."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "arena"
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = {"data", "model", "loss", "metric", "optim"}
GROUND = {"core", "console", "types", "errors", "schema", "run", "hub", "heads", "diversity", "trial"}
LAYERS = {
    **{name: 0 for name in GROUND},
    "stats": 0,  # imports nothing of arena, see below
    **{name: 1 for name in PACKAGES},
    "task": 2,
    "diversity_task": 2,
    "callback": 2,
    "kinds": 1,
    "config": 2,
    "stored": 2,
    "resume": 4,
    "overrides": 1,
    "resolvers": 2,
    "build": 3,
    "judge": 3,
    "reference": 3,
    "calibration": 3,
    "record": 3,
    "weights": 3,
    "show": 3,
    "aims": 3,
    "tables": 4,
    "judging": 5,
    "sweep": 5,
    "restore": 4,
    "ensemble": 4,
    "generation": 4,
    "report": 4,
    "tracking": 4,
    "comparison": 4,
    "train": 6,
    "evaluate": 6,
    "predict": 5,
    "average": 5,
    "calibrate": 5,
    "explore": 5,
    "export": 5,
    "baseline": 5,
    "wandb_sync": 5,
    "dashboard": 5,
    "compare": 5,
}
HYDRA_USERS = {"config.py", "overrides.py", "space.py", "train.py"}
"""config.py is the part of the entry points that composes and checks; it is a room of its own because all need it."""

WANDB_USERS = {SOURCE / "callback" / "wandb.py"} | set((SOURCE / "tracking").glob("*.py"))
"""One file opens, writes and closes a run; the room beside it holds what only W&B shows: tables, curves, workspaces."""


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


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def rooms_used(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("arena.")}


def import_faults(path: Path) -> Iterator[str]:
    """What the layers forbid of the imports of one file."""
    here = room(path)
    if here == "__init__":
        return
    if here == "stats" and rooms_used(path) - {here}:
        yield "the floor of statistics imports something of arena"
    for used in rooms_used(path) - {here}:
        if used not in LAYERS:
            yield f"{used} has no layer; add it to the picture of the house"
        elif LAYERS[used] > LAYERS[here]:
            yield f"{here} imports {used} from above"
        if used in PACKAGES and here in PACKAGES:
            yield f"siblings: {here} imports {used}"
        if used in PACKAGES and here in ("callback", "task"):
            yield f"{here} imports {used}"


def library_faults(path: Path) -> Iterator[str]:
    """Libraries that one file imports and another place is for."""
    tops = {name.split(".")[0] for name in imports(path)}
    allowed = {
        "hydra": path.name in HYDRA_USERS,
        "wandb": path in WANDB_USERS,
        "wandb_workspaces": path in WANDB_USERS,
        "mlflow": room(path) == "callback",
        "tensorboard": room(path) == "callback",
        "matplotlib": room(path) == "report",
        "plotly": False,
        "seaborn": False,
        "pandas": False,
        "pickle": path.name == "weights.py",  # for the name of the exception
    }
    if room(path) == "stats":
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
    if path.name == "__init__.py" and text.strip():
        yield "code in __init__.py"


@pytest.mark.parametrize("faults", [import_faults, library_faults, size_faults], ids=lambda f: f.__name__)
def test_every_file_keeps_the_rules(faults):
    """Imports point down and siblings do not know each other; libraries have one place; files stay small."""
    assert [f"{path.relative_to(SOURCE)}: {fault}" for path in FILES for fault in faults(path)] == []


def test_every_module_has_a_user():
    """A module is imported by another one, named by a YAML or a path in the source, or started as a command."""
    named = "".join(path.read_text() for path in (ROOT / "conf").rglob("*.yaml"))
    plugins = ROOT / "src" / "hydra_plugins"
    used = set().union(*(imports(path) for path in [*FILES, *plugins.rglob("*.py")]))
    alone = []
    for path in FILES:
        module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        command = path.name in ("__init__.py", "__main__.py") or '__name__ == "__main__"' in path.read_text()
        if not command and module not in used and f"{module}." not in named:
            alone.append(module)
    assert alone == []


def test_every_public_function_has_a_user():
    """Public functions and classes that only tests call are dead: each name occurs a second time outside the tests."""
    places = [path for folder in ("src", "conf", "benchmarks") for path in sorted((ROOT / folder).rglob("*"))]
    words = Counter(
        word for path in places if path.suffix in (".py", ".yaml") for word in re.findall(r"\w+", path.read_text())
    )
    dead = [
        f"{path.relative_to(SOURCE)}: {node.name}"
        for path in FILES
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and words[node.name] < 2
    ]
    assert dead == []


def test_entry_points_import_nothing_heavy_at_the_top():
    heavy = {"torch", "lightning", "transformers", "numpy", "pyarrow", "torchmetrics", "hydra"}
    for name in ("train.py", "build.py", "config.py", "record.py", "run.py", "schema.py", "errors.py", "hub.py"):
        body = ast.parse((SOURCE / name).read_text()).body
        tops = {alias.name.split(".")[0] for node in body if isinstance(node, ast.Import) for alias in node.names}
        tops |= {(node.module or "").split(".")[0] for node in body if isinstance(node, ast.ImportFrom)}
        assert not tops & heavy, name


def test_no_code_comes_from_data():
    """No pickle, eval or remote code anywhere in the source; one place reads YAML, one builds what it names."""
    yaml = {"yaml.load", "yaml.safe_load", "OmegaConf.load", "OmegaConf.unsafe_merge"}
    importing = {"core/construct.py", "generation/function.py", "optim/base.py"}
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
    assert groups >= PACKAGES | {"callback", "trainer", "logger", "experiment", "debug"}
    for group in PACKAGES | {"callback"}:
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            for line in path.read_text().splitlines():
                target = line.partition("_target_:")[2].split(",")[0].split("}")[0].strip()
                if target.startswith("arena."):
                    # A model brings its tokenizer, an optimiser that averages the callback that shows the average.
                    # A language model brings its judge, a diversity term the task that samples and its watcher.
                    besides = {
                        "model": ("arena.data.tokenizer.", "arena.judging."),
                        "optim": ("arena.callback.averaging.",),
                        "loss": ("arena.diversity_task.", "arena.callback.diversity."),
                    }
                    allowed = (f"arena.{group}.", *besides.get(group, ()))
                    assert target.startswith(allowed), f"{path}: {target}"


def test_experiments_only_choose_and_set():
    for path in (ROOT / "conf" / "experiment").glob("*.yaml"):
        assert "_target_" not in path.read_text(), path
