"""The house keeps its shape: imports point down, siblings do not know each other, rooms stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "arena"
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = {"data", "model", "loss", "metric", "optim"}
GROUND = {"core", "console", "types", "errors", "schema", "run", "hub", "heads", "diversity", "trial"}
LAYERS = {
    **{name: 0 for name in GROUND},
    **{name: 1 for name in PACKAGES},
    "task": 2,
    "diversity_task": 2,
    "callback": 2,
    "kinds": 1,
    "config": 2,
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
HYDRA_USERS = {"build.py", "config.py", "overrides.py", "space.py", "train.py"}
"""config.py is the part of the entry points that composes and checks; it is a room of its own because all need it."""

WANDB_USERS = {SOURCE / "callback" / "wandb.py"} | set((SOURCE / "tracking").glob("*.py"))
"""One file opens, writes and closes a run; the room beside it holds what only W&B shows: tables, curves, workspaces."""


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def rooms_used(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("arena.")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down_and_siblings_are_strangers(path):
    here = room(path)
    if here == "__init__":
        return
    for used in rooms_used(path) - {here}:
        assert used in LAYERS, f"{used} has no layer; add it to the picture of the house"
        assert LAYERS[used] <= LAYERS[here], f"{here} imports {used} from above"
        assert not (used in PACKAGES and here in PACKAGES), f"siblings: {here} imports {used}"
        assert here != "callback" or used not in PACKAGES, f"a callback imports {used}"
        assert here != "task" or used not in PACKAGES, f"the task imports {used}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_libraries_stay_in_their_rooms(path):
    tops = {name.split(".")[0] for name in imports(path)}
    assert "hydra" not in tops or path.name in HYDRA_USERS
    assert not ({"wandb", "wandb_workspaces"} & tops) or path in WANDB_USERS
    assert not ({"mlflow", "tensorboard"} & tops) or room(path) == "callback"
    assert not ({"matplotlib", "plotly", "seaborn"} & tops) or room(path) == "report"
    assert "pandas" not in tops
    assert "pickle" not in tops or path.name == "weights.py"  # for the name of the exception


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_rooms_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"
    if path.name == "__init__.py":
        assert not text.strip()


def test_entry_points_import_nothing_heavy_at_the_top():
    heavy = {"torch", "lightning", "transformers", "numpy", "pyarrow", "torchmetrics", "hydra"}
    for name in ("train.py", "build.py", "config.py", "record.py", "run.py", "schema.py", "errors.py", "hub.py"):
        body = ast.parse((SOURCE / name).read_text()).body
        tops = {alias.name.split(".")[0] for node in body if isinstance(node, ast.Import) for alias in node.names}
        tops |= {(node.module or "").split(".")[0] for node in body if isinstance(node, ast.ImportFrom)}
        assert not tops & heavy, name


def test_no_code_comes_from_data():
    """No pickle, eval or remote code anywhere in the source."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("eval", "exec", "pickle.load", "pickle.loads", "yaml.load"), f"{path}: {name}"
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
