"""Descriptions of a data module's rows: by split, as arrays, for `result.json` and for tables."""

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
    """The part of a data module that describes its rows, here without classes; `setup` fills the attributes.

    Attributes:
        source: all rows that were read.
        positions: positions in `source` of the R rows in use, increasing.
        split_settings: how they were split.
        sequences: token ids of the rows in use.
    """

    source: Rows
    positions: np.ndarray
    split_settings: SplitSettings
    sequences: Any
    _table: pa.Table | None = None
    _rows: dict[str, np.ndarray]
    _dropped: dict[str, int]
    _groups: Groups
    _target: np.ndarray

    @property
    def table(self) -> pa.Table:
        """The metadata of the rows in use, with the columns `group` and `split`. `setup` must have run."""
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
        """Target of each row of a split: class indices `[M]`, those of each head `[M, T]`, or numbers."""
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
        """Rows of each class in an epoch of training, `[K]` float64."""
        return self.class_counts("train")

    def absent(self) -> list[str]:
        """Classes without a training row."""
        return [name for name, share in self.class_shares("train").items() if not share]

    def true_probabilities(self, split: Split) -> np.ndarray | None:
        """The probabilities that the labels were drawn from, `[M, K]`; None unless the rows are generated."""
        return None

    def covariates(self, split: Split) -> pa.Table:
        """Row (position in `table`), id, group, language, source and sizes of the rows of a split; the column `tokens`
        is null where the rows were split but never tokenised."""
        return self.described(split, {field.name: field.name for field in self.source.example.sizes})

    def described(self, split: Split, columns: dict[str, str]) -> pa.Table:
        """`covariates` with these columns of `table`, by the names that they get."""
        rows = self.rows(split)
        known = self.table.take(pa.array(rows))
        names = {name: name for name in ("id", "group", *self.metadata_columns, "language", "source")} | columns
        tokens = self.sequences.tokens[rows] if hasattr(self, "sequences") else pa.nulls(len(rows), pa.int64())
        return pa.table({"row": rows, **{name: known[column] for name, column in names.items()}, "tokens": tokens})

    metadata_columns: tuple[str, ...] = ()
    """Further columns of `table` among the covariates."""

    def summary(self) -> dict[str, Any]:
        """The numbers for `result.json`, in JSON's types. Every row is accounted for: `rows_read` is the sum of
        `rows_rejected`, `rows_merged`, all of `rows_dropped`, and `rows_kept`."""
        statistics = self.source.statistics
        found: dict[str, Any] = {
            "fingerprint": self.source.fingerprint,
            "validation_fingerprint": self._validation_fingerprint(),
            "formats": statistics.formats,
            "rows_read": statistics.read,
            "rows_rejected": statistics.rejected,
            "reject_codes": statistics.codes,
            "rows_merged": statistics.merged,
            "notes": statistics.notes,
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
            found |= self.token_summary()
            found["tokens"] = {name: int(self.sequences.tokens[rows].sum()) for name, rows in self._rows.items()}
        accounted = statistics.rejected + statistics.merged + sum(self._dropped.values()) + self.table.num_rows
        assert statistics.read == accounted, found
        return found

    def token_summary(self) -> dict[str, Any]:
        """The part of `summary` about rows that were truncated."""
        cut, invisible = self.sequences.is_cut, self.sequences.invisible
        return {"truncated_share": float(cut.mean()), "answer_invisible_share": float(invisible.mean())}

    def _validation_fingerprint(self) -> str:
        """A key of the validation rows, other than that of another split; the same for all folds of one split."""
        parts: list[Split] = ["val"] if self.split_settings.folds is None else ["val", "train"]
        ids = [sorted(self.table.column("id").take(pa.array(self.rows(part))).to_pylist()) for part in parts]
        names = sorted(str(name) for some in ids for name in some)
        return key_of(names, self.split_settings.folds, self.split_settings.seed)

    def write_splits(self, path: str | Path) -> None:
        """Write id, split, group and content (`arena.data.split.provenance`) of every row as parquet, in one step."""
        known = pa.array(contents(self.texts(), self.source.example), pa.string())
        with replacing(Path(path)) as partial:
            pq.write_table(self.table.select(["id", "split", "group"]).append_column(CONTENT, known), partial)

    def report(self) -> None:
        """Describe the rows in use in a few lines of the log."""
        sizes = ", ".join(f"{len(rows)} {name}" for name, rows in self._rows.items())
        dropped = "".join(f", {rows} dropped ({reason})" for reason, rows in self._dropped.items())
        cut = ""
        if hasattr(self, "sequences"):
            invisible = 100 * self.sequences.invisible.mean()
            cut = f"; {100 * self.sequences.is_cut.mean():.1f}% of the rows are truncated"
            cut += f", an answer is invisible in {invisible:.1f}%" if invisible else ""
        log.info("data: %s rows%s%s", sizes, dropped, cut)
        joined = ", ".join(f"{rows} by {reason}" for reason, rows in self._groups.joined.items() if rows)
        log.info("data: groups that stay together: %s; the largest has %d rows", joined or "none", self._groups.largest)
        if absent := self.absent():
            log.warning("data: no training row has the class %s; should data.labels leave it out?", ", ".join(absent))
