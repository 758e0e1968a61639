"""Questions that one asks of the facts of comparisons (`arena.data.source.rows.Rows.facts`), answered as arrays."""

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arena.core.errors import DataError, UsageError
from arena.core.types import UNLABELLED
from arena.data.source.examples import WINNERS

OTHER = {"model_a": "model_b", "model_b": "model_a"}


def check_labels(labels: list[str]) -> list[str]:
    """The class names, if they are two or three different ones of `WINNERS`; otherwise a `UsageError`."""
    labels = list(labels)
    if not set(labels) <= set(WINNERS) or len(set(labels)) != len(labels) or len(labels) < 2:
        raise UsageError(f"data.labels={labels}: two or three of {', '.join(WINNERS)} are needed, each once")
    return labels


def mirror(labels: list[str]) -> np.ndarray | None:
    """The class that each class becomes when A and B are exchanged, `[K]`; None where it has no class."""
    other = [OTHER.get(label, label) for label in labels]
    return np.array([labels.index(label) for label in other]) if set(other) == set(labels) else None


def class_indices(facts: pa.Table, labels: list[str]) -> np.ndarray:
    """The index of each row's winner in `labels`, `UNLABELLED` where there is none or another one; `[R]` int64."""
    index = pc.index_in(facts["winner"], pa.array(labels)).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    return np.where(np.isnan(index.astype(np.float64)), UNLABELLED, index).astype(np.int64)


def select_rows(
    facts: pa.Table, labels: list[str], limit: int | None, on_tie: Literal["error", "drop"]
) -> tuple[np.ndarray, dict[str, int]]:
    """Positions of the rows that a model with these classes can learn from, and how many others there were, by reason.

    Raises:
        DataError: there are ties, but no class for them; or no row is left.
    """
    positions = np.arange(min(facts.num_rows, limit or facts.num_rows))
    dropped = {"limit": facts.num_rows - len(positions), "unlabelled": 0, "tie": 0}
    voted = pc.is_valid(facts["winner"]).to_numpy()[positions]  # pyright: ignore[reportAttributeAccessIssue]
    dropped["unlabelled"] = int((~voted).sum())
    positions = positions[voted]
    known = class_indices(facts, labels)[positions] != UNLABELLED
    others = sorted(set(facts["winner"].take(pa.array(positions[~known])).to_pylist()))
    if others == ["tie"] and on_tie == "drop":
        dropped["tie"] = int((~known).sum())
        positions = positions[known]
    elif others:
        drop = " or leave them out (data.on_tie=drop)" if others == ["tie"] else ""
        raise DataError(
            f"{(~known).sum()} of {len(positions)} rows have the winner {', '.join(others)}, which is not in "
            f"data.labels={labels}; add it{drop}"
        )
    if not len(positions):
        raise DataError(f"no row has a winner among {', '.join(labels)}: there is nothing to learn from ({dropped})")
    return positions, {reason: rows for reason, rows in dropped.items() if rows}
