"""`python -m arena.compare base=RUN other=RUN`: what one run is better at, and whether these rows can show it.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena.config.restore import read_keys
from arena.core.closest import closest
from arena.core.console import answer_help, run_command
from arena.core.errors import UsageError
from arena.evaluation.comparison.asked import ComparisonOptions, checked

USAGE = """python -m arena.compare base=RUN other=RUN [key=value] ...
python -m arena.compare runs=FOLDER x=log_loss y=distinct_2 by=loss.lambda [key=value] ...

Compares runs on the same rows: the difference of each measure with its 95% interval over prompts (and over seeds,
where an arm has several), the words that it allows, and the number of rows that it would take where they allow none.
Runs that write replies (task=sft) get a verdict on diversity, which counts only if quality is not worse and the samples
were drawn alike. Writes comparison.json, comparison.tsv and comparison.png; the exit code is 0 whatever the verdict.

  base=RUN, other=RUN  a run folder of arena.train; or the seeds of one recipe: FOLDER,FOLDER, a pattern in quotes
                       ('multirun/study/*'), or a folder that holds the runs 0, 1, 2, ...
  split=test           whose predictions: test or val
  name=default         which generations of the runs (generations/NAME)
  metric=null          only these measures: accuracy, or [distinct_2,vendi]; null for all
  primary=null         the measure that decides, to be chosen before looking: log_loss, or distinct_2 for replies; the p
                       of the others is adjusted by Holm's method
  rows=same            refuses runs with other rows; common: compares the rows that all runs have
  margin=0.02          nats a token by which the log loss of replies may rise and still count as not worse
  pass_margin=0.02     the same for the share of samples that pass the checker, downwards
  bands={none: 0, weak: 0.05, moderate: 0.15, strong: 0.3}
                       names for relative gains of diversity by their lower edge; the lower end of the interval is named
  resamples=10000      bootstrap resamples behind each interval
  seed=0               of all draws
  trusted_packages=[NAME]  packages of your own whose kinds of task the runs may name
  output=FOLDER        where the files go (default: comparison/<base> below the first run of other, or frontier/ below
                       the folder of the swept runs)

A sweep, all of its runs side by side:

  runs=FOLDER          the runs: a folder that holds 0, 1, 2, ..., a pattern or a list
  x=log_loss           quality
  y=distinct_2         diversity, or another measure
  by=loss.lambda       what was swept: any key of the runs' config.yaml
"""
RUNS = ("base", "other", "runs")
DEFAULTS: dict[str, Any] = asdict(ComparisonOptions()) | {
    "output": None,
    "x": "log_loss",
    "y": "distinct_2",
    "by": None,
}


def compare(given: dict[str, Any]) -> dict[str, Any]:
    """Check, read, compare, write, print; returns what was written to `comparison.json`, or `frontier.json`.

    Raises:
        UsageError, InputOutputError, DataError: one line each; nothing is written then.
    """
    asked = checked(given)
    if given.get("runs") and not given["by"]:
        raise UsageError("by: a value is needed; give the key that was swept, such as by=loss.lambda")
    from arena.evaluation.comparison import arms, frontier, output, whole

    if given.get("runs"):
        found = frontier.frontier(given["runs"], str(given["by"]), str(given["x"]), str(given["y"]), asked)
        return output.write_frontier(Path(given["output"] or Path(found["folder"], "frontier")), found)
    base, other = (arms.open_arm(key, given[key], asked.trusted_packages) for key in ("base", "other"))
    found = whole.compare_arms(base, other, asked)
    first = base.runs[0].path
    place = other.runs[0].path / "comparison" / f"{first.parent.name}-{first.name}"
    return output.write_comparison(Path(given["output"] or place), found)


def options(arguments: list[str]) -> dict[str, Any]:
    """Read `key=value` arguments over `DEFAULTS`.

    Raises:
        SystemExit: after `--help`.
        UsageError: a key that does not exist or is missing.
    """
    answer_help(arguments, USAGE)
    runs, others = read_keys(arguments, RUNS.__contains__)
    for key in others:
        if key not in DEFAULTS:
            raise UsageError(f"{key}: no such key{closest(key, [*DEFAULTS, *RUNS])}")
    needed = ["runs"] if "runs" in runs else ["base", "other"]
    for key in needed:
        if not runs.get(key):
            raise UsageError(f"{key}: a value is needed; give {key}={'FOLDER' if key == 'runs' else 'RUN'}")
    for key in runs:
        if key not in needed:
            raise UsageError(f"{key}={runs[key]}: give base= and other=, or runs=, not both")
    return DEFAULTS | others | runs


def main() -> None:
    """The command line."""
    run_command(lambda typed: compare(options(typed)))


if __name__ == "__main__":
    main()
