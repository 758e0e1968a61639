"""The kinds of rows: which columns of text a row has, and what is known of it besides."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

WINNERS = ("model_a", "model_b", "tie")
_ONE_TEXT = pa.list_(pa.string())


@dataclass(frozen=True)
class Example:
    """The schema of one kind of row.

    A text is a list with one element a turn, null where the turn is missing.

    Attributes:
        texts: the columns of text, whose tokens lie in this order, turn for turn. By the first one rows are grouped:
            equal ones are never divided between training and test.
        outcome: facts that people told about the row; the first one is null where nobody has.
        known: other facts of this kind.
    """

    texts: tuple[str, ...]
    outcome: tuple[pa.Field, ...] = ()
    known: tuple[pa.Field, ...] = ()

    @cached_property
    def text_schema(self) -> pa.Schema:
        """The columns of text."""
        return pa.schema([(name, _ONE_TEXT) for name in self.texts])

    @cached_property
    def fact_schema(self) -> pa.Schema:
        """What is kept in memory of a row. Rows of one `session` belong together; `source` names the file or set."""
        shared = [pa.field(name, pa.string()) for name in ("language", "session", "source")]
        weight = pa.field("weight", pa.float32())
        return pa.schema([pa.field("id", pa.string()), *self.outcome, weight, *self.known, *shared])

    @cached_property
    def sizes(self) -> list[pa.Field]:
        """Counted while writing: characters in all turns of each text, and turns of the first one."""
        return [pa.field(f"{name}_characters", pa.int64()) for name in self.texts] + [pa.field("turns", pa.int64())]

    def blank(self) -> dict[str, Any]:
        """A row of which nothing is known, without texts."""
        return dict.fromkeys(self.fact_schema.names)

    def told(self, row: dict[str, Any]) -> str | None:
        """The outcome of a row as one string; None where there is none."""
        values = [row[field.name] for field in self.outcome]
        first = values[0] if values else None
        nothing = first is None or (isinstance(first, list) and not any(each is not None for each in first))
        return None if nothing else " ".join(map(str, values))

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
"""A text to classify and what gives it context. `labels` holds the class of each head in their order, null where it has
none."""
CONVERSATION = Example(("prompt", "reply", "system"))
"""A conversation: the turns of the user, those of the assistant with the reply last, and the system message."""
