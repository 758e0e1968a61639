"""Labels of rows as class indices, and the rows that have any."""

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.core.types import UNLABELLED
from arena.data.source.examples import WINNERS

OTHER = {"model_a": "model_b", "model_b": "model_a"}


def check_labels(labels: list[str]) -> list[str]:
    """The class names, if they are two or three different ones of `WINNERS`; otherwise a `UsageError`."""
    labels = list(labels)
    if not set(labels) <= set(WINNERS) or len(set(labels)) != len(labels) or len(labels) < 2:
        raise UsageError(f"data.labels={labels}: two or three of {', '.join(WINNERS)} are needed, each once")
    return labels


def swap_permutation(labels: list[str]) -> np.ndarray | None:
    """The class that each class becomes when A and B are swapped, `[K]`; None where it has no class."""
    other = [OTHER.get(label, label) for label in labels]
    return np.array([labels.index(label) for label in other]) if set(other) == set(labels) else None


def class_indices(metadata: pa.Table, labels: list[str]) -> np.ndarray:
    """Index of each row's winner in `labels`, `UNLABELLED` where there is none or another one; `[R]` int64."""
    index = pc.index_in(metadata["winner"], pa.array(labels)).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    return np.where(np.isnan(index.astype(np.float64)), UNLABELLED, index).astype(np.int64)


def head_class_indices(metadata: pa.Table, heads: Heads) -> np.ndarray:
    """Class index of each row in each head, `[R, T]` int64, `UNLABELLED` where it has none."""
    places = [{label: index for index, label in enumerate(labels)} for labels in heads.classes.values()]
    none = [None] * len(heads)  # a row that stands in for a record which cannot be used
    found = [
        [UNLABELLED if label is None else place[label] for label, place in zip(labels or none, places, strict=True)]
        for labels in metadata["labels"].to_pylist()
    ]
    return np.array(found, dtype=np.int64).reshape(metadata.num_rows, len(heads))


def select_pairs(
    metadata: pa.Table, labels: list[str], limit: int | None, on_tie: Literal["error", "drop"]
) -> tuple[np.ndarray, dict[str, int]]:
    """Positions of the rows that a model with these classes can learn from, and the number of others by reason.

    Raises:
        DataError: there are ties, but no class for them; or no row is left.
    """
    voted = pc.is_valid(metadata["winner"]).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    positions, dropped = _labelled(voted, limit)
    known = class_indices(metadata, labels)[positions] != UNLABELLED
    others = sorted(set(metadata["winner"].take(pa.array(positions[~known])).to_pylist()))
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
    return positions, dropped


def select_labelled_texts(metadata: pa.Table, limit: int | None) -> tuple[np.ndarray, dict[str, int]]:
    """Positions of the rows with a label in some head, and the number of others by reason; a `DataError` for none."""
    labels = metadata["labels"].to_pylist()
    labelled = np.array([any(label is not None for label in each or ()) for each in labels], dtype=bool)
    positions, dropped = _labelled(labelled, limit)
    if not len(positions):
        raise DataError(f"no row has a label in any head: there is nothing to learn from ({dropped})")
    return positions, dropped


def _labelled(labelled: np.ndarray, limit: int | None) -> tuple[np.ndarray, dict[str, int]]:
    """Positions of the first `limit` rows that are labelled, and the number of others by reason."""
    first = labelled[: limit or len(labelled)]
    dropped = {"limit": len(labelled) - len(first), "unlabelled": int((~first).sum())}
    return np.flatnonzero(first), {reason: rows for reason, rows in dropped.items() if rows}
