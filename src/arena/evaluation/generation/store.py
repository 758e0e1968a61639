"""Files of a generation: its settings, the batches that are done, and in the end one table of replies."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arena.callback.predictions import write_table
from arena.core.errors import InputOutputError, UsageError
from arena.core.run import write_atomically
from arena.core.values import flat

FILE, SETTINGS, HALVINGS = "generations.parquet", "settings.json", "halvings"
COLUMNS = ["id", "group", "sample", "prompt", "text", "reference", "tokens", "finished", "log_probability"]
"""Of the replies. `finished`: an end token came before `max_new_tokens`; `tokens` counts it too. `log_probability` is
that of the whole reply in nats, at the temperature it was drawn at and before top_p and top_k."""


def read_settings(folder: Path) -> dict[str, Any]:
    """Read `settings.json` of a folder; an `InputOutputError` where there is none, or it is damaged."""
    path = folder / SETTINGS
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputOutputError(f"{path}: cannot be read ({error}); delete {folder} to generate anew") from error


def require_same_settings(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """Raise a `UsageError` with the first difference where replies were made with other settings."""
    before = dict(flat(found))
    for key, value in flat(wanted):
        if before.get(key) != value:
            name = key.rpartition(".")[2]
            raise UsageError(
                f"{folder} holds replies made with {name}={before.get(key)}, not {name}={value}; give name=OTHER, or "
                "delete the folder"
            )


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Replace `settings.json` of a folder in one step."""
    write_atomically(folder / SETTINGS, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


class Parts:
    """The replies of each batch that is done, one file each in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: set[int] = set()
        """Positions of the prompts whose replies are on disk."""
        for path in sorted(folder.glob("part-*.parquet")):
            try:
                self.rows |= set(pq.read_table(path, columns=["row"])["row"].to_pylist())
            except (pa.ArrowInvalid, OSError):  # a machine that lost its power may leave an empty file
                path.unlink()

    @property
    def halvings(self) -> int:
        """How often the batches were halved because one did not fit into memory."""
        path = self.folder / HALVINGS
        return int(path.read_text()) if path.is_file() else 0

    def halve(self) -> None:
        """Halve the batches from here on, also in a later process."""
        write_atomically(self.folder / HALVINGS, str(self.halvings + 1))

    def add(self, table: pa.Table) -> None:
        """Keep a batch; its column `row` has the positions of its prompts."""
        rows = table["row"].to_pylist()
        write_table(self.folder / f"part-{rows[0]:09d}.parquet", table)
        self.rows |= set(rows)

    def table(self, order: list[int]) -> pa.Table:
        """Return all replies, by prompt as in `order` and then by sample, without the column `row`."""
        whole = pa.concat_tables([pq.read_table(path) for path in sorted(self.folder.glob("part-*.parquet"))])
        place = {row: i for i, row in enumerate(order)}
        rows, samples = (whole[name].to_numpy() for name in ("row", "sample"))
        by_prompt = np.lexsort((samples, np.array([place[row] for row in rows.tolist()])))
        return whole.take(pa.array(by_prompt)).select(COLUMNS)
