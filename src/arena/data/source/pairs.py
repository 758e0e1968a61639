"""Files of comparisons: the formats that arena knows by the names of their columns, and their reader."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from arena.core.errors import DataError, UsageError
from arena.core.schema import closest
from arena.data.source.checks import check_turns
from arena.data.source.codes import RowError
from arena.data.source.conversations import ParsedConversation, as_turns, read_messages
from arena.data.source.examples import PAIR, Example
from arena.data.source.formats import SHARED, Format
from arena.data.source.reader import FileReader
from arena.data.source.winners import ANNOTATORS, ONE_HOT, check_probability, read_label

CONVERSATIONS = ("conversation_a", "conversation_b")
TRANSCRIPTS = ("chosen", "rejected")
LABELS = ("winner", *ONE_HOT, "probability", "true_probability", *ANNOTATORS)
"""Columns that rows to predict need not have."""
NAMES = (
    *("id", "question_id", *PAIR.texts, *CONVERSATIONS, *TRANSCRIPTS, *LABELS, "model_a", "model_b", *SHARED),
    *("session", "group", "evaluation_session_id"),
)
"""Arena's names of columns."""
ACCEPTED = (
    "accepted: id, prompt, response_a, response_b with winner_model_a, winner_model_b, winner_tie (Kaggle LMSYS and "
    "arena-human-preference-55k), with winner (WSDM; arena's own files also have source), or without labels; "
    "conversation_a, conversation_b, winner (arena-human-preference-100k, -140k, chatbot_arena_conversations); "
    "chosen, rejected (HH-RLHF); other names: data.columns={prompt: COLUMN, response_a: COLUMN, response_b: COLUMN}"
)


@dataclass(frozen=True, kw_only=True)
class PairFormat(Format):
    """Columns of comparisons.

    Attributes:
        texts: "turns" (a list, or a JSON list in a string, one element a turn), "plain" (one string, one turn; a list
            is still turns), "conversations" (two lists of messages), or "transcripts" (chosen and rejected).
        labels: "one_hot" (three columns of 0 and 1, or of probabilities), "winner" (one column with a name, perhaps
            absent), or "chosen" (the texts tell).
    """

    example: Example = PAIR
    hint: str = ACCEPTED
    numbered: bool = False
    texts: Literal["turns", "plain", "conversations", "transcripts"]
    labels: Literal["one_hot", "winner", "chosen"]
    needed: tuple[str, ...] = field(init=False)
    read: Any = field(init=False, repr=False, compare=False)
    optional: tuple[str, ...] = ("model_a", "model_b", *LABELS)
    groups: tuple[str, ...] = ("session", "group")

    def __post_init__(self) -> None:
        texts = {"conversations": (*CONVERSATIONS, "winner"), "transcripts": TRANSCRIPTS}.get(self.texts, PAIR.texts)
        needed = (*(() if self.numbered else (self.id,)), *texts, *(ONE_HOT if self.labels == "one_hot" else ()))
        object.__setattr__(self, "needed", needed)
        object.__setattr__(self, "read", self._read)

    def numbered_without_id(self, columns: Collection[str]) -> "PairFormat":
        """The same format for a file with these columns: without one for the id its records are numbered."""
        if self.numbered or self.id in columns:
            return self
        return replace(self, numbered=True, name=f"{self.name} without ids (rows are numbered)")

    def _read(self, raw: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        """Texts, labels, and `true_probability`."""
        if self.texts in ("turns", "plain"):
            row: dict[str, Any] = {n: check_turns(n, raw.get(n), self.texts == "plain") for n in PAIR.texts}
        else:
            row = _both_sides(raw, CONVERSATIONS if self.texts == "conversations" else TRANSCRIPTS, notes)
        _check_sides(row)
        row["true_probability"] = check_probability("true_probability", raw.get("true_probability"))
        if self.labels != "chosen":
            row["winner"], row["probability"] = read_label(raw, self.labels == "one_hot")
        if any(not row[name] or None in row[name] for name in PAIR.texts):
            notes.append("W_NULL_TURN")
        if row["response_a"] == row["response_b"]:
            notes.append("W_IDENTICAL_AB")
        if self.texts == "plain" and all(_is_listed(row[name]) for name in PAIR.texts if row[name]):
            notes.append("W_JSON_TEXT")
        return row


@dataclass(frozen=True, kw_only=True)
class RenamedFormat(Format):
    """A format with the file's own names of columns.

    Attributes:
        form: the format in arena's names.
        theirs: the file's name of a column by arena's.
    """

    form: Format
    theirs: Mapping[str, str]

    @staticmethod
    def of(form: Format, theirs: Mapping[str, str]) -> "RenamedFormat":
        """A format in the names of a file."""

        def named(columns: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(theirs.get(name, name) for name in columns)

        return RenamedFormat(
            name=f"{form.name} with {', '.join(f'{ours}: {name}' for ours, name in theirs.items())}",
            example=form.example, needed=named(form.needed), optional=named((*form.optional, *SHARED)),
            id=theirs.get(form.id, form.id), groups=named(form.groups), hint=form.hint, form=form, theirs=theirs,
            read=form.read,
        )  # fmt: skip

    def row(self, raw: dict[str, Any], number: int, notes: list[str]) -> dict[str, Any]:
        """See `Format.row`; an error names the file's column."""
        taken = set(self.theirs.values())
        known = {name: cell for name, cell in raw.items() if name not in taken}
        known |= {ours: raw.get(name) for ours, name in self.theirs.items()}
        try:
            return self.form.row(known, number, notes)
        except RowError as error:
            error.column = self.theirs.get(error.column, error.column)
            raise


FORMATS = {
    "kaggle": PairFormat(name="Kaggle LMSYS", texts="turns", labels="one_hot"),
    "kaggle_test": PairFormat(name="Kaggle LMSYS without labels", texts="turns", labels="winner"),
    "wsdm": PairFormat(name="WSDM", texts="plain", labels="winner"),
    "wsdm_test": PairFormat(name="WSDM without labels", texts="plain", labels="winner"),
    "arena": PairFormat(name="arena", texts="turns", labels="winner"),
    "arena33k": PairFormat(
        name="chatbot_arena_conversations", texts="conversations", labels="winner", id="question_id"
    ),
    "arena100k": PairFormat(
        name="arena-human-preference-100k", texts="conversations", labels="winner", id="question_id"
    ),
    "arena140k": PairFormat(
        name="arena-human-preference-140k", texts="conversations", labels="winner",
        groups=("evaluation_session_id", "group"),
    ),
    "hh_rlhf": PairFormat(name="HH-RLHF", texts="transcripts", labels="chosen", numbered=True),
}  # fmt: skip
Layout = Literal[
    "auto", "kaggle", "kaggle_test", "wsdm", "wsdm_test", "arena", "arena33k", "arena100k", "arena140k", "hh_rlhf"
]


def recognise(columns: Collection[str]) -> PairFormat:
    """The format that the names of these columns announce."""
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


class PairReader(FileReader):
    """Reads files of comparisons: csv, jsonl (either may end in .gz) or parquet.

    Args:
        repo, file, split: see `FileReader`.
        layout: the format of the files; "auto" recognises it by the names of the columns.
        columns: the file's name of a column by arena's, where it is another: `{prompt: question}`.
    """

    unit = "comparisons"

    def __init__(
        self,
        repo: str | None = None,
        file: str | None = None,
        split: str | None = None,
        layout: Layout = "auto",
        columns: dict[str, str] | None = None,
    ) -> None:
        super().__init__(repo, file, split)
        self.layout, self.columns = layout, dict(columns or {})
        values = list(self.columns.values())
        for ours, theirs in self.columns.items():
            if ours not in NAMES:
                raise UsageError(f"data.columns.{ours}: arena reads no such column{closest(ours, NAMES)}")
            if values.count(theirs) > 1:
                raise UsageError(f"data.columns: {theirs} is named twice")

    @property
    def settings(self) -> str:
        """See `FileReader.settings`."""
        theirs = f"Columns(layout={self.layout!r}, theirs={self.columns!r}, labelled={self.labelled!r})"
        return theirs if self.columns else self.layout

    def format_of(self, path: Path, columns: list[str]) -> Format:
        """See `FileReader.format_of`. Texts under names of their own are plain ones unless the layout says otherwise:
        the lists of turns in a string are Kaggle's."""
        theirs = dict(self.columns)
        for ours, name in self.columns.items():
            if name not in columns and (self.labelled or ours not in LABELS):
                raise DataError(f"{path}: no column {name} (data.columns.{ours}){closest(name, columns)}")
            if name not in columns:
                del theirs[ours]
        taken = set(theirs.values())
        present = [*theirs, *(name for name in columns if name not in taken)]
        form = recognise(present) if self.layout == "auto" else FORMATS[self.layout]
        if self.layout == "auto" and form.texts == "turns" and theirs.keys() & set(PAIR.texts):
            form = replace(form, texts="plain")
        form = form.numbered_without_id(present)
        return RenamedFormat.of(form, theirs) if theirs else form


def _is_listed(turns: list[str | None]) -> bool:
    return turns[0] is not None and turns[0].startswith("[") and turns[0].endswith("]")


def _both_sides(raw: dict[str, Any], columns: tuple[str, str], notes: list[str]) -> dict[str, Any]:
    """The texts of two conversations with the same user, and the winner where the columns are `TRANSCRIPTS`.

    A system message is left out, and noted, where both sides got the same; otherwise the sides had different tasks.
    """
    left, right = (_conversation(name, raw.get(name)) for name in columns)
    if left.user != right.user:
        raise RowError("E_TURNS_MISMATCH", columns[1], f"the user's turns differ from those of {columns[0]}")
    if left.system != right.system:
        raise RowError("E_TURNS_MISMATCH", columns[1], f"the system message differs from that of {columns[0]}")
    if left.system is not None:
        notes.append("W_SYSTEM")
    texts: dict[str, Any] = {"prompt": left.user}
    if columns == TRANSCRIPTS:
        # A bit of a hash of both texts places the better answer: it never changes, and half of all are b.
        second = blake2b(json.dumps([left, right]).encode(), digest_size=1).digest()[0] & 1
        texts["winner"] = "model_b" if second else "model_a"
        left, right = (right, left) if second else (left, right)
    return texts | {"response_a": left.assistant, "response_b": right.assistant}


def _conversation(column: str, cell: Any) -> ParsedConversation:
    found = as_turns(column, read_messages(column, cell))
    missing = [None] * (len(found.user) - len(found.assistant))
    return found._replace(assistant=found.assistant + missing)


def _check_sides(texts: dict[str, Any]) -> None:
    """Both answers must have the turns of the prompt; `[]` says that each is missing. And there must be some text."""
    turns = len(texts["prompt"])
    for name in PAIR.texts[1:]:
        if texts[name] and len(texts[name]) != turns:
            raise RowError("E_TURNS_MISMATCH", name, f"{len(texts[name])} turns, but the prompt has {turns}")
    if not any(turn and not turn.isspace() for name in PAIR.texts for turn in texts[name]):
        raise RowError("E_EMPTY_ALL", "prompt", "there is no text in the prompt and both answers")
