"""Whether two runs were trained alike, by their stored configurations."""

import json
from typing import Any

from arena.core.run import RunFolder
from arena.core.stored import read

PLACES = (
    *("run_dir", "study", "tags", "resume", "resamples", "test"),
    *("data.ingest.rejects", "data.cache", "data.loader.num_workers"),
)
"""Keys that say where a run lies, how it is called or how it is shown, and nothing of its weights."""
SHOWN = ("logger.", "callback.")


def essentials(run: RunFolder, *ignored: str) -> dict[str, Any]:
    """The values that decide a run's weights, by dotted key, without those of `ignored`."""
    from arena.core.values import flat

    settings: Any = read(run.config)
    return {
        key: value
        for key, value in flat(settings)
        if key not in PLACES and key not in ignored and not key.startswith(SHOWN)
    }


def recipe_of(run: RunFolder) -> str:
    """A text that is equal for runs that differ only in their fold; a run without a configuration is its own recipe."""
    if not run.config.is_file():
        return str(run.path)
    return json.dumps(essentials(run, "data.split.fold"), sort_keys=True, default=str)


def first_difference(one: RunFolder, other: RunFolder, *ignored: str) -> tuple[str, Any, Any] | None:
    """The first key whose values differ, with both; None where the runs were trained alike."""
    before, now = (essentials(run, *ignored) for run in (one, other))
    for key in sorted(before | now):
        if before.get(key) != now.get(key):
            return key, before.get(key), now.get(key)
    return None
