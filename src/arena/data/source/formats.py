"""What the columns of a file mean: the formats that arena knows, and the one row that each makes of one record.

The names of the columns decide, never the cells. Every row gets the keys of `examples.PAIR`.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from arena.core.errors import DataError
from arena.core.schema import closest
from arena.data.source import cells, conversations
from arena.data.source.examples import PAIR, WINNERS, Example

Layout = Literal[
    "auto", "kaggle", "kaggle_test", "wsdm", "wsdm_test", "arena", "arena33k", "arena100k", "arena140k", "hh_rlhf"
]
ONE_HOT = ("winner_model_a", "winner_model_b", "winner_tie")
CONVERSATIONS = ("conversation_a", "conversation_b")
TRANSCRIPTS = ("chosen", "rejected")
OPTIONAL = ("model_a", "model_b", "language", "source", "weight", "probability", "true_probability", "session", "group")
ANNOTATORS = tuple(f"annotator{i}" for i in range(1, 101))
"""One column for each of several annotators, numbered without a gap: 0 for a tie, 1 for response A, 2 for response B,
empty for no vote. Where a file has no `probability`, the shares of their votes are it; where it has no `winner`, the
class with most votes is, and a tie where several have most."""
ACCEPTED = (
    "accepted: id, prompt, response_a, response_b with winner_model_a, winner_model_b, winner_tie (Kaggle LMSYS and "
    "arena-human-preference-55k), with winner (WSDM; arena's own files also have source), or without labels; "
    "conversation_a, conversation_b, winner (arena-human-preference-100k, -140k, chatbot_arena_conversations); "
    "chosen, rejected (HH-RLHF); other names: data.columns={prompt: COLUMN, response_a: COLUMN, response_b: COLUMN}"
)


@dataclass(frozen=True)
class Format:
    """What the columns of a file mean.

    Attributes:
        name: for people.
        texts: "turns" (a list, or a JSON list in a string, one element a turn), "plain" (one string, one turn; a list
            is still turns), "conversations" (two lists of `{role, content}`), or "transcripts" (chosen and rejected).
        labels: "one_hot" (three columns of 0 and 1, or of probabilities), "winner" (one column with a name, perhaps
            absent), or "chosen" (the texts tell).
        id: column of the id.
        session: column that names rows which belong together.
        numbered: whether the number of a record is its id, where there is no column for it.
    """

    name: str
    texts: Literal["turns", "plain", "conversations", "transcripts"]
    labels: Literal["one_hot", "winner", "chosen"]
    id: str = "id"
    session: str = "session"
    numbered: bool = False

    @property
    def example(self) -> Example:
        """The kind of row that a record becomes."""
        return PAIR

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that a file of this format must have."""
        if self.texts == "transcripts":
            return TRANSCRIPTS
        texts = CONVERSATIONS if self.texts == "conversations" else PAIR.texts
        labels = {"one_hot": ONE_HOT, "winner": ("winner",) if self.texts == "conversations" else (), "chosen": ()}
        return (*(() if self.numbered else (self.id,)), *texts, *labels[self.labels])

    def numbered_without_id(self, columns: Collection[str]) -> "Format":
        """The same format for a file with these columns: without one for the id its records are numbered."""
        if self.numbered or self.id in columns:
            return self
        return replace(self, numbered=True, name=f"{self.name} without ids (rows are numbered)")

    @property
    def used(self) -> tuple[str, ...]:
        """Columns that are read where a file has them; arena looks at no other."""
        votes = ANNOTATORS if self.labels == "winner" else ()
        return (
            *self.needed,
            *OPTIONAL,
            *votes,
            self.id,
            self.session,
            *(("winner",) if self.labels == "winner" else ()),
        )

    @property
    def hint(self) -> str:
        """What to do about a missing column."""
        return ACCEPTED

    def row(self, raw: dict[str, Any], number: int, repair: bool, notes: list[str]) -> dict[str, Any]:
        """One row of one record, see `check_row`."""
        return check_row(raw, self, number, repair, notes)


FORMATS = {
    "kaggle": Format("Kaggle LMSYS", "turns", "one_hot"),
    "kaggle_test": Format("Kaggle LMSYS without labels", "turns", "winner"),
    "wsdm": Format("WSDM", "plain", "winner"),
    "wsdm_test": Format("WSDM without labels", "plain", "winner"),
    "arena": Format("arena", "turns", "winner"),
    "arena33k": Format("chatbot_arena_conversations", "conversations", "winner", "question_id"),
    "arena100k": Format("arena-human-preference-100k", "conversations", "winner", "question_id"),
    "arena140k": Format(
        "arena-human-preference-140k", "conversations", "winner", "id", session="evaluation_session_id"
    ),
    "hh_rlhf": Format("HH-RLHF", "transcripts", "chosen", "id", numbered=True),
}


def recognise(columns: Collection[str]) -> Format:
    """The format that these columns announce."""
    present = set(columns)
    if present.intersection(CONVERSATIONS):
        if "question_id" not in present:
            return FORMATS["arena140k"]
        return FORMATS["arena100k" if present & {"conv_metadata", "category_tag", "is_code"} else "arena33k"]
    if present.issuperset(TRANSCRIPTS):
        return FORMATS["hh_rlhf"]
    if present.intersection(ONE_HOT):
        return FORMATS["kaggle"]
    if present & {"source", "weight", "probability", "true_probability", "session", "group"}:
        return FORMATS["arena"]
    if "scored" in present and "winner" not in present:
        return FORMATS["wsdm_test"]
    return FORMATS["wsdm" if present & {"winner", "language", "scored"} else "kaggle_test"]


def require_columns(path: Path, columns: list[str], form: Any) -> None:
    """Raise a `DataError` where a column that the format needs is missing or occurs twice."""
    missing = [name for name in form.needed if name not in columns]
    if missing:
        near = closest(missing[0], columns)
        near = near if "did you mean" in near else ""
        raise DataError(f"{path}: missing column {', '.join(missing)}{near}; found {', '.join(columns)}; {form.hint}")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {', '.join(twice)} occurs twice")


def check_row(
    raw: dict[str, Any], form: Format, number: int = 0, repair: bool = False, notes: list[str] | None = None
) -> dict[str, Any]:
    """One row with the keys of `examples.PAIR` (and `true_probability`) from one record.

    Args:
        raw: the cells by column.
        form: what they mean.
        number: of the record in its file; the id where the format has none.
        repair: see `cells.check_text`.
        notes: gets the W_ codes of the row.

    Raises:
        RowError: for the first column that breaks the format.
    """
    row: dict[str, Any] = PAIR.blank()
    if form.numbered and raw.get(form.id) is None:
        row["id"] = str(number)
    else:
        row["id"] = cells.check_id(form.id, raw.get(form.id), repair)
    notes = [] if notes is None else notes
    texts = _texts(raw, form, row, repair, notes)
    cells.check_sides(texts)
    row |= texts
    for name in ("model_a", "model_b", "language", "source"):
        row[name] = cells.check_name(name, raw.get(name), repair)
    row["session"] = _session(raw, form, repair)
    row["weight"] = cells.check_weight(raw.get("weight"))
    row["true_probability"] = cells.check_probability("true_probability", raw.get("true_probability"))
    _label(raw, form, row)
    notes += cells.notes_of(texts, form.texts == "plain")
    return row


def _texts(
    raw: dict[str, Any], form: Format, row: dict[str, Any], repair: bool, notes: list[str]
) -> dict[str, list[str | None]]:
    """The turns of the three texts; sets the winner in `row` where the texts tell it."""
    if form.texts in ("turns", "plain"):
        return {name: cells.check_turns(name, raw.get(name), form.texts == "plain", repair) for name in PAIR.texts}
    columns = CONVERSATIONS if form.texts == "conversations" else TRANSCRIPTS
    left, right = (conversations.read(name, raw.get(name), repair) for name in columns)
    if form.texts == "transcripts" and conversations.chosen_is_b(left, right):
        left, right, row["winner"] = right, left, "model_b"
    elif form.texts == "transcripts":
        row["winner"] = "model_a"
    return conversations.join(columns, left, right, notes)


def _session(raw: dict[str, Any], form: Format, repair: bool) -> str | None:
    name = form.session if form.session in raw or "group" not in raw else "group"
    cell = raw.get(name)
    return None if cells.is_missing(cell) else cells.check_id(name, cell, repair)


def _label(raw: dict[str, Any], form: Format, row: dict[str, Any]) -> None:
    """Set winner and probability. Where only the probability is known, the most probable class is the winner."""
    if form.labels == "one_hot":
        row["winner"], row["probability"] = cells.check_shares([raw.get(name) for name in ONE_HOT])
        return
    row["probability"] = cells.check_probability("probability", raw.get("probability"))
    if form.labels == "winner":
        row["winner"] = cells.check_winner("winner", raw.get("winner"))
        if row["probability"] is None:
            voted = takewhile(raw.__contains__, ANNOTATORS)
            winner, row["probability"] = cells.check_votes({name: raw[name] for name in voted})
            row["winner"] = row["winner"] or winner
        if row["winner"] is None and row["probability"] is not None:
            row["winner"] = WINNERS[row["probability"].index(max(row["probability"]))]
