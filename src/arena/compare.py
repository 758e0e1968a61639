"""`python -m arena.compare base=RUN other=RUN`: paired comparison of runs on the same rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.config.options import entry_point, make, option
from arena.core.errors import UsageError
from arena.evaluation.comparison.options import ComparisonOptions
from arena.evaluation.results import Comparison

ARM = (
    "a run folder of arena.train; or the seeds of one recipe: FOLDER,FOLDER, a pattern in quotes ('multirun/study/*'), "
    "or a folder that holds the runs 0, 1, 2, ..."
)


@dataclass(frozen=True, kw_only=True)
class CompareOptions(ComparisonOptions):
    """python -m arena.compare base=RUN other=RUN [key=value] ...
    python -m arena.compare runs=FOLDER x=log_loss y=distinct_2 by=loss.lambda [key=value] ...

    Compare runs on the same rows: the difference of each measure with its 95% interval over prompts (and over seeds,
    where an arm has several), the words that it allows, and the number of rows that it would take where they allow
    none. Runs that write replies (task=sft) get a verdict on diversity, which counts only if quality is not worse and
    the samples were drawn alike. Writes comparison.json, comparison.tsv and comparison.png; the exit code is 0
    whatever the verdict.
    """

    base: str | None = option(ARM, default=None, placeholder="RUN", takes="text")
    other: str | None = option("the same, of what is compared with it", default=None, placeholder="RUN", takes="text")
    runs: str | None = option(
        "a sweep, all of its runs side by side, instead of base and other: a folder that holds 0, 1, 2, ..., a pattern "
        "or a list",
        default=None,
        placeholder="FOLDER",
        takes="text",
    )
    x: str = option("quality, of a sweep", default="log_loss")
    y: str = option("diversity, or another measure, of a sweep", default="distinct_2")
    by: str | None = option("what was swept: any key of the runs' config.yaml, such as loss.lambda", default=None)


def compare_runs(base: str | Path, other: str | Path, **options: Any) -> Comparison:
    """Compare two runs, or two recipes with several seeds: `python -m arena.compare` as a function.

    `base` and `other` are run folders, or what else `base=` takes, `options` fields of `CompareOptions` such as
    `split="val"`. Raises UsageError, InputOutputError and DataError as the command; nothing is written then.
    """
    return compare(make(CompareOptions, base=base, other=other, **options))


def compare(options: CompareOptions) -> Comparison:
    """Check, read, compare, write, print."""
    options.check()
    for key in ("base", "other"):
        if options.runs and getattr(options, key):
            raise UsageError(f"{key}={getattr(options, key)}: give base= and other=, or runs=, not both")
    needed = {"runs": "FOLDER", "by": "loss.lambda"} if options.runs else {"base": "RUN", "other": "RUN"}
    for key, example in needed.items():
        if not getattr(options, key):
            raise UsageError(f"{key}: a value is needed; give {key}={example}")
    from arena.evaluation.comparison import arms, frontier, output, two_arms

    if options.runs:
        found = frontier.frontier(options.runs, str(options.by), options.x, options.y, options)
        folder = Path(options.output or Path(found["folder"], "frontier"))
        return Comparison.of(folder, output.write_frontier(folder, found))
    base, other = (arms.open_arm(key, str(getattr(options, key)), options.trusted_packages) for key in needed)
    found = two_arms.compare_arms(base, other, options)
    first = base.runs[0].path
    folder = Path(options.output or other.runs[0].path / "comparison" / f"{first.parent.name}-{first.name}")
    return Comparison.of(folder, output.write_comparison(folder, found))


main = entry_point(compare, CompareOptions)

if __name__ == "__main__":
    main()
