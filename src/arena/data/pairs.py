"""Reads pairwise preference files into one table, whoever wrote them.

Three small steps: `files.open_rows` yields the raw rows of a csv, jsonl or parquet file, the names of its columns say
which format it is (`recognise`), and `check_row` turns one raw row into one row of `SCHEMA` or raises `RowError`.
Nothing is inferred from single cells (an answer that reads "null" or "NA" is text), and no row is skipped.
"""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from arena.data.files import ROWS_AT_ONCE, Row, download, open_rows
from arena.errors import DataError, UsageError

log = logging.getLogger("arena")

TEXT_COLUMNS = ("prompt", "response_a", "response_b")
ONE_HOT_COLUMNS = ("winner_model_a", "winner_model_b", "winner_tie")
WINNERS = ("model_a", "model_b", "tie")
TIES = ("tie", "tie (bothbad)", "both_bad")
"""How the arena's own files spell a tie."""
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        *((name, pa.list_(pa.string())) for name in TEXT_COLUMNS),
        *((name, pa.string()) for name in ("model_a", "model_b", "winner", "language", "source")),
        ("weight", pa.float32()),
    ]
)
"""One row is one comparison. The lists hold one element a turn, null where the turn is missing. `winner` is one of
`WINNERS`, null where nobody has voted."""
TRUE_PROBABILITY = pa.field("true_probability", pa.list_(pa.float64()))
"""Only in generated data: the probabilities of `WINNERS` that the label was drawn from."""
ACCEPTED = (
    "accepted: id, prompt, response_a, response_b with winner_model_a, winner_model_b, winner_tie (Kaggle LMSYS and "
    "arena-human-preference-55k), with winner (WSDM; arena's own files also have source), or without labels"
)


class RowError(Exception):
    """One row that cannot be used. `code` sorts such rows for a report, `reason` tells a person."""

    def __init__(self, code: str, column: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.column, self.reason = code, column, reason


@dataclass(frozen=True)
class Format:
    """What the columns of a file mean.

    Attributes:
        name: for people.
        text: "turns" (a list, or a JSON list in a string, one element a turn) or "plain" (one string, one turn).
        labels: "one_hot" (three columns of 0 and 1) or "winner" (one column with a name, perhaps absent).
    """

    name: str
    text: Literal["turns", "plain"]
    labels: Literal["one_hot", "winner"]


FORMATS = {
    "arena": Format("arena", "turns", "winner"),
    "kaggle": Format("Kaggle LMSYS", "turns", "one_hot"),
    "kaggle_test": Format("Kaggle LMSYS without labels", "turns", "winner"),
    "wsdm": Format("WSDM", "plain", "winner"),
}


class PairReader:
    """Reads one file of comparisons: csv, jsonl (either may end in .gz) or parquet.

    Args:
        repo: data set on the Hugging Face hub, used when no path is given: `lmarena-ai/arena-human-preference-55k`.
        file: the file in that repository, e.g. `train.csv`.
        layout: which format to take; "auto" recognises it by its columns.
    """

    def __init__(
        self,
        repo: str | None = None,
        file: str | None = None,
        layout: Literal["auto", "arena", "kaggle", "kaggle_test", "wsdm"] = "auto",
    ) -> None:
        if repo is not None and file is None:
            raise UsageError(f"data.reader.repo={repo} needs data.reader.file=<name of the file in the repository>")
        self.repo = repo
        self.file = file
        self.layout = layout

    def __call__(self, path: str | None = None) -> pa.Table:
        """The table of `path`, or of the hub's file, with the columns of `SCHEMA`.

        Raises:
            UsageError: neither a path nor a repository is known.
            InputOutputError: the file or the hub cannot be read.
            DataError: the columns are unknown, a row is malformed, an id occurs twice, or there is no row.
        """
        place, columns, rows, form = self.open(path)
        table = build_table(place, rows, form, "true_probability" in columns)
        log.info("%s: read as %s, %d rows", place.name, form.name, table.num_rows)
        return table

    def open(self, path: str | None = None) -> tuple[Path, list[str], Iterator[Row], Format]:
        """The file, its columns, its raw rows and its format; reads no further than the first row.

        Called alone, it tells a wrong file from a right one before anything heavy is imported.

        Raises:
            UsageError, InputOutputError, DataError: as the reader itself, but for what only the rows can tell.
        """
        if path is None and self.repo is None:
            raise UsageError("data.path=<file> is needed: a csv, jsonl or parquet file of comparisons")
        place = Path(path).expanduser() if path is not None else download(self.repo or "", self.file or "")
        columns, rows = open_rows(place)
        form = recognise(place, columns) if self.layout == "auto" else FORMATS[self.layout]
        require_columns(place, columns, form)
        return place, columns, rows, form


def recognise(path: Path, columns: list[str]) -> Format:
    """The format that these columns announce. Cells are not looked at."""
    if any(name in columns for name in ONE_HOT_COLUMNS):
        return FORMATS["kaggle"]
    if "source" in columns:
        return FORMATS["arena"]
    if ".csv" in path.suffixes and not {"winner", "language", "scored"}.intersection(columns):
        return FORMATS["kaggle_test"]
    return FORMATS["wsdm"]


def require_columns(path: Path, columns: list[str], form: Format) -> None:
    """Raise a `DataError` where a column that the format needs is missing or occurs twice."""
    needed = ["id", *TEXT_COLUMNS, *(ONE_HOT_COLUMNS if form.labels == "one_hot" else ())]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(f"{path}: missing column {', '.join(missing)}; found {', '.join(columns)}; {ACCEPTED}")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {', '.join(twice)} occurs twice")


def build_table(path: Path, rows: Iterator[Row], form: Format, truth: bool) -> pa.Table:
    """Check every row and stack them. `truth` keeps the column `true_probability`."""
    schema = SCHEMA.append(TRUE_PROBABILITY) if truth else SCHEMA
    first_row: dict[str, int] = {}
    checked = _check_rows(path, rows, form, first_row)
    batches = []
    while some := list(islice(checked, ROWS_AT_ONCE)):
        batches.append(pa.RecordBatch.from_pylist(some, schema=schema))
    if not batches:
        raise DataError(f"{path}: no rows; {ACCEPTED}")
    return pa.Table.from_batches(batches)


def _check_rows(path: Path, rows: Iterator[Row], form: Format, first_row: dict[str, int]) -> Iterator[Row]:
    for number, raw in enumerate(rows, start=1):
        try:
            row = check_row(raw, form)
            if row["id"] in first_row:
                raise RowError("E_DUP_ID", "id", f"{row['id']!r} is already the id of row {first_row[row['id']]}")
        except RowError as error:
            raise DataError(f"{path}: row {number}, column {error.column}: {error.reason}") from error
        first_row[row["id"]] = number
        row["source"] = row["source"] or path.name
        yield row


def check_row(raw: Row, form: Format) -> Row:
    """One row of `SCHEMA` from one raw row.

    Raises:
        RowError: for the first column that breaks the format.
    """
    row: Row = {"id": check_id(raw.get("id"))}
    for name in TEXT_COLUMNS:
        row[name] = check_turns(name, raw.get(name), form)
    for name in ("model_a", "model_b", "language", "source"):
        row[name] = check_name(name, raw.get(name))
    row["winner"] = one_hot_winner(raw) if form.labels == "one_hot" else named_winner(raw.get("winner"))
    row["weight"] = check_weight(raw.get("weight"))
    row["true_probability"] = check_probability(raw.get("true_probability"))
    return row


def check_id(cell: Any) -> str:
    """Ids are strings: WSDM's are text in one file and integers in the other."""
    if isinstance(cell, bool) or not isinstance(cell, str | int) or cell == "":
        raise RowError("E_TYPE", "id", f"{_shown(cell)} is no id; expected text or an integer")
    return check_text("id", str(cell))


def check_turns(column: str, cell: Any, form: Format) -> list[str | None]:
    """The turns in one cell. A missing turn is null, never the word."""
    if form.text == "plain" and (cell is None or isinstance(cell, str)):
        turns = [cell]
    elif isinstance(cell, str):
        try:
            turns = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise RowError("E_JSON", column, f"{_shown(cell)} is not a JSON list of turns ({error})") from error
    else:
        turns = cell
    if not isinstance(turns, list):
        raise RowError("E_TYPE", column, f"{_shown(cell)} is not a list of turns")
    for turn in turns:
        if turn is not None and not isinstance(turn, str):
            raise RowError("E_TYPE", column, f"the turn {_shown(turn)} is neither text nor null")
        if turn is not None:
            check_text(column, turn)
    return turns


def check_text(column: str, text: str) -> str:
    """The text, if it can be written as UTF-8: half a surrogate pair is legal in JSON and nowhere else."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x} at character {error.start}"
        raise RowError("E_SURROGATE", column, f"half a surrogate pair ({half}) is no character; repair it") from error
    return text


def check_name(column: str, cell: Any) -> str | None:
    """A name or null; csv can only write null as an empty cell."""
    if cell is None or cell == "":
        return None
    if not isinstance(cell, str):
        raise RowError("E_TYPE", column, f"{_shown(cell)} is not text")
    return check_text(column, cell)


def one_hot_winner(raw: Row) -> str:
    """The winner from Kaggle's three columns of 0 and 1."""
    cells = [raw.get(name) for name in ONE_HOT_COLUMNS]
    votes = [int(cell) if cell in ("0", "1", 0, 1) else -1 for cell in cells]
    if sorted(votes) != [0, 0, 1]:
        shown = ", ".join(_shown(cell) for cell in cells)
        raise RowError("E_LABEL_SUM", "winner_*", f"expected one 1 and two 0, found {shown}")
    return WINNERS[votes.index(1)]


def named_winner(cell: Any) -> str | None:
    """The winner from one column; empty or null where nobody has voted."""
    if cell is None or cell == "":
        return None
    if cell in TIES:
        return "tie"
    if cell not in WINNERS:
        raise RowError("E_LABEL", "winner", f"{_shown(cell)} is none of {', '.join(WINNERS)}")
    return cell


def check_weight(cell: Any) -> float:
    """Weight of the row in the loss, 1 where none is given."""
    try:
        weight = 1.0 if cell is None or cell == "" else float(cell)
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise RowError("E_TYPE", "weight", f"{_shown(cell)} is not a number of 0 or more")
    return weight


def check_probability(cell: Any) -> list[float] | None:
    """The true probabilities of `WINNERS`, which only generated data know."""
    if cell is None:
        return None
    if not isinstance(cell, list) or len(cell) != len(WINNERS) or not all(isinstance(p, float) for p in cell):
        raise RowError("E_TYPE", "true_probability", f"{_shown(cell)} is not a list of {len(WINNERS)} numbers")
    return cell


def _shown(cell: Any) -> str:
    text = ascii(cell)
    return text if len(text) <= 60 else text[:57] + "..."
