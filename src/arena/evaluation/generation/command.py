"""What `python -m arena.evaluate` does with a run that writes replies. Nothing heavy is imported at the top."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from arena.config import restore
from arena.core.console import say
from arena.core.errors import Interrupted, UsageError
from arena.core.files import read_parquet
from arena.core.paths import shown
from arena.core.schema import Count, Name, NonNegative, Share, WholeNumber, check_values

if TYPE_CHECKING:
    from arena.core.run import RunFolder
    from arena.evaluation.generation.checkers import Checker

USAGE = """
A run that writes replies is also judged on replies sampled from it. What was stopped goes on when the same command is
given again.

  samples=8           replies to each prompt
  max_new_tokens=64   tokens of a reply at most
  temperature=1.0     of the sampling; 0 takes the likeliest token each time (samples=1)
  top_p=1.0 top_k=0   sample from the likeliest tokens only
  prompts=200         of the split, drawn with seed; null for all
  split=test          or val, train
  seed=0              of the draw of prompts and of every token
  batch_size=16       prompts in one batch
  name=default        replies, measures and pictures go to FOLDER/generations/NAME
  encoder=minilm      for the measures of meaning; hash needs no weights, null leaves them out
  checker=NAME        judges each reply, which gives pass@k and its like:
    exact_number      the number behind #### (or the last one) is that of the reference
    regex             checker.pattern=PATTERN occurs in the reply (checker.must=false: does not)
    rules             checker.min_words=1 checker.max_words=50 checker.language=en
    likelihood        of the reply under checker.path=FOLDER or checker.name=MODEL; checker.threshold=-2 (nats a token),
                      or checker.scale=probability|rank
    callable          checker.function=NAME in checker.module=MODULE, if it is one of checker.allow=[MODULE]
  success=0.5         quality from which on a reply is right
"""


@dataclass(frozen=True)
class Options:
    """The keys of `USAGE` besides the checker's."""

    samples: Count = 8
    max_new_tokens: Count = 64
    temperature: NonNegative = 1.0
    top_p: Share = 1.0
    top_k: WholeNumber = 0
    prompts: Count | None = 200
    split: Literal["train", "val", "test"] = "test"
    seed: WholeNumber = 0
    batch_size: Count = 16
    name: Name = "default"
    encoder: Literal["minilm", "hash"] | None = "minilm"
    success: Share = 0.5


DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(Options)} | {"checker": None}
"""For `arena.config.restore.options`, beside those of the entry point."""


def read(arguments: Sequence[str], defaults: dict[str, Any], usage: str, several: bool = False) -> restore.Options:
    """As `arena.config.restore.options`, with the checker's keys, whose values may be no YAML, under
    `others["checker"]`."""
    from arena.evaluation.generation.choice import KIND, separate

    rest, chosen = separate(arguments)
    given = restore.options(rest, defaults, usage, several)
    given.others["checker"] = None if chosen in ({}, {KIND: "null"}) else chosen  # as `DEFAULTS` says none
    return given


def check(others: dict[str, Any]) -> "tuple[Options, Checker | None]":
    """What the command line chose, before anything heavy.

    Raises:
        UsageError: a value of a wrong type or out of range, or see `arena.evaluation.generation.choice.make`.
    """
    from arena.evaluation.generation.choice import KIND, make

    chosen = {each.name: others[each.name] for each in fields(Options) if each.name in others}
    check_values(chosen, Options)
    options = Options(**chosen)
    if options.temperature == 0 and options.samples > 1:
        raise UsageError(
            f"temperature=0: all {options.samples} samples of a prompt would be the same; give samples=1, or a "
            "temperature above 0"
        )
    if options.top_p == 0:
        raise UsageError("top_p=0: no token would be left; a number above 0 is needed (1 for all tokens)")
    given = others.get("checker") or {}
    return options, make({KIND: given} if isinstance(given, str) else given)


def refuse(others: dict[str, Any]) -> None:
    """Insist that nothing is said of sampling where the run is no language model.

    Raises:
        UsageError: something is.
    """
    for key, default in DEFAULTS.items():
        if others.get(key, default) != default:
            raise UsageError(f"{key}: this run judges, it writes no replies; {key} is for runs of a language model")


def evaluate_replies(
    given: restore.Options, settings: dict[str, Any], task: Any, data: Any, run: "RunFolder"
) -> dict[str, Any]:
    """Sample replies to the prompts of a split, judge them, draw, print; returns what `evaluation.json` holds.

    Args:
        given: of the command line, see `read`.
        settings: the run's configuration.
        task: with the run's model.
        data: prompts and references.
        run: its folder.

    Raises:
        UsageError: see `check`; a folder of other settings; a checker that needs references where there are none.
        DataError: the split is empty.
        Interrupted: a signal; what was sampled is kept.
    """
    options, checker = check(given.others)
    data.setup()
    checkpoint = Path(given.others.get("checkpoint") or run.best)
    resamples = given.others.get("resamples", 200)
    return sampled_and_judged(options, checker, settings, task, data, run, checkpoint, resamples)


def sampled_and_judged(
    options: Options,
    checker: "Checker | None",
    settings: dict[str, Any],
    task: Any,
    data: Any,
    run: "RunFolder",
    checkpoint: Path,
    resamples: int,
) -> dict[str, Any]:
    """The same from options that are checked and data that are set up.

    Args:
        options, checker: see `check`.
        settings, task, data, run: see `evaluate_replies`.
        checkpoint: the file that the task's weights come from.
        resamples: of the bootstrap, tenfold here, where they cost nothing.
    """
    from arena.evaluation.generation.judging import judge

    folder = run.path / "generations" / options.name
    if checker is not None:
        insist_on_references(checker, data, options.split)
    encoder = encoder_of(options.encoder)
    try:
        _sample(checkpoint, options, settings, task, data, run, folder)
    except Interrupted as stopped:
        raise Interrupted(
            f"{stopped}; the batches that were done are kept, the same command goes on from there", stopped.number
        ) from None
    judged = judge(folder, checker, encoder, options.success, 10 * resamples, options.seed)
    _report(f"{run.path.name}, {options.split}", judged, folder)
    return judged


def insist_on_references(checker: "Checker", data: Any, split: str) -> None:
    """Refuse a checker that compares with replies which the data do not have.

    Raises:
        UsageError: it could judge nothing.
    """
    import numpy as np

    from arena.evaluation.generation.checkers import Case

    if not checker.references:
        return
    rows = [Case("", "", reference) for reference in data.references(split)]
    if rows and np.isnan(checker.check_all(rows)).all():
        reason = checker.unjudged if any(row.reference.strip() for row in rows) else "the rows have no replies"
        raise UsageError(f"checker: it needs the replies of the data, and none of split={split} is of use: {reason}")


def encoder_of(name: str | None) -> Any:
    """The encoder of the measures of meaning; None for none."""
    from arena.diversity.encoder import HashEncoder, SentenceEncoder

    return None if name is None else HashEncoder() if name == "hash" else SentenceEncoder()


def _sample(
    checkpoint: Path, options: Options, settings: dict[str, Any], task: Any, data: Any, run: Any, folder: Path
) -> None:
    """On the device and in the precision of the run."""
    from arena.config import build
    from arena.core.cache import file_fingerprint
    from arena.evaluation.generation.sampler import DRAWING, generate
    from arena.model.sampling import Sampling

    trainer = build.evaluation_trainer(settings, run)
    model = trainer.precision_plugin.convert_module(task.model)
    if next(model.parameters()).device != trainer.strategy.root_device:
        model.to(trainer.strategy.root_device)
    drawn = {name: getattr(options, name) for name in DRAWING}
    generate(
        model,
        data,
        options.split,
        Sampling(**drawn, end_ids=tuple(data.end_ids), pad=data.tokenizer.pad),
        folder,
        options.seed,
        options.prompts,
        options.batch_size,
        file_fingerprint(checkpoint),
        trainer.precision_plugin.forward_context,
    )


def _report(title: str, judged: dict[str, Any], folder: Path) -> None:
    """Print the table, draw the pictures."""

    from arena.evaluation.generation.judging import MEASURES
    from arena.reporting import generations

    generations.printed(title, judged)
    table = read_parquet(folder / MEASURES)
    generations.distributions(
        folder / "distributions.png", judged, {name: table[name].to_numpy() for name in table.column_names[2:]}
    )
    if judged["curves"]:
        generations.curves(folder / "curves.png", title, judged)
    say(f"replies, measures and pictures: {shown(folder)}")
