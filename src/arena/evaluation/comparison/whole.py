"""Two arms from their folders to one dictionary (`comparison.json`)."""

from collections.abc import Sequence
from typing import Any

from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.core.schema import closest
from arena.evaluation.comparison import classes, replies
from arena.evaluation.comparison.arms import Arm, differences, kind_of
from arena.evaluation.comparison.asked import ComparisonOptions
from arena.evaluation.comparison.outcome import Rules, class_verdict, compared, reply_verdict
from arena.evaluation.comparison.rows import Aligned, align, mean_statistic, measures_of, read_measures, read_replies
from arena.evaluation.comparison.verdict import bands_of
from arena.inference.members import labels_of
from arena.stats.classification import left_out

PRIMARY = {"classes": "log_loss", "replies": "distinct_2"}


def rules_of(asked: ComparisonOptions, primary: str) -> Rules:
    """What is declared, with the primary measure."""
    return Rules(primary, bands_of(asked.bands), asked.margin, asked.pass_margin, asked.resamples, asked.seed)


def choose(asked: ComparisonOptions, known: Sequence[str], primary: str) -> tuple[list[str], str]:
    """The measures to compare, and the primary one among them.

    Raises:
        UsageError: one that there is not.
    """
    wanted = asked.metrics or list(known)
    for name in wanted:
        if name not in known:
            raise UsageError(f"metric={name}: there is no such measure{closest(name, known)}")
    if asked.primary is None and asked.metrics and primary not in wanted:
        primary = wanted[0]
    primary = asked.primary or primary
    if primary not in known:
        raise UsageError(f"primary={primary}: there is no such measure{closest(primary, known)}")
    return ([primary, *wanted] if primary not in wanted else wanted), primary


def compare_arms(base: Arm, other: Arm, asked: ComparisonOptions) -> dict[str, Any]:
    """Read, join, compare, judge.

    Raises:
        InputOutputError, DataError, UsageError: what cannot be compared.
    """
    for run in other.runs:
        if run.path in [each.path for each in base.runs]:
            raise UsageError(f"other={run.path}: it is in base too; a run does not differ from itself")
    kind = kind_of([*base.runs, *other.runs], asked.split)
    found = {"classes": compare_classes, "replies": compare_replies, "rows": compare_rows}[kind](base, other, asked)
    arms = {arm.name: {"runs": [str(run.path) for run in arm.runs], "seeds": arm.seeds} for arm in (base, other)}
    apart = [{"key": k, "base": b, "other": o} for k, b, o in differences(base.runs[0], other.runs[0])]
    notes = list(found.pop("notes"))
    if alone := [arm.name for arm in (base, other) if len(arm.runs) < 2]:
        notes.append(
            "one seed in each arm: the intervals say what other prompts would change, but not what another seed would, "
            "so the words are about these weights; give three or more in each arm"
            if len(alone) == 2
            else f"one seed in {alone[0]}: its seeds are taken to differ as much as those of the other arm"
        )
    return {"kind": kind, "split": asked.split, **arms, "recipes_differ_in": apart, **found, "notes": notes}


def compare_classes(base: Arm, other: Arm, asked: ComparisonOptions) -> dict[str, Any]:
    """Two arms that classify."""
    runs = [*base.runs, *other.runs]
    heads = Heads(labels_of(runs[0]))
    wanted, primary = choose(asked, classes.names(heads), PRIMARY["classes"])
    rows = align([classes.read_classes(run, asked.split, heads) for run in runs], asked.common)
    rules = rules_of(asked, primary)
    measures = compared(classes.statistics(heads, rows, len(base.runs), wanted), rules)
    verdict = class_verdict(measures, rules)
    if "accuracy" in measures and len(runs) == 2:
        measures["accuracy"]["mcnemar"] = classes.mcnemar(heads, rows)
    notes = _left_out(rows, "rows")
    if any(name.endswith("macro_f1") for name in wanted):
        notes += left_out(classes.absent_classes(heads, rows))
    return {**_facts(rows, rules), "measures": measures, "verdict": verdict, "notes": notes}


def compare_rows(base: Arm, other: Arm, asked: ComparisonOptions) -> dict[str, Any]:
    """Two arms of a kind of task that says by what its runs are compared."""
    runs = [*base.runs, *other.runs]
    known = measures_of(runs)
    wanted, primary = choose(asked, list(known), next(iter(known)))
    rows = align([read_measures(run, asked.split, list(known)) for run in runs], asked.common)
    rules, bases = rules_of(asked, primary), len(base.runs)
    measures = compared([mean_statistic(name, rows, bases, known[name]) for name in wanted], rules)
    verdict = class_verdict(measures, rules)
    return {**_facts(rows, rules), "measures": measures, "verdict": verdict, "notes": _left_out(rows, "rows")}


def compare_replies(base: Arm, other: Arm, asked: ComparisonOptions) -> dict[str, Any]:
    """Two arms that write replies."""
    runs = [*base.runs, *other.runs]
    made = [replies.read_generations(run, asked.name, asked.split) for run in runs]
    replies.check_settings(made, asked.common)
    known = replies.known(made)
    passed = replies.success(known)
    wanted, primary = choose(asked, known, PRIMARY["replies"])
    rises = {name: replies.rises(name) for name in wanted if name != passed}
    if rises.get(primary) is None:
        diverse = [name for name in known if replies.rises(name) is not None]
        raise UsageError(f"primary={primary}: it is no measure of diversity{closest(primary, diverse)}")
    rows = align([read_replies(run, asked.split) for run in runs], asked.common)
    prompts = align([each.measures for each in made], asked.common)
    rules = rules_of(asked, primary)
    bases = len(base.runs)
    quality = {"log_loss": (False, rules.margin)} | ({passed: (True, rules.pass_margin)} if passed else {})
    sampled = [name for name in (passed, *rises) if name is not None]
    measures = compared([replies.log_loss(rows, bases)], rules)
    measures |= compared(
        [mean_statistic(name, prompts, bases, rises.get(name) is not False) for name in sampled], rules
    )
    for name, entry in measures.items():
        if reason := next((each.reasons[name] for each in made if name in each.reasons), None):
            entry["reason"] = f"{entry['reason']}: {reason}" if "reason" in entry else reason
    if not measures[primary]["rows"]:
        raise DataError(f"primary={primary}: it was not computed, {measures[primary]['reason']}")
    verdict = reply_verdict(measures, quality, rises, rules)
    notes = _left_out(rows, "replies") + _left_out(prompts, "prompts")
    notes += [f"{each.path}: {alarm}" for each in made for alarm in each.alarms]
    facts = _facts(rows, rules) | {"prompts": len(prompts.member), "name": asked.name}
    facts |= {"margin": rules.margin, "pass_margin": rules.pass_margin if passed else None}
    facts |= {"bands": {band.name: [band.low, band.high] for band in rules.bands}, "sampled": made[0].settings}
    return {**facts, "measures": measures, "verdict": verdict, "notes": notes}


def _facts(rows: Aligned, rules: Rules) -> dict[str, Any]:
    return {"rows": len(rows.member), "groups": rows.groups, "resamples": rules.resamples, "seed": rules.seed}


def _left_out(rows: Aligned, what: str) -> list[str]:
    return [f"rows=common: {rows.left_out:,} {what} that not all runs have were left out"] if rows.left_out else []
