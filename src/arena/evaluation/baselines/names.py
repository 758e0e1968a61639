"""Names of the baselines. Nothing heavy is imported: a wrong name is answered before numpy is there."""

from collections.abc import Sequence

from arena.core.errors import UsageError
from arena.core.heads import Labels, several
from arena.core.schema import closest

BASELINES: dict[str, tuple[str, ...]] = {
    "prior": (),
    "length": ("length",),
    "structure": ("structure",),
    "tfidf": ("structure", "words"),
}
"""The kinds of features that each baseline of comparisons reads."""
OF_HEADS: dict[str, tuple[str, ...]] = {"prior": (), "tfidf": ("text",)}
"""The same with several heads."""
FOLDER = "reference"
"""Where a run folder keeps the fitted baselines."""


def baselines_of(labels: Labels) -> dict[str, tuple[str, ...]]:
    """Return the baselines that there are for some labels, with the kinds of features that each reads."""
    return OF_HEADS if several(labels) else BASELINES


def check_names(names: Sequence[str], key: str) -> list[str]:
    """Return the names; a `UsageError` that begins with `key` where one is unknown or comes twice."""
    for name in names:
        if name not in BASELINES:
            raise UsageError(f"{key}={name}: there is no such baseline{closest(name, BASELINES)}")
    if len(set(names)) != len(names):
        raise UsageError(f"{key}={list(names)}: a baseline is named twice")
    return list(names)
