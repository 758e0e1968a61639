"""Questions that one asks of the facts of texts with several labels, answered as arrays."""

import numpy as np
import pyarrow as pa

from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.core.types import UNLABELLED
from arena.data.source.head_format import HeadFormat


def template_of(template: str | None, form: HeadFormat) -> str:
    """The template of `arena.data.text.template` for the text as the model reads it.

    Args:
        template: holds `{text}` once; None for the text alone, or the context, a separator and the text.
        form: names the columns.

    Raises:
        UsageError: no `{text}`, or `{context}` without a column for it or the other way round.
    """
    context = len(form.text) > 1
    if template is None:
        template = "{context}{separator}{text}" if context else "{text}"
    if template.count("{text}") != 1 or template.count("{context}") != int(context):
        wanted = "{text} and {context} once each" if context else "{text} once"
        raise UsageError(
            f"data.template={template[:40]}: it must hold {wanted} (data.text has {len(form.text)} columns)"
        )
    return template


def indices(facts: pa.Table, heads: Heads) -> np.ndarray:
    """Class index of each row in each head, `[R, T]` int64, `UNLABELLED` where it has none."""
    places = [{label: index for index, label in enumerate(labels)} for labels in heads.classes.values()]
    none = [None] * len(heads)  # a row that stands in for a record which cannot be used
    found = [
        [UNLABELLED if label is None else place[label] for label, place in zip(labels or none, places, strict=True)]
        for labels in facts["labels"].to_pylist()
    ]
    return np.array(found, dtype=np.int64).reshape(facts.num_rows, len(heads))


def select_rows(facts: pa.Table, limit: int | None) -> tuple[np.ndarray, dict[str, int]]:
    """Positions of the rows with a label in some head, and how many others there were, by reason.

    Raises:
        DataError: no row is left.
    """
    positions = np.arange(min(facts.num_rows, limit or facts.num_rows))
    dropped = {"limit": facts.num_rows - len(positions)}
    labels = facts["labels"].slice(0, len(positions)).to_pylist()
    labelled = np.array([any(label is not None for label in each) for each in labels], dtype=bool)
    dropped["unlabelled"] = int((~labelled).sum())
    positions = positions[labelled]
    if not len(positions):
        raise DataError(f"no row has a label in any head: there is nothing to learn from ({dropped})")
    return positions, {reason: rows for reason, rows in dropped.items() if rows}
