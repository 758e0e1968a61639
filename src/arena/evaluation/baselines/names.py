"""Which reference models there are. Nothing heavy is imported: a wrong name is answered before numpy is there."""

from collections.abc import Sequence

from arena.core.errors import UsageError
from arena.core.heads import Labels, several
from arena.core.schema import closest

MEMBERS: dict[str, tuple[str, ...]] = {
    "prior": (),
    "length": ("length",),
    "structure": ("structure",),
    "tfidf": ("structure", "words"),
}
"""The kinds of features that each model reads."""
OF_HEADS: dict[str, tuple[str, ...]] = {"prior": (), "tfidf": ("text",)}
"""The same of the models that several heads can have."""
FOLDER = "reference"
"""Where a run folder keeps the fitted models."""


def members_of(labels: Labels) -> dict[str, tuple[str, ...]]:
    """The models that there are for some labels, with the kinds of features that each reads."""
    return OF_HEADS if several(labels) else MEMBERS


def check_names(names: Sequence[str], key: str) -> list[str]:
    """The names, if each is known and comes once; otherwise a `UsageError` that begins with `key`."""
    for name in names:
        if name not in MEMBERS:
            raise UsageError(f"{key}={name}: there is no such reference model{closest(name, MEMBERS)}")
    if len(set(names)) != len(names):
        raise UsageError(f"{key}={list(names)}: a reference model is named twice")
    return list(names)
