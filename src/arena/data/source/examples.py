"""The schemas of the kinds of rows: columns of text, labels and metadata."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

WINNERS = ("model_a", "model_b", "tie")


@dataclass(frozen=True)
class Example:
    """The schema of one kind of row.

    A text is a list with one element a turn, null where the turn is missing.

    Attributes:
        texts: columns of text, whose tokens lie in this order, turn for turn. Rows are grouped by the first one: equal
            ones are never divided between training and test.
        labels: columns of labels; the first one is null where nobody has given any.
        known: further metadata of this kind.
    """

    texts: tuple[str, ...]
    labels: tuple[pa.Field, ...] = ()
    known: tuple[pa.Field, ...] = ()

    @cached_property
    def text_schema(self) -> pa.Schema:
        """The columns of text."""
        return pa.schema([(name, pa.list_(pa.string())) for name in self.texts])

    @cached_property
    def metadata_schema(self) -> pa.Schema:
        """The columns in memory. Rows of one `session` belong together; `source` names the file or set."""
        shared = [pa.field(name, pa.string()) for name in ("language", "session", "source")]
        weight = pa.field("weight", pa.float32())
        return pa.schema([pa.field("id", pa.string()), *self.labels, weight, *self.known, *shared])

    @cached_property
    def sizes(self) -> list[pa.Field]:
        """Counted while writing: characters in all turns of each text, and turns of the first one."""
        return [pa.field(f"{name}_characters", pa.int64()) for name in self.texts] + [pa.field("turns", pa.int64())]

    def blank(self) -> dict[str, Any]:
        """A row with null in every column of metadata, and without texts."""
        return dict.fromkeys(self.metadata_schema.names)

    def sides(self, texts: pa.RecordBatch) -> Iterator[tuple[list[str | None], ...]]:
        """The first text of each row, and two others whose order says nothing; an empty one where there are fewer."""
        columns = [texts.column(name).to_pylist() for name in self.texts]
        columns += [[[""]] * texts.num_rows for _ in range(3 - len(columns))]
        yield from zip(*columns, strict=True)


PAIR = Example(
    ("prompt", "response_a", "response_b"),
    (pa.field("winner", pa.string()), pa.field("probability", pa.list_(pa.float64()))),
    (pa.field("model_a", pa.string()), pa.field("model_b", pa.string())),
)
"""A comparison of two answers: the turns of the user, and the answers of both sides to them. `winner` is one of
`WINNERS`, null where nobody has voted; `probability` holds the label probabilities of `WINNERS` where they are known
better than by one vote."""
TRUE_PROBABILITY = pa.field("true_probability", pa.list_(pa.float64()))
"""Only in generated comparisons: the probabilities of `WINNERS` that the label was drawn from."""
LABELLED_TEXT = Example(("text", "context"), (pa.field("labels", pa.list_(pa.string())),))
"""A text to classify and its context. `labels` holds the class of each head in their order, null where it has none."""
CONVERSATION = Example(("prompt", "reply", "system"))
"""A conversation: the turns of the user, those of the assistant with the reply last, and the system message."""
