"""Questions that one asks of the facts of texts with several labels, answered as arrays."""

import numpy as np
import pyarrow as pa

from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.core.types import UNLABELLED
from arena.data.source.head_format import HeadFormat
from arena.data.source.rows import SIZES


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
    made = template.replace("{text}", "{prompt}").replace("{context}", "{response}")
    return made if context else made.replace("{prompt}", "{prompt}{response}")


def indices(facts: pa.Table, heads: Heads) -> np.ndarray:
    """Class index of each row in each head, `[R, T]` int64, `UNLABELLED` where it has none."""
    places = [{label: index for index, label in enumerate(labels)} for labels in heads.classes.values()]
    found = [
        [UNLABELLED if label is None else place[label] for label, place in zip(labels, places, strict=True)]
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


def covariates(table: pa.Table, rows: np.ndarray, tokens: np.ndarray | None) -> pa.Table:
    """What is known of some rows besides their text and labels; see `arena.data.target.facts.covariates`."""
    sizes = {"characters": table[SIZES[0].name], "context_characters": table[SIZES[1].name]}
    names = ["id", "group", "language", "source"]
    known = pa.table({**{name: table[name] for name in names}, **sizes}).take(pa.array(rows))
    counted = pa.nulls(len(rows), pa.int64()) if tokens is None else tokens[rows]
    return pa.table({"row": rows, **{name: known[name] for name in known.column_names}, "tokens": counted})
