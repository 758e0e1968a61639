"""What `python -m arena.evaluate` does with a run that writes replies. Nothing heavy is imported at the top."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from arena.config.options import option
from arena.core.console import echo
from arena.core.errors import Interrupted, UsageError
from arena.core.files import read_parquet
from arena.core.paths import quote_path
from arena.core.schema import Count, Name, NonNegative, Share, WholeNumber

if TYPE_CHECKING:
    from arena.core.run import RunFolder
    from arena.evaluation.generation.checkers import Checker


@dataclass(frozen=True, kw_only=True)
class ReplyOptions:
    """A run that writes replies (task=sft) is also evaluated on replies sampled from it. What was stopped goes on when
    the same command is given again.
    """

    samples: Count = option("replies to each prompt", default=8)
    max_new_tokens: Count = option("tokens of a reply at most", default=64)
    temperature: NonNegative = option("of the sampling; 0 takes the likeliest token each time (samples=1)", default=1.0)
    top_p: Share = option("sample from the likeliest tokens only, up to this probability", default=1.0)
    top_k: WholeNumber = option("sample from the k likeliest tokens only; 0 for all", default=0)
    prompts: Count | None = option("of the split, drawn with seed; null for all", default=200)
    split: Literal["train", "val", "test"] = option("whose prompts", default="test")
    seed: WholeNumber = option("of the draw of prompts and of every token", default=0)
    batch_size: Count = option("prompts in one batch", default=16)
    name: Name = option("replies, measures and pictures go to FOLDER/generations/NAME", default="default")
    encoder: Literal["minilm", "hash"] | None = option(
        "for the measures of meaning; hash needs no weights, null leaves them out", default="minilm"
    )
    checker: dict[str, Any] | None = option(
        "evaluates each reply, which gives pass@k and its like:\n"
        "exact_number: the number after #### (or the last one) is that of the reference\n"
        "regex: checker.pattern=PATTERN occurs in the reply (checker.must=false: does not)\n"
        "rules: checker.min_words=1 checker.max_words=50",
        default=None,
        placeholder="NAME",
        takes="raw",
    )
    success: Share = option("quality from which on a reply is right", default=0.5)


KEYS = tuple(each.name for each in fields(ReplyOptions))


def check(options: Any) -> "Checker | None":
    """Check the keys of `ReplyOptions` together, before anything heavy; returns the checker.

    Args:
        options: has the fields of `ReplyOptions`.

    Raises:
        UsageError: values that contradict each other, or see `arena.evaluation.generation.checkers.make`.
    """
    from arena.evaluation.generation.checkers import make

    if options.temperature == 0 and options.samples > 1:
        raise UsageError(
            f"temperature=0: all {options.samples} samples of a prompt would be the same; give samples=1, or a "
            "temperature above 0"
        )
    if options.top_p == 0:
        raise UsageError("top_p=0: no token would be left; a number above 0 is needed (1 for all tokens)")
    return make(options.checker or {})


def refuse(options: Any) -> None:
    """Refuse keys about sampling where the run is no language model.

    Raises:
        UsageError: one was given.
    """
    for each in fields(ReplyOptions):
        if getattr(options, each.name) != each.default:
            key = each.name
            raise UsageError(f"{key}: this run classifies, it writes no replies; {key} is for runs of a language model")


def evaluate_replies(
    options: Any, split: str, name: str, settings: dict[str, Any], task: Any, data: Any, run: "RunFolder"
) -> dict[str, Any]:
    """Sample replies to the prompts of a split, judge them, draw, print; returns what `evaluation.json` holds.

    Args:
        options: of `arena.evaluate`.
        split, name: whose prompts, and the folder below `generations/`.
        settings: the run's configuration.
        task: with the run's model.
        data: prompts and references.
        run: its folder.

    Raises:
        UsageError: see `check`; a folder of other settings; a checker that needs references where there are none.
        DataError: the split is empty.
        Interrupted: a signal; what was sampled is kept.
    """
    checker = check(options)
    chosen: dict[str, Any] = {key: getattr(options, key) for key in KEYS}
    data.setup()
    checkpoint = Path(options.checkpoint or run.best)
    chosen |= {"split": split, "name": name}
    reply_options = ReplyOptions(**chosen)
    return sampled_and_judged(reply_options, checker, settings, task, data, run, checkpoint, options.resamples)


def sampled_and_judged(
    options: ReplyOptions,
    checker: "Checker | None",
    settings: dict[str, Any],
    task: Any,
    data: Any,
    run: "RunFolder",
    checkpoint: Path,
    resamples: int,
) -> dict[str, Any]:
    """Sample and evaluate replies from options that are checked and data that are set up.

    Args:
        options, checker: what is sampled, and what evaluates each reply.
        settings, task, data, run: see `evaluate_replies`.
        checkpoint: the file that the task's weights come from.
        resamples: of the bootstrap, tenfold here, where they cost nothing.
    """
    from arena.evaluation.generation.evaluation import evaluate_generations

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
    judged = evaluate_generations(folder, checker, encoder, options.success, 10 * resamples, options.seed)
    _report(f"{run.path.name}, {options.split}", judged, folder)
    return judged


def insist_on_references(checker: "Checker", data: Any, split: str) -> None:
    """Refuse a checker that compares with replies which the data do not have.

    Raises:
        UsageError: it could judge nothing.
    """
    import numpy as np

    from arena.evaluation.generation.checkers import Case

    if not checker.needs_reference:
        return
    rows = [Case("", "", reference) for reference in data.reference_replies(split)]
    if rows and np.isnan(checker.check_all(rows)).all():
        reason = checker.unjudged if any(row.reference.strip() for row in rows) else "the rows have no replies"
        raise UsageError(f"checker: it needs the replies of the data, and none of split={split} is of use: {reason}")


def encoder_of(name: str | None) -> Any:
    """The encoder of the measures of meaning; None for none."""
    from arena.diversity.encoder import HashEncoder, SentenceEncoder

    return None if name is None else HashEncoder() if name == "hash" else SentenceEncoder()


def _sample(
    checkpoint: Path, options: ReplyOptions, settings: dict[str, Any], task: Any, data: Any, run: Any, folder: Path
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

    from arena.evaluation.generation.evaluation import MEASURES
    from arena.reporting import generations

    generations.printed(title, judged)
    table = read_parquet(folder / MEASURES)
    generations.distributions(
        folder / "distributions.png", judged, {name: table[name].to_numpy() for name in table.column_names[2:]}
    )
    if judged["curves"]:
        generations.curves(folder / "curves.png", title, judged)
    echo(f"replies, measures and pictures: {quote_path(folder)}")
