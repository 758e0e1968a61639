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
from arena.data.loading.sampling import Sampler
from arena.data.source.rows import WINNERS, Rows
from arena.data.source.toy import true_probabilities
from arena.data.split.assignment import SPLITS
from arena.data.split.groups import Groups
from arena.data.split.prepare import Division
from arena.data.split.provenance import CONTENT, contents
from arena.data.target import facts as tables
from arena.data.text.views import Views

log = logging.getLogger("arena")
Split = Literal["train", "val", "test"]


class Description:
    """The part of a data module that answers questions; the part that reads fills the attributes.

    Attributes:
        labels: the classes in the order of the logits.
        source: all rows that were read.
        positions: positions in `source` of the R rows in use, increasing.
        division: how they were split.
        sequences: token ids of the rows in use.
    """

    labels: Any
    source: Rows
    positions: np.ndarray
    division: Division
    sequences: Views
    _table: pa.Table | None = None
    _target: np.ndarray
    _rows: dict[str, np.ndarray]
    _dropped: dict[str, int]
    _groups: Groups
    _sampler: Sampler

    @property
    def table(self) -> pa.Table:
        """The facts of the rows in use, with the columns `group` and `split`. `setup` must have run."""
        if self._table is None:
            raise UsageError("PairData.setup() must run before its table is used")
        return self._table

    def rows(self, split: Split) -> np.ndarray:
        """Positions in `table` of the rows of a split, increasing, `[M]` int64."""
        if self._table is None or split not in self._rows:
            raise UsageError(f"no split {split!r}; there are {', '.join(SPLITS)}, after PairData.setup()")
        return self._rows[split]

    def targets(self, split: Split) -> np.ndarray:
        """Class index of each row of a split, `[M]` int64."""
        return self._target[self.rows(split)]

    def class_counts(self, split: Split) -> np.ndarray:
        """Rows of each class in a split, `[K]` int64."""
        return np.bincount(self.targets(split), minlength=len(self.labels))

    def class_shares(self, split: Split) -> dict[str, float]:
        """Share of each class in a split."""
        shares = self.class_counts(split) / max(1, len(self.rows(split)))
        return dict(zip(self.labels, shares.tolist(), strict=True))

    def absent(self) -> list[str]:
        """Classes without a training row."""
        return [label for label, count in zip(self.labels, self.class_counts("train"), strict=True) if not count]

    def served_counts(self) -> np.ndarray:
        """Training rows of each class as an epoch serves them, with sampling and exchanged answers, `[K]` float64."""
        return self._sampler.class_counts(self._target, tables.mirror(self.labels), len(self.labels))

    def groups(self, split: Split) -> np.ndarray:
        """Group of each row of a split, `[M]` strings."""
        return np.array(self.table["group"].to_pylist(), dtype=str)[self.rows(split)]

    def true_probabilities(self, split: Split) -> np.ndarray | None:
        """The probabilities that the labels were drawn from, `[M, K]`; None unless the rows are generated.

        Without a class for ties these are the probabilities given that the row is no tie.
        """
        known = true_probabilities(self.table.take(pa.array(self.rows(split))))
        if known is None:
            return None
        chosen = known[:, [WINNERS.index(label) for label in self.labels]]
        return chosen / chosen.sum(axis=1, keepdims=True)

    def covariates(self, split: Split) -> pa.Table:
        """Row (position in `table`), id, group, models, language, source and sizes of the rows of a split; the column
        `tokens` is null where the rows were divided but never tokenised."""
        lengths = self.sequences.tokens if hasattr(self, "sequences") else None
        return tables.covariates(self.table, self.rows(split), lengths)

    def summary(self) -> dict[str, Any]:
        """The facts for `result.json`, in JSON's types. Every row is accounted for: `rows_read` is the sum of
        `rows_rejected`, `rows_merged`, all of `rows_dropped`, and `rows_kept`."""
        account = self.source.account
        found = {
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
            "class_shares": {name: self.class_shares(name) for name in SPLITS},
        }
        if hasattr(self, "sequences"):
            found["truncated_share"] = float(self.sequences.is_cut.mean())
            found["answer_invisible_share"] = float(self.sequences.invisible.mean())
            found["rows_alike_after_cut"] = self._alike()
            found["tokens"] = {name: int(self.sequences.tokens[rows].sum()) for name, rows in self._rows.items()}
        accounted = account.rejected + account.merged + sum(self._dropped.values()) + self.table.num_rows
        assert account.read == accounted, found
        return found

    def _alike(self) -> int:
        """Count the rows whose answers differ, and are equal in what is kept of them."""
        return int(self.sequences.alike.sum())

    def _validation_fingerprint(self) -> str:
        """Return what tells the validation rows from those of another split; the same for all folds of one division."""
        parts: list[Split] = ["val"] if self.division.folds is None else ["val", "train"]
        ids = [sorted(self.table.column("id").take(pa.array(self.rows(part))).to_pylist()) for part in parts]
        return key_of(sorted(str(name) for some in ids for name in some), self.division.folds, self.division.seed)

    def write_splits(self, path: str | Path) -> None:
        """Write id, split, group and content (`arena.data.split.provenance`) of every row as parquet, in one step."""
        known = pa.array(contents(self.texts()), pa.string())
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
        if hasattr(self, "sequences") and (alike := self._alike()):
            log.warning(
                "data: in %d rows the answers differ, and what is kept of them is equal: nobody could tell them apart; "
                "raise data.max_length, or take data.cut=middle or head", alike,
            )  # fmt: skip
        joined = ", ".join(f"{rows} by {reason}" for reason, rows in self._groups.joined.items() if rows)
        log.info("data: groups that stay together: %s; the largest has %d rows", joined or "none", self._groups.largest)
        if absent := self.absent():
            log.warning("data: no training row has the class %s; should data.labels leave it out?", ", ".join(absent))

    def texts(self) -> Iterator[pa.RecordBatch]:
        """The texts of the rows in use in the order of `table`, some thousand at a time."""
        return self.source.texts(self.positions)
