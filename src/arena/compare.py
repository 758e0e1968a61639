"""`python -m arena.compare base=RUN other=RUN`: what one run is better at, and whether these rows can show it.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

import sys
from pathlib import Path
from typing import Any

from arena.core.console import say, show_messages
from arena.core.errors import UsageError, run_main
from arena.core.paths import shown
from arena.core.schema import closest

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
DEFAULTS: dict[str, Any] = {
    **{"split": "test", "name": "default", "metric": None, "primary": None, "rows": "same", "margin": 0.02},
    **{"pass_margin": 0.02, "bands": None, "resamples": 10_000, "seed": 0, "output": None},
    **{"x": "log_loss", "y": "distinct_2", "by": None, "trusted_packages": []},
}
LEAST_RESAMPLES = 100
"""Fewer have no ends of a 95% interval."""


def compare(given: dict[str, Any]) -> dict[str, Any]:
    """Check, read, compare, write, print; returns what was written to `comparison.json`, or `frontier.json`.

    Raises:
        UsageError, InputOutputError, DataError: one line each; nothing is written then.
    """
    from arena.core.run import plain
    from arena.evaluation.comparison import arms, whole

    asked = checked(given)
    if given.get("runs"):
        return sweep(given, asked)
    base, other = (arms.open_arm(key, str(given[key]), asked.trusted) for key in ("base", "other"))
    found = whole.compare_arms(base, other, asked)
    first = base.runs[0].path
    place = other.runs[0].path / "comparison" / f"{first.parent.name}-{first.name}"
    folder = Path(str(given["output"])) if given["output"] else place
    write(folder, found)
    show_comparison(found)
    say(f"written to {shown(folder)}")
    return plain(found)


def checked(given: dict[str, Any]) -> Any:
    """The values of all keys, before anything heavy.

    Raises:
        UsageError: one of them is wrong.
    """
    from arena.evaluation.comparison.verdict import BANDS, bands_of
    from arena.evaluation.comparison.whole import Asked

    for key in ("margin", "pass_margin"):
        if isinstance(given[key], bool) or not isinstance(given[key], int | float) or not given[key] > 0:
            raise UsageError(f"{key}={given[key]}: a number greater than 0 is needed")
    for key, least in (("resamples", LEAST_RESAMPLES), ("seed", 0)):
        if isinstance(given[key], bool) or not isinstance(given[key], int) or given[key] < least:
            raise UsageError(f"{key}={given[key]}: a whole number, {least} or more, is needed")
    if given["rows"] not in ("same", "common"):
        raise UsageError(f"rows={given['rows']}: one of same, common is needed")
    metric = given["metric"]
    metric = metric.split(",") if isinstance(metric, str) else metric
    if metric is not None and not (isinstance(metric, list) and all(isinstance(each, str) for each in metric)):
        raise UsageError(f"metric={metric}: give names, metric=[NAME,NAME]")
    trusted = given["trusted_packages"]
    if not isinstance(trusted, list) or not all(isinstance(each, str) for each in trusted):
        raise UsageError(f"trusted_packages={trusted}: give the names in brackets, trusted_packages=[NAME,NAME]")
    bands = BANDS if given["bands"] is None else given["bands"]
    bands_of(bands)
    kept = {key: given[key] for key in ("split", "name", "primary", "margin", "pass_margin", "resamples", "seed")}
    return Asked(metric=metric, common=given["rows"] == "common", trusted=trusted, bands=bands, **kept)


def sweep(given: dict[str, Any], asked: Any) -> dict[str, Any]:
    """All runs of a sweep side by side (`arena.evaluation.comparison.frontier`)."""
    import json

    from arena.core.run import plain, write_atomically
    from arena.evaluation import show
    from arena.evaluation.comparison import frontier
    from arena.reporting.frontier import picture

    if not given["by"]:
        raise UsageError("by: a value is needed; give the key that was swept, such as by=loss.lambda")
    found = frontier.frontier(str(given["runs"]), str(given["by"]), str(given["x"]), str(given["y"]), asked)
    folder = Path(str(given["output"])) if given["output"] else Path(found["folder"]) / "frontier"
    folder.mkdir(parents=True, exist_ok=True)
    picture(folder / "frontier.png", found)
    write_atomically(folder / "frontier.tsv", frontier.tsv_of(found))
    write_atomically(folder / "frontier.json", json.dumps(plain(found), indent=2, ensure_ascii=False) + "\n")
    show.printed(f"{found['split']}: {found['rows']} rows, {found['groups']} groups", frontier.lines_of(found))
    for line in found["notes"]:
        say(line)
    say(f"written to {shown(folder)}")
    return plain(found)


def write(folder: Path, found: dict[str, Any]) -> None:
    """Write picture, table, and then `comparison.json`: whoever sees that sees all of it."""
    import json

    from arena.core.run import plain, write_atomically
    from arena.evaluation.comparison.tables import tsv_of
    from arena.reporting.comparison import forest

    folder.mkdir(parents=True, exist_ok=True)
    forest(folder / "comparison.png", found)
    write_atomically(folder / "comparison.tsv", tsv_of(found))
    write_atomically(folder / "comparison.json", json.dumps(plain(found), indent=2, ensure_ascii=False) + "\n")


def show_comparison(found: dict[str, Any]) -> None:
    """Print what differs between the recipes, the table and the verdict."""
    from arena.evaluation import show
    from arena.evaluation.comparison.tables import lines_of

    for arm in ("base", "other"):
        runs = found[arm]["runs"]
        say(f"{arm} {runs[0]}{f' and {len(runs) - 1} more seeds' if len(runs) > 1 else ''}")
    apart = found["recipes_differ_in"]
    for each in apart[:8]:
        say(f"  {each['key']}: {each['base']} -> {each['other']}")
    if len(apart) > 8:
        say(f"  and {len(apart) - 8} more keys (comparison.json)")
    prompts = f", {found['prompts']} prompts with samples" if "prompts" in found else ""
    show.printed(f"{found['split']}: {found['rows']} rows, {found['groups']} groups{prompts}", lines_of(found))
    if mcnemar := found["measures"].get("accuracy", {}).get("mcnemar"):
        say(
            f"{mcnemar['only_other']} rows only other has right, {mcnemar['only_base']} only base (McNemar p "
            f"{mcnemar['p']:.3f}, which takes rows as independent)"
        )
    for line in found["notes"]:
        say(line)
    say(found["verdict"]["line"])


def options(arguments: list[str]) -> dict[str, Any]:
    """Read `key=value` arguments over `DEFAULTS`.

    Raises:
        SystemExit: after `--help`.
        UsageError: a key that does not exist or is missing.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if {"--help", "-h"} & set(arguments):
        print(USAGE)
        raise SystemExit(0)
    for argument in arguments:
        if "=" not in argument:
            raise UsageError(f"cannot read '{argument}'; write key=value (see --help)")
    # A folder's name is no YAML: a pattern that begins with * would not even be read.
    pairs = [argument.partition("=") for argument in arguments]
    runs = {key: value for key, _, value in pairs if key in RUNS}
    try:
        made = OmegaConf.from_dotlist([f"{key}={value}" for key, _, value in pairs if key not in RUNS])
        others: Any = OmegaConf.to_container(made)
    except OmegaConfBaseException as error:
        raise UsageError(f"cannot read the command line: {str(error).splitlines()[0]}") from None
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

    def command() -> None:
        given = options(sys.argv[1:])
        show_messages()
        compare(given)

    run_main(command)


if __name__ == "__main__":
    main()
