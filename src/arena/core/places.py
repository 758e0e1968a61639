"""Kinds of classes that each place of a configuration takes.

A YAML file is data, and data must not call `os.system` or `torch.load`: a place takes classes of its own kind from the
packages that define this kind, and never a function. Packages of a user's own are trusted by name, on the command line
(`trusted_packages=[mine]`); their classes must be of the place's kind too. All of it is read from source files, so
nothing is imported before it is allowed.
"""

import ast
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from arena.core import signatures
from arena.core.closest import closest
from arena.core.errors import UsageError


class NotTrustedError(UsageError):
    """A class of the right kind, from a package that the command line does not name."""


@dataclass(frozen=True)
class Stored:
    """Origin of a configuration that was not typed: a run folder, perhaps somebody else's.

    Attributes:
        folder: the run folder; the configuration may write only there.
        given: keys that the command line replaces, and may choose freely.
    """

    folder: Path
    given: frozenset[str] = frozenset()

    def holds(self, key: str) -> bool:
        """Test whether a key has its value from the stored configuration."""
        return not any(key == each or key.startswith(f"{each}.") for each in self.given)


@dataclass(frozen=True)
class Kind:
    """Classes that can do a job.

    Attributes:
        name: of the job, with its article.
        homes: packages and modules that define such classes.
        base: their base class; None where having the members is enough.
        members: required methods and attributes.
        partial: `_partial_` may be given, for what is made later or several times.
        optional: values without a class may stand there too.
    """

    name: str
    homes: tuple[str, ...]
    base: str | None = None
    members: tuple[str, ...] = ()
    partial: bool = False
    optional: bool = False

    def lacks(self, target: str) -> str | None:
        """Describe what keeps a class from being of this kind; None where it is."""
        found = signatures.definition(target)
        if found is not None and isinstance(found[0], ast.FunctionDef):
            return f"it is a function, and {self.name} is needed"
        if self.base is not None and self.base not in signatures.ancestors(target):
            return f"{self.name} is a subclass of {self.base}"
        missing = set(self.members) - signatures.members(target) if self.members else set()
        return f"{self.name} has {', '.join(sorted(missing))}" if missing else None


LIGHTNING = "lightning.pytorch."
TOKENIZER = Kind("a tokenizer", ("arena.data.text.tokenizer.",), members=("encode", "decode", "save", "conversation"))
SCORE = Kind("a diversity score", ("arena.diversity.scores.",), members=("many",))
ENCODER = Kind("a text encoder", ("arena.diversity.encoder.",), members=("encode",))
HEAD_LOSS = Kind("a loss", ("arena.loss.",), "arena.loss.base.Loss", partial=True)
PARTS = {
    "split": ("hold_outs", "check"),
    "ingest": ("on_bad_row", "rejects"),
    "truncation": ("max_length",),
    "target": ("select", "build", "offsets"),
    "pseudo": ("predictions", "confidence"),
    "sampling": ("sampler", "check"),
    "loader": ("batch_size", "eval_batch_size"),
}
"""What the program asks of the parts of a data module."""
READERS = tuple(f"arena.data.source.{name}." for name in ("pairs", "toy", "toy_replies", "head_reader", "reply_reader"))

PLACES = {
    "model": Kind("a model", ("arena.model.",), "torch.nn.Module", ("forward", "init_from_class_prior")),
    "model.adapter": Kind("an adapter", ("arena.model.adapter.",), "arena.model.adapter.Adapter"),
    "model.head": Kind("settings of a head", ("arena.model.heads.",), "arena.model.heads.HeadSettings"),
    "loss": Kind("a loss", ("arena.loss.",), "torch.nn.Module", ("forward", "per_example_outputs", "predict")),
    "loss.head": HEAD_LOSS,
    "loss.overrides.*": replace(HEAD_LOSS, optional=True),
    "loss.score": SCORE,
    "loss.score.score": SCORE,
    "loss.score.encoder": ENCODER,
    "loss.score.score.encoder": ENCODER,
    "loss.reward": Kind(
        "a checker of replies", ("arena.evaluation.generation.checkers.",), members=("check", "check_all")
    ),
    "metric": Kind(
        "a set of metrics", ("arena.metric.",), "torch.nn.Module", members=("required_outputs", "update", "compute")
    ),
    "metric.metrics.*": Kind(
        "a metric", ("arena.metric.", "torchmetrics."), "torchmetrics.metric.Metric", partial=True
    ),
    "schedule": Kind("a schedule", ("arena.optim.",), "arena.optim.schedule.Schedule"),
    "optim": Kind("an optimiser", ("arena.optim.",), "arena.optim.base.OptimizerFactory"),
    "data": Kind("a data module", ("arena.data.",), f"{LIGHTNING}core.datamodule.LightningDataModule"),
    "data.reader": Kind("a reader", READERS, members=("__call__",)),
    "data.tokenizer": TOKENIZER,
    **{f"data.{name}": Kind(f"the node data.{name}", ("arena.data.",), members=found) for name, found in PARTS.items()},
    "tokenizer": TOKENIZER,
    "evaluator": Kind("an evaluator", ("arena.evaluation.",), members=("evaluate", "write", "show", "generations")),
    "task": Kind("a kind of task", ("arena.task.",), "arena.task.kind.TaskKind"),
    "task.module": Kind("a task", ("arena.task.",), "arena.task.module.Task", partial=True),
    "callback.*": Kind(
        "a callback", ("arena.callback.", f"{LIGHTNING}callbacks."), f"{LIGHTNING}callbacks.callback.Callback"
    ),
    "logger.*": Kind("a logger", ("arena.logger.", f"{LIGHTNING}loggers."), f"{LIGHTNING}loggers.logger.Logger"),
    "trainer": Kind("a trainer", (f"{LIGHTNING}trainer.trainer.",), f"{LIGHTNING}trainer.trainer.Trainer"),
    "trainer.profiler": Kind("a profiler", (f"{LIGHTNING}profilers.",), f"{LIGHTNING}profilers.profiler.Profiler"),
    "trainer.strategy": Kind("a strategy", (f"{LIGHTNING}strategies.",), f"{LIGHTNING}strategies.strategy.Strategy"),
}  # fmt: skip
PLACES |= {"adapter": PLACES["model.adapter"], "head": PLACES["model.head"]}

OWN = ("arena", "hydra_plugins", "lightning", "torch", "torchmetrics")
HARMLESS = (
    *("arena.", "torchmetrics.classification.", f"{LIGHTNING}trainer.", f"{LIGHTNING}strategies."),
    *(f"{LIGHTNING}profilers.{name}." for name in ("simple", "advanced")),
    *(
        f"{LIGHTNING}callbacks.{name}."
        for name in ("early_stopping", "lr_monitor", "timer", "weight_averaging", "gradient_accumulation_scheduler")
    ),
    f"{LIGHTNING}loggers.tensorboard.",
)
"""Modules whose classes also a stored configuration may name: they load no files and write none outside of the run."""


def kind_of(key: str) -> Kind | None:
    """Return the kind of class that a place takes; None where no class can stand."""
    return next((kind for pattern, kind in PLACES.items() if _matches(key, pattern)), None)


def require(
    target: object, key: str, trusted: Collection[str] = (), stored: Stored | None = None, part: bool = False
) -> Kind | None:
    """Require a class that may stand at a place; returns the kind of the place, raises UsageError.

    Args:
        target: value of `_target_`.
        key: the place.
        trusted: top-level packages that the command line names.
        stored: the run folder that the configuration comes from; None for one that was typed.
        part: the place is an argument of a class of a trusted package, of which nothing is known (returns None).
    """
    kind = kind_of(key)
    name = target if isinstance(target, str) else ""
    package = name.partition(".")[0]
    if kind is None:
        if part and package in trusted:
            return None
        raise UsageError(f"{key}._target_: no class can stand here")
    found = signatures.definition(name)
    if not name.startswith(kind.homes) and package not in trusted:
        _refuse(target, key, kind, found)
    if found is None:
        module, _, last = name.rpartition(".")
        raise UsageError(f"{key}._target_: there is no '{target}'{closest(last, signatures.names_in(module))}")
    home = f"{found[1]}."
    if not home.startswith(kind.homes) and home.partition(".")[0] not in trusted:
        _refuse(target, key, kind, found)
    if lack := kind.lacks(name):
        raise UsageError(f"{key}._target_: '{target}' is not allowed; {lack}")
    harmless = home.startswith(HARMLESS) or home.partition(".")[0] in trusted
    if not harmless and stored is not None and stored.holds(f"{key}._target_"):
        raise NotTrustedError(f"{key}._target_: '{target}' is not arena's own{_way(package)}")
    return kind


def _refuse(target: object, key: str, kind: Kind, found: signatures.Definition | None) -> None:
    """Raise the error that names what is needed, and how the package is trusted where that would be enough."""
    package = str(target).partition(".")[0]
    foreign = package not in sys.stdlib_module_names and package not in OWN
    if foreign and found is not None and not kind.lacks(str(target)):
        raise NotTrustedError(f"{key}._target_: '{target}' is not allowed{_way(package)}")
    homes = ", ".join(home.removesuffix(".") for home in kind.homes)
    raise UsageError(f"{key}._target_: '{target}' is not allowed; {kind.name} of {homes} is needed")


def _way(package: str) -> str:
    return f"; if its code may be run, give trusted_packages=[{package}]"


def _matches(key: str, pattern: str) -> bool:
    parts, wanted = key.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(w in ("*", p) for p, w in zip(parts, wanted, strict=True))
