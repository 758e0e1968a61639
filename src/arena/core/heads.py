"""Several classifications of one text: their names and classes, side by side in one row of numbers.

A model with the heads `stance` (3 classes) and `sentiment` (2) gives five logits a row, and a predictions file has the
columns `probability_stance_AGAINST`, ..., `target_stance`, `target_sentiment`. A single classification without a name
has no name in its columns either: `probability_model_a`, `target`.

Shape legend: T heads, K classes of one head, C the classes of all heads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from arena.core.errors import UsageError

Labels = Sequence[str] | Mapping[str, Sequence[str]]
"""The classes of the one head that has no name, or those of each head by its name."""
PROBABILITY = "probability_"
LOG_PROBABILITY = "log_probability_"
"""Of a model's own predictions: their logarithms as float64, which tell near 0 and 1 what a float32 cannot."""
TARGET = "target"
LOSS = "loss"
RESERVED = ("mean", "weighted")
"""What no head can be called: the names of the means over heads."""


def several(labels: Labels) -> bool:
    """Whether labels are those of heads with names, and not of one classification."""
    return isinstance(labels, Mapping)


class Heads:
    """Names and classes of all heads, in the order of the logits.

    Args:
        labels: see `Labels`.

    Raises:
        UsageError: no head, a head with fewer than two classes, a class twice, or names whose columns would be one.
    """

    def __init__(self, labels: Labels) -> None:
        self.named = several(labels)
        named: Any = labels if self.named else {"": labels}
        self.classes: dict[str, list[str]] = {name: [str(label) for label in each] for name, each in named.items()}
        if not self.classes:
            raise UsageError("data.heads: at least one head is needed")
        for name, each in self.classes.items():
            where = f"head {name}" if name else "data.labels"
            if name in RESERVED or "/" in name:
                raise UsageError(f"data.heads: {name!r} cannot be the name of a head; rename the column")
            if len(each) < 2 or len(set(each)) < len(each):
                raise UsageError(f"{where}: two or more different classes are needed, it has {each}")
        if len(set(self.columns)) < len(self.columns):
            raise UsageError(f"data.heads: two classes would have one column among {', '.join(self.columns)}; rename")

    def __len__(self) -> int:
        """Number of heads, T."""
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """Names of the heads; one empty name for a single classification."""
        return list(self.classes)

    @property
    def sizes(self) -> list[int]:
        """Classes of each head, `[T]`."""
        return [len(each) for each in self.classes.values()]

    @property
    def width(self) -> int:
        """Classes of all heads together, C."""
        return sum(self.sizes)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each head's classes are in a row of C numbers."""
        found, start = {}, 0
        for name, each in self.classes.items():
            found[name] = slice(start, start + len(each))
            start += len(each)
        return found

    @property
    def columns(self) -> list[str]:
        """A name for each of the C classes: `stance_AGAINST`, or the class itself where the head has no name."""
        return [label for name in self.classes for label in self.columns_of(name)]

    def columns_of(self, head: str) -> list[str]:
        """The same for the classes of one head, `[K]`."""
        return [f"{head}_{label}" if head else label for label in self.classes[head]]

    def probability_columns(self, head: str) -> list[str]:
        """Columns of a predictions file with the probabilities of one head, `[K]`."""
        return [PROBABILITY + column for column in self.columns_of(head)]

    def target_column(self, head: str) -> str:
        """Column of a predictions file with the class that one head should have said."""
        return column(TARGET, head)

    def split(self, rows: Any) -> dict[str, Any]:
        """An array or tensor `[..., C]` as one `[..., K]` for each head."""
        return {name: rows[..., where] for name, where in self.slices.items()}


def column(name: str, head: str) -> str:
    """The name of a column that each head has: `target_stance`, or `target` for the head without a name."""
    return f"{name}_{head}" if head else name
