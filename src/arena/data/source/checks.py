"""Checks of single cells: each returns the value or raises a `RowError` that names what breaks the format.

Nothing is inferred from what a cell says (an answer that reads "null" or "NA" is text), and nothing is changed.
"""

import json
import math
import re
from typing import Any

from arena.data.source.codes import LONGEST_CELL, RowError

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?")


def check_text(column: str, text: str) -> str:
    """The text, if it is short enough and can be written as UTF-8 without NUL."""
    if len(text) > LONGEST_CELL:
        raise RowError("E_TOO_LONG", column, f"{len(text)} characters; at most {LONGEST_CELL} are read")
    if "\0" in text:
        raise RowError("E_ENCODING", column, f"NUL (\\0 at character {text.index(chr(0))}) is no text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            # U+DC80 to U+DCFF stand for bytes that could not be decoded.
            byte = "\udc80" <= text[error.start] <= "\udcff"
            what = "there are bytes that are not UTF-8" if byte else f"half a surrogate pair {ascii(text[error.start])}"
            raise RowError("E_ENCODING", column, f"{what} at character {error.start}; convert the file") from error
    return text


def check_id(column: str, cell: Any) -> str:
    """Ids are strings: WSDM's are text in one file and integers in the other."""
    if isinstance(cell, bool) or not isinstance(cell, str | int) or cell == "":
        raise RowError("E_TYPE", column, f"{format_cell(cell)} is no id; expected text or an integer")
    return check_text(column, str(cell))


def is_missing(cell: Any) -> bool:
    """Tell whether a cell holds nothing: null, an empty csv cell, or NaN in a column of numbers."""
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def truth_value(cell: Any) -> bool | None:
    """The truth value that a cell names, as parquet and JSON hold it or as csv writes it ("True"); None for others."""
    if isinstance(cell, str):
        return {"true": True, "false": False}.get(cell.lower())
    return cell if isinstance(cell, bool) else None


def check_optional_text(column: str, cell: Any) -> str | None:
    """A text or null."""
    if cell is not None and not isinstance(cell, str):
        raise RowError("E_TYPE", column, f"{format_cell(cell)} is not text")
    return None if cell is None else check_text(column, cell)


def check_name(column: str, cell: Any) -> str | None:
    """A name or null; csv can only write null as an empty cell."""
    return None if is_missing(cell) else check_optional_text(column, cell)


def from_json(column: str, cell: str, wrong: str, advice: str = "") -> Any:
    """The value of a JSON text; a `RowError` E_JSON that the cell is `wrong` where it is none."""
    try:
        return json.loads(check_text(column, cell))
    except (ValueError, RecursionError) as error:
        raise RowError("E_JSON", column, f"{format_cell(cell)} is {wrong} ({error}){advice}") from error


def check_turns(column: str, cell: Any, plain: bool) -> list[str | None]:
    """The turns in one cell: a list of texts and nulls; a string is one turn if `plain` and else a JSON list."""
    if plain and (cell is None or isinstance(cell, str)):
        turns = [cell]
    elif isinstance(cell, str):
        turns = from_json(column, cell, "not a JSON list of turns", "; data.reader.layout=wsdm reads plain text")
    else:
        turns = cell
    if not isinstance(turns, list):
        raise RowError("E_TYPE", column, f"{format_cell(cell)} is not a list of turns")
    return [None if turn is None else check_turn(column, turn) for turn in turns]


def check_turn(column: str, turn: Any) -> str:
    """The text of one turn."""
    if not isinstance(turn, str):
        raise RowError("E_TYPE", column, f"the turn {format_cell(turn)} is neither text nor null")
    return check_text(column, turn)


def check_weight(cell: Any) -> float:
    """Weight of the row in the loss, 1 where none is given."""
    weight = 1.0 if is_missing(cell) else number(cell)
    if weight is None:
        raise RowError("E_TYPE", "weight", f"{format_cell(cell)} is not a number of 0 or more")
    return weight


def number(cell: Any) -> float | None:
    """A finite number of 0 or more, or None. Of what `float` reads only plain decimals count, not "1_0" or "nan"."""
    if isinstance(cell, str) and not _NUMBER.fullmatch(cell):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) and value >= 0 else None


def format_cell(cell: Any) -> str:
    """A cell in a message: printable, on one line, at most 60 characters."""
    try:
        text = ascii(cell[:80] if isinstance(cell, str) else cell)
    except RecursionError:
        text = f"a {type(cell).__name__} of too many levels"
    return text if len(text) <= 60 else text[:57] + "..."
