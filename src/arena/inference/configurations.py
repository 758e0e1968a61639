"""Comparison of runs by their stored configurations."""

import json
from typing import Any

from arena.core.run import RunFolder
from arena.core.stored import read
from arena.core.values import flat

PLACES = (
    *("run_dir", "study", "tags", "resume", "resamples", "test"),
    *("data.ingest.rejects", "data.cache", "data.loader.num_workers"),
)
"""Keys about the place of a run, its names and its reports, not about its weights; beside those of `REPORTS`."""
REPORTS = ("logger.", "callback.")


def essentials(run: RunFolder, *ignored: str) -> dict[str, Any]:
    """Return the values that decide a run's weights, by dotted key, without those of `ignored`."""
    skipped = {*PLACES, *ignored}
    return {key: each for key, each in flat(read(run.config)) if key not in skipped and not key.startswith(REPORTS)}


def recipe_of(run: RunFolder) -> str:
    """Return a text that is equal for runs that differ only in their fold; its path for a run without configuration."""
    if not run.config.is_file():
        return str(run.path)
    return json.dumps(essentials(run, "data.split.fold"), sort_keys=True, default=str)


def first_difference(one: RunFolder, other: RunFolder, *ignored: str) -> tuple[str, Any, Any] | None:
    """Return the first key whose values differ, with both values; None where the runs were trained alike."""
    before, now = (essentials(run, *ignored) for run in (one, other))
    found = [(key, before.get(key), now.get(key)) for key in sorted(before | now) if before.get(key) != now.get(key)]
    return next(iter(found), None)
