"""Checks of single cells: each returns the value or raises a `RowError` that names what breaks the format.

Nothing is inferred from what a cell says (an answer that reads "null" or "NA" is text), and nothing is changed unless
`repair` is asked for.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from arena.data.source.examples import PAIR, WINNERS

LONGEST_CELL = 2**24
"""Characters in one cell; Python's own limit for csv, 131,072, is shorter than real answers."""
TIES = ("tie", "tie (bothbad)", "both_bad")
"""How the arena's own files spell a tie."""
ROUNDING = 1e-6
"""How far probabilities may be from a sum of 1."""
CODES = {
    "E_CSV": "a line of a csv file that breaks the syntax: an open quote, or text behind a closing one",
    "E_RAGGED": "a csv record with more or fewer cells than the header",
    "E_JSON": "a line or a cell that is not the JSON it should be",
    "E_ENCODING": "bytes that are not UTF-8",
    "E_TOO_LONG": f"a cell of more than {LONGEST_CELL} characters, or a csv record that does not end",
    "E_TYPE": "a cell of the wrong type, such as a number where text is needed",
    "E_NUL": "the character NUL in a text",
    "E_SURROGATE": "half a surrogate pair in a text: legal in JSON, but no character",
    "E_IMAGE": "a part of a conversation that is not text",
    "E_ROLES": "a conversation in which user and assistant do not take turns",
    "E_TURNS_MISMATCH": "the two sides do not answer the same turns",
    "E_EMPTY_ALL": "no text at all in the prompt and both answers",
    "E_LABEL": "a label that is none of the known ones",
    "E_LABEL_SUM": "label columns of which not exactly one is 1, or probabilities that do not sum to 1",
    "E_DUP_ID": "an id that an earlier row of the same file has",
    "W_NULL_TURN": "a missing turn; it stays missing",
    "W_IDENTICAL_AB": "both answers are the same",
    "W_BIDI": "characters that change the direction of writing, which can hide what a text says",
    "W_MOJIBAKE": "signs of a wrong encoding: U+FFFD, or UTF-8 that was read as Latin-1",
    "W_JSON_TEXT": "plain text in the form of a JSON list; data.reader.layout=arena reads it as turns",
    "W_SYSTEM": "a conversation whose system message, the same on both sides, was left out",
    "W_CONFLICT": "rows with the same prompt and answers but another label",
    "W_REPAIRED": "a text in which U+FFFD was put for what is no character (data.repair=true)",
}
"""What each reason code means. E_: the record is not used. W_: the row is used and counted."""
REPAIRABLE = ("E_NUL", "E_SURROGATE", "E_ENCODING")
"""What `repair` puts right."""

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MOJIBAKE = re.compile("\ufffd|[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac")

# The same in UTF-8, cut to what begins it: looking for bytes first is ten times as fast as either expression.
_BIDI_STARTS = (b"\xd8\x9c", b"\xe2\x80", b"\xe2\x81")
_MOJIBAKE_STARTS = (b"\xef\xbf\xbd", b"\xc3\x82", b"\xc3\x83", b"\xc3\xa2")


class RowError(Exception):
    """One record that cannot be used. `code` is one of `CODES`, `column` may be empty, `reason` tells a person."""

    def __init__(self, code: str, column: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.column, self.reason = code, column, reason


def not_utf8(column: str) -> RowError:
    """The error of a cell, or with no column of a line, whose bytes are no text."""
    return RowError("E_ENCODING", column, "there are bytes that are not UTF-8; convert or repair them")


def without_bad_bytes(text: str) -> str:
    """The text with U+FFFD for the bytes that were not UTF-8 (U+DC80..U+DCFF stand for them)."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def check_text(column: str, text: str, repair: bool = False) -> str:
    """The text, if it is short enough and can be written as UTF-8 without NUL.

    Args:
        column: of the cell.
        text: as it was read.
        repair: join the halves of surrogate pairs, and put U+FFFD for single halves and for NUL.
    """
    if len(text) > LONGEST_CELL:
        raise RowError("E_TOO_LONG", column, f"{len(text)} characters; at most {LONGEST_CELL} are read")
    if "\0" in text:
        if not repair:
            raise RowError("E_NUL", column, f"NUL (\\0 at character {text.index(chr(0))}) is no text; repair it")
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        if repair:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        half = f"\\u{ord(text[error.start]):04x} at character {error.start}"
        raise RowError("E_SURROGATE", column, f"half a surrogate pair ({half}) is no character; repair it") from error
    return text


def check_id(column: str, cell: Any, repair: bool = False) -> str:
    """Ids are strings: WSDM's are text in one file and integers in the other."""
    if isinstance(cell, bool) or not isinstance(cell, str | int) or cell == "":
        raise RowError("E_TYPE", column, f"{shown(cell)} is no id; expected text or an integer")
    return check_text(column, str(cell), repair)


def is_missing(cell: Any) -> bool:
    """Whether a cell holds nothing: null, an empty csv cell, or NaN in a column of numbers."""
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def truth_value(cell: Any) -> bool | None:
    """The truth value that a cell names, as parquet and JSON hold it or as csv writes it ("True"); None for others."""
    if isinstance(cell, str):
        return {"true": True, "false": False}.get(cell.lower())
    return cell if isinstance(cell, bool) else None


def check_name(column: str, cell: Any, repair: bool = False) -> str | None:
    """A name or null; csv can only write null as an empty cell."""
    if is_missing(cell):
        return None
    if not isinstance(cell, str):
        raise RowError("E_TYPE", column, f"{shown(cell)} is not text")
    return check_text(column, cell, repair)


def from_json(column: str, cell: str, wrong: str, advice: str = "") -> Any:
    """What a JSON text says; a `RowError` E_JSON that the cell is `wrong` where it is none."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise RowError("E_JSON", column, f"{shown(cell)} is {wrong} ({error}){advice}") from error


def check_turns(column: str, cell: Any, plain: bool, repair: bool = False) -> list[str | None]:
    """The turns in one cell. A missing turn is null, never the word.

    Args:
        column: of the cell.
        cell: a list of turns; or a string, which is one turn if `plain` and else a JSON list.
        plain: see `cell`; null is one missing turn then.
        repair: see `check_text`.
    """
    if plain and (cell is None or isinstance(cell, str)):
        turns = [cell]
    elif isinstance(cell, str):
        turns = from_json(column, cell, "not a JSON list of turns", "; data.reader.layout=wsdm reads plain text")
    else:
        turns = cell
    if not isinstance(turns, list):
        raise RowError("E_TYPE", column, f"{shown(cell)} is not a list of turns")
    return [None if turn is None else check_turn(column, turn, repair) for turn in turns]


def check_turn(column: str, turn: Any, repair: bool = False) -> str:
    """The text of one turn."""
    if not isinstance(turn, str):
        raise RowError("E_TYPE", column, f"the turn {shown(turn)} is neither text nor null")
    return check_text(column, turn, repair)


def check_sides(texts: dict[str, list[str | None]]) -> None:
    """Both answers must have the turns of the prompt; `[]` says that each is missing. And there must be some text."""
    turns = len(texts["prompt"])
    for name in PAIR.texts[1:]:
        if texts[name] and len(texts[name]) != turns:
            reason = f"{len(texts[name])} turns, but the prompt has {turns}"
            raise RowError("E_TURNS_MISMATCH", name, reason)
    if not any(turn and not turn.isspace() for name in PAIR.texts for turn in texts[name]):
        raise RowError("E_EMPTY_ALL", "prompt", "there is no text in the prompt and both answers")


def notes_of(texts: dict[str, list[str | None]], plain: bool) -> list[str]:
    """The W_ codes of one comparison's texts."""
    found = []
    if any(not turns or None in turns for turns in texts.values()):
        found.append("W_NULL_TURN")
    if texts["response_a"] == texts["response_b"]:
        found.append("W_IDENTICAL_AB")
    if plain and all(_like_a_list(turns[0]) for turns in texts.values() if turns):
        found.append("W_JSON_TEXT")
    return found + foreign_notes(turn for turns in texts.values() for turn in turns)


def foreign_notes(turns: Iterable[str | None]) -> list[str]:
    """The W_ codes of texts that are not ASCII."""
    foreign = [turn for turn in turns if turn and not turn.isascii()]
    if not foreign:
        return []
    said = "\n".join(foreign)
    data = said.encode()
    bidi = any(start in data for start in _BIDI_STARTS) and _BIDI.search(said)
    mojibake = any(start in data for start in _MOJIBAKE_STARTS) and _MOJIBAKE.search(said)
    return [code for code, there in (("W_BIDI", bidi), ("W_MOJIBAKE", mojibake)) if there]


def check_winner(column: str, cell: Any) -> str | None:
    """The winner from one column; empty or null where nobody has voted."""
    if is_missing(cell):
        return None
    if cell in TIES:
        return "tie"
    if cell not in WINNERS:
        raise RowError("E_LABEL", column, f"{shown(cell)} is none of {', '.join(WINNERS)}")
    return cell


def check_shares(cells: Sequence[Any]) -> tuple[str, list[float] | None]:
    """The winner from Kaggle's three columns, and the probabilities where they are not 0 and 1.

    The winner is then the most probable class, the first of equals.
    """
    if cells in (["1", "0", "0"], ["0", "1", "0"], ["0", "0", "1"]):
        return WINNERS[cells.index("1")], None
    truth = [truth_value(cell) for cell in cells]
    shares = [number(cell if said is None else said) for cell, said in zip(cells, truth, strict=True)]
    told = f"expected one 1 and two 0, or probabilities that sum to 1, found {', '.join(map(shown, cells))}"
    if any(share is None or share > 1 for share in shares):
        raise RowError("E_LABEL", "winner_*", told)
    if abs(math.fsum(shares) - 1) > ROUNDING:  # pyright: ignore[reportArgumentType]
        raise RowError("E_LABEL_SUM", "winner_*", told)
    return WINNERS[shares.index(max(shares))], None if set(shares) == {0, 1} else shares  # pyright: ignore


def check_votes(votes: dict[str, Any]) -> tuple[str | None, list[float] | None]:
    """The winner of several votes, a tie where several classes have most; and the shares of `WINNERS`.

    Both are None without a vote, the shares also with one alone.

    Args:
        votes: 0 (tie), 1 (response A), 2 (response B) or nothing, by column.
    """
    counts = dict.fromkeys(("tie", *WINNERS[:2]), 0)
    for column, cell in votes.items():
        if is_missing(cell):
            continue
        vote = number(cell)
        if vote in (0, 1, 2):
            counts[list(counts)[int(vote)]] += 1
        else:
            raise RowError("E_LABEL", column, f"{shown(cell)} is none of 0 (tie), 1 (response A), 2 (response B)")
    total, most = sum(counts.values()), max(counts.values())
    if not total:
        return None, None
    first = [name for name, count in counts.items() if count == most]
    shares = [counts[name] / total for name in WINNERS] if total > 1 else None
    return first[0] if len(first) == 1 else "tie", shares


def check_probability(column: str, cell: Any) -> list[float] | None:
    """The probabilities of `WINNERS`: a list, a JSON list, or nothing."""
    if is_missing(cell):
        return None
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise RowError("E_JSON", column, f"{shown(cell)} is not a JSON list of numbers ({error})") from error
    shares = [number(share) for share in cell] if isinstance(cell, list) else []
    if len(shares) != len(WINNERS) or any(share is None or share > 1 for share in shares):
        raise RowError("E_TYPE", column, f"{shown(cell)} is not a list of {len(WINNERS)} numbers from 0 to 1")
    if abs(math.fsum(shares) - 1) > ROUNDING:  # pyright: ignore[reportArgumentType]
        raise RowError("E_LABEL_SUM", column, f"{shown(cell)} do not sum to 1")
    return shares  # pyright: ignore[reportReturnType]


def check_weight(cell: Any) -> float:
    """Weight of the row in the loss, 1 where none is given."""
    weight = 1.0 if is_missing(cell) else number(cell)
    if weight is None:
        raise RowError("E_TYPE", "weight", f"{shown(cell)} is not a number of 0 or more")
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


def shown(cell: Any) -> str:
    """A cell in a message: printable, on one line, at most 60 characters."""
    try:
        text = ascii(cell[:80] if isinstance(cell, str) else cell)
    except RecursionError:
        text = f"a {type(cell).__name__} of too many levels"
    return text if len(text) <= 60 else text[:57] + "..."


def _like_a_list(text: str | None) -> bool:
    return text is not None and text.startswith("[") and text.endswith("]")
