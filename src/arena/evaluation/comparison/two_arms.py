"""Two arms from their folders to one dictionary (`comparison.json`)."""

from collections.abc import Sequence
from typing import Any

from arena.core.errors import DataError, UsageError
from arena.core.schema import closest
from arena.evaluation.comparison import replies
from arena.evaluation.comparison.arms import Arm, differences, kind_of
from arena.evaluation.comparison.bands import bands_of
from arena.evaluation.comparison.classes import ClassRows
from arena.evaluation.comparison.options import ComparisonOptions
from arena.evaluation.comparison.replies import ReplyRows
from arena.evaluation.comparison.rows import Aligned, TaskRows
from arena.evaluation.comparison.verdict import class_verdict, compared, reply_verdict
from arena.stats.classification import left_out

ROWS = {"classes": ClassRows, "replies": ReplyRows, "rows": TaskRows}


def choose(options: ComparisonOptions, known: Sequence[str], primary: str) -> tuple[list[str], str]:
    """Return the measures to compare, and the primary one among them; a `UsageError` for one that there is not."""
    wanted = options.metrics or list(known)
    for name in wanted:
        if name not in known:
            raise UsageError(f"metric={name}: there is no such measure{closest(name, known)}")
    if options.metrics and primary not in wanted:
        primary = wanted[0]
    primary = options.primary or primary
    if primary not in known:
        raise UsageError(f"primary={primary}: there is no such measure{closest(primary, known)}")
    return ([primary, *wanted] if primary not in wanted else wanted), primary


def compare_arms(base: Arm, other: Arm, options: ComparisonOptions) -> dict[str, Any]:
    """Read, join and compare two arms.

    Raises:
        InputOutputError, DataError, UsageError: what cannot be compared.
    """
    for run in other.runs:
        if run.path in [each.path for each in base.runs]:
            raise UsageError(f"other={run.path}: it is in base too; a run does not differ from itself")
    runs = [*base.runs, *other.runs]
    kind = kind_of(runs, options.split)
    rows: Any = ROWS[kind](runs, options)
    found = (_compare_replies if kind == "replies" else _compare_rows)(rows, len(base.runs), options)
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
    return {"kind": kind, "split": options.split, **arms, "recipes_differ_in": apart, **found, "notes": notes}


def _compare_rows(rows: ClassRows | TaskRows, bases: int, options: ComparisonOptions) -> dict[str, Any]:
    """Two arms that predict rows."""
    wanted, primary = choose(options, rows.names, rows.primary)
    measures = compared(rows.statistics(wanted, bases), options.resamples, options.seed)
    verdict = class_verdict(measures, primary)
    notes = _left_out(rows.rows, "rows")
    if isinstance(rows, ClassRows):
        if "accuracy" in measures and len(rows.rows.tables) == 2:
            measures["accuracy"]["mcnemar"] = rows.mcnemar()
        if any(name.endswith("macro_f1") for name in wanted):
            notes += left_out(rows.absent_classes())
    return {**_facts(rows.rows, options), "measures": measures, "verdict": verdict, "notes": notes}


def _compare_replies(rows: ReplyRows, bases: int, options: ComparisonOptions) -> dict[str, Any]:
    """Two arms that write replies."""
    known, made = rows.names, rows.generations
    wanted, primary = choose(options, known, rows.primary)
    success = [replies.SUCCESS] if replies.SUCCESS in known else []
    sampled = [*success, *(name for name in wanted if name not in success)]
    if replies.rises(primary) is None:
        diverse = [name for name in known if replies.rises(name) is not None]
        raise UsageError(f"primary={primary}: it is no measure of diversity{closest(primary, diverse)}")
    measures = compared(rows.statistics(["log_loss"], bases), options.resamples, options.seed)
    measures |= compared(rows.statistics(sampled, bases), options.resamples, options.seed)
    for name, entry in measures.items():
        if reason := next((each.reasons[name] for each in made if name in each.reasons), None):
            entry["reason"] = f"{entry['reason']}: {reason}" if "reason" in entry else reason
    if not measures[primary]["rows"]:
        raise DataError(f"primary={primary}: it was not computed, {measures[primary]['reason']}")
    quality = {"log_loss": options.margin} | dict.fromkeys(success, options.pass_margin)
    bands = bands_of(options.bands)
    diverse = [name for name in sampled if replies.rises(name) is not None]
    verdict = reply_verdict(measures, quality, diverse, primary, bands)
    notes = _left_out(rows.rows, "replies") + _left_out(rows.prompts, "prompts")
    notes += [f"{each.path}: {alarm}" for each in made for alarm in each.alarms]
    facts = _facts(rows.rows, options) | {"prompts": len(rows.prompts.member), "name": options.name}
    facts |= {"margin": options.margin, "pass_margin": options.pass_margin if success else None}
    facts |= {"bands": {band.name: [band.low, band.high] for band in bands}, "sampled": made[0].settings}
    return {**facts, "measures": measures, "verdict": verdict, "notes": notes}


def _facts(rows: Aligned, options: ComparisonOptions) -> dict[str, Any]:
    return {"rows": len(rows.member), "groups": rows.groups, "resamples": options.resamples, "seed": options.seed}


def _left_out(rows: Aligned, what: str) -> list[str]:
    return [f"rows=common: {rows.left_out:,} {what} that not all runs have were left out"] if rows.left_out else []
