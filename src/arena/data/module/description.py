"""What a data module tells of its rows: by split, as arrays, for `result.json` and for tables."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arena.core.cache import key_of
from arena.core.errors import UsageError
from arena.core.files import replacing
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.groups import Groups
from arena.data.split.prepare import SplitSettings
from arena.data.split.provenance import CONTENT, contents

log = logging.getLogger("arena")
Split = Literal["train", "val", "test"]


class Description:
    """The part of a data module that answers questions; the part that reads fills the attributes.

    The answers here are those of rows without classes.

    Attributes:
        source: all rows that were read.
        positions: positions in `source` of the R rows in use, increasing.
        division: how they were split.
        sequences: token ids of the rows in use.
    """

    source: Rows
    positions: np.ndarray
    division: SplitSettings
    sequences: Any
    _table: pa.Table | None = None
    _rows: dict[str, np.ndarray]
    _dropped: dict[str, int]
    _groups: Groups
    _target: np.ndarray

    @property
    def table(self) -> pa.Table:
        """The facts of the rows in use, with the columns `group` and `split`. `setup` must have run."""
        if self._table is None:
            raise UsageError("the data must be set up before their table is used")
        return self._table

    def rows(self, split: Split) -> np.ndarray:
        """Positions in `table` of the rows of a split, increasing, `[M]` int64."""
        if self._table is None or split not in self._rows:
            raise UsageError(f"no split {split!r}; there are {', '.join(SPLITS)}, once the data are set up")
        return self._rows[split]

    def groups(self, split: Split) -> np.ndarray:
        """Group of each row of a split, `[M]` strings."""
        return np.array(self.table["group"].to_pylist(), dtype=str)[self.rows(split)]

    def targets(self, split: Split) -> np.ndarray:
        """What each row of a split should be told: class indices `[M]`, those of each head `[M, T]`, or numbers."""
        return self._target[self.rows(split)]

    def texts(self) -> Iterator[pa.RecordBatch]:
        """The texts of the rows in use in the order of `table`, some thousand at a time."""
        return self.source.texts(self.positions)

    def class_counts(self, split: Split) -> np.ndarray:
        """Rows of each class in a split, `[K]` int64."""
        return np.empty(0, np.int64)

    def class_shares(self, split: Split) -> dict[str, float]:
        """Share of each class in a split."""
        return {}

    def sampled_class_counts(self) -> np.ndarray:
        """Training rows of each class as an epoch serves them, `[K]` float64."""
        return self.class_counts("train")

    def absent(self) -> list[str]:
        """Classes without a training row."""
        return []

    def true_probabilities(self, split: Split) -> np.ndarray | None:
        """The probabilities that the labels were drawn from, `[M, K]`; None unless the rows are generated."""
        return None

    def covariates(self, split: Split) -> pa.Table:
        """Row (position in `table`), id, group, language, source and sizes of the rows of a split; the column `tokens`
        is null where the rows were divided but never tokenised."""
        sizes = [field.name for field in self.source.example.sizes]
        return self.described(split, {name: name for name in ("language", "source", *sizes)})

    def described(self, split: Split, names: dict[str, str]) -> pa.Table:
        """Row, id and group of the rows of a split, columns of `table` by the names that they get, and tokens."""
        rows = self.rows(split)
        known = self.table.take(pa.array(rows))
        columns = {name: known[column] for name, column in ({"id": "id", "group": "group"} | names).items()}
        tokens = self.sequences.tokens[rows] if hasattr(self, "sequences") else pa.nulls(len(rows), pa.int64())
        return pa.table({"row": rows, **columns, "tokens": tokens})

    def summary(self) -> dict[str, Any]:
        """The facts for `result.json`, in JSON's types. Every row is accounted for: `rows_read` is the sum of
        `rows_rejected`, `rows_merged`, all of `rows_dropped`, and `rows_kept`."""
        account = self.source.account
        found: dict[str, Any] = {
            "fingerprint": self.source.fingerprint,
            "validation_fingerprint": self._validation_fingerprint(),
            "formats": account.formats,
            "rows_read": account.read,
            "rows_rejected": account.rejected,
            "reject_codes": account.codes,
            "rows_merged": account.merged,
            "notes": account.notes,
            "rows_dropped": self._dropped,
            "rows_kept": self.table.num_rows,
            "splits": {name: len(rows) for name, rows in self._rows.items()},
            "groups": {name: len(set(self.groups(name))) for name in SPLITS},
            "joined": self._groups.joined,
            "largest_group": self._groups.largest,
        }
        if shares := {name: known for name in SPLITS if (known := self.class_shares(name))}:
            found["class_shares"] = shares
        if hasattr(self, "sequences"):
            found |= self.told_of_tokens()
            found["tokens"] = {name: int(self.sequences.tokens[rows].sum()) for name, rows in self._rows.items()}
        accounted = account.rejected + account.merged + sum(self._dropped.values()) + self.table.num_rows
        assert account.read == accounted, found
        return found

    def told_of_tokens(self) -> dict[str, Any]:
        """What `summary` tells of rows that were cut."""
        cut, invisible = self.sequences.is_cut, self.sequences.invisible
        return {"truncated_share": float(cut.mean()), "answer_invisible_share": float(invisible.mean())}

    def _validation_fingerprint(self) -> str:
        """Return what tells the validation rows from those of another split; the same for all folds of one division."""
        parts: list[Split] = ["val"] if self.division.folds is None else ["val", "train"]
        ids = [sorted(self.table.column("id").take(pa.array(self.rows(part))).to_pylist()) for part in parts]
        return key_of(sorted(str(name) for some in ids for name in some), self.division.folds, self.division.seed)

    def write_splits(self, path: str | Path) -> None:
        """Write id, split, group and content (`arena.data.split.provenance`) of every row as parquet, in one step."""
        known = pa.array(contents(self.texts(), self.source.example), pa.string())
        with replacing(Path(path)) as partial:
            pq.write_table(self.table.select(["id", "split", "group"]).append_column(CONTENT, known), partial)

    def report(self) -> None:
        """Say in a few lines of the log what the rows in use are like."""
        sizes = ", ".join(f"{len(rows)} {name}" for name, rows in self._rows.items())
        dropped = "".join(f", {rows} dropped ({reason})" for reason, rows in self._dropped.items())
        cut = ""
        if hasattr(self, "sequences"):
            invisible = 100 * self.sequences.invisible.mean()
            cut = f"; {100 * self.sequences.is_cut.mean():.1f}% of the rows are cut"
            cut += f", an answer is invisible in {invisible:.1f}%" if invisible else ""
        log.info("data: %s rows%s%s", sizes, dropped, cut)
        joined = ", ".join(f"{rows} by {reason}" for reason, rows in self._groups.joined.items() if rows)
        log.info("data: groups that stay together: %s; the largest has %d rows", joined or "none", self._groups.largest)
        if absent := self.absent():
            log.warning("data: no training row has the class %s; should data.labels leave it out?", ", ".join(absent))
