"""The part of the data module for several heads that answers questions."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from arena.core import tables
from arena.core.heads import Heads
from arena.core.run import write_atomically
from arena.data.loading.head_sampling import served
from arena.data.module.description import Description, Split
from arena.data.split.assignment import SPLITS
from arena.data.target import head_table

log = logging.getLogger("arena")
FEW = 10
"""Rows of a class below which its numbers say next to nothing."""


class HeadDescription(Description):
    """See `Description`; targets are `[R, T]` and counts have the classes of all heads side by side, `[C]`.

    Attributes:
        heads: names and classes.
    """

    heads: Heads

    def class_counts(self, split: Split) -> np.ndarray:
        """Rows of each class in a split, `[C]` int64."""
        columns = zip(self.targets(split).T, self.heads.sizes, strict=True)
        return np.concatenate([np.bincount(index[index >= 0], minlength=size) for index, size in columns])

    def served_counts(self) -> np.ndarray:
        """Training rows of each class as an epoch serves them, `[C]` float64."""
        return served(self._target, self._sampler, self.heads)

    def true_probabilities(self, split: Split) -> np.ndarray | None:
        """Not known."""
        return None

    def covariates(self, split: Split) -> pa.Table:
        """Row (position in `table`), id, group, language, source and sizes of the rows of a split."""
        lengths = self.sequences.tokens if hasattr(self, "sequences") else None
        return head_table.covariates(self.table, self.rows(split), lengths)

    def class_shares(self, split: Split) -> dict[str, float]:
        """Share of each class among the rows of a split that its head has a label for."""
        parts = self.heads.split(self.class_counts(split)).values()
        shares = np.concatenate([part / max(1, part.sum()) for part in parts])
        return dict(zip(self.heads.columns, shares.tolist(), strict=True))

    def summary(self) -> dict[str, Any]:
        """The facts for `result.json`, in JSON's types; besides those of comparisons the labelled rows of each head."""
        counts = {name: self.heads.split(self.class_counts(name)) for name in SPLITS}
        labelled = {name: {head: int(part.sum()) for head, part in parts.items()} for name, parts in counts.items()}
        found = super().summary() | {"labelled": labelled}
        found.pop("rows_alike_after_cut", None)
        return found

    def _alike(self) -> int:
        return 0

    def write_splits(self, path: str | Path) -> None:
        """Write id, split and group of every row as parquet, and `classes.tsv` beside it."""
        super().write_splits(path)
        lines = [["head", "class", *SPLITS, *(f"{name}_share" for name in SPLITS)], *self._class_table()]
        write_atomically(Path(path).with_name("classes.tsv"), tables.text_of(lines, "\t"))

    def _class_table(self) -> list[list[Any]]:
        """Head, class, rows in each split and shares in each split."""
        counts = {name: self.class_counts(name) for name in SPLITS}
        shares = {name: list(self.class_shares(name).values()) for name in SPLITS}
        names = [(head, label) for head, labels in self.heads.classes.items() for label in labels]
        return [
            [*pair, *(int(counts[name][i]) for name in SPLITS), *(f"{shares[name][i]:.4f}" for name in SPLITS)]
            for i, pair in enumerate(names)
        ]

    def report(self) -> None:
        """Say in the log what the rows in use are like, with a table of the classes; warn of classes that are tiny."""
        super().report()
        rows = self._class_table()
        wide = max(len(f"{line[0]} {line[1]}") for line in rows)
        for line in rows:
            sizes = "  ".join(f"{line[2 + i]:>6} {name}" for i, name in enumerate(SPLITS))
            log.info("data: %s  %s  %s", f"{line[0]} {line[1]}".ljust(wide), sizes, f"({100 * float(line[5]):.1f}%)")
        tiny = [f"{line[0]}/{line[1]} ({sum(line[2:5])})" for line in rows if sum(line[2:5]) < FEW]
        if tiny:
            log.warning(
                "data: %d classes have fewer than %d rows: %s; a split may have none of them, and then nothing is "
                "known of them there",
                len(tiny), FEW, ", ".join(tiny),
            )  # fmt: skip
        if conflicts := self.source.account.notes.get("W_CONFLICT"):
            log.warning("data: %d rows have the text of another row and other labels; they stay together", conflicts)

    def absent(self) -> list[str]:
        """Classes without a training row."""
        return [name for name, count in zip(self.heads.columns, self.class_counts("train"), strict=True) if not count]
