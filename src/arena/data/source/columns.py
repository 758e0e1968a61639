"""Files of comparisons whose columns have names of their own (`data.columns`)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from arena.core.errors import DataError, UsageError
from arena.core.schema import closest
from arena.data.source import formats
from arena.data.source.cells import RowError
from arena.data.source.examples import PAIR, Example
from arena.data.source.formats import ANNOTATORS, CONVERSATIONS, FORMATS, ONE_HOT, OPTIONAL, TRANSCRIPTS, Format, Layout

LABELS = ("winner", *ONE_HOT, "probability", "true_probability", *ANNOTATORS)
"""What rows to predict need not have."""
NAMES = ("id", "question_id", *PAIR.texts, *CONVERSATIONS, *TRANSCRIPTS, *LABELS, *OPTIONAL, "evaluation_session_id")
"""Arena's names of columns."""


@dataclass(frozen=True)
class Renamed:
    """A format with the file's own names of columns.

    Attributes:
        form: what the columns mean.
        theirs: the file's name of a column by arena's.
    """

    form: Format
    theirs: Mapping[str, str]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.form.name} with {', '.join(f'{ours}: {theirs}' for ours, theirs in self.theirs.items())}"

    @property
    def example(self) -> Example:
        """The kind of row that a record becomes."""
        return self.form.example

    @property
    def id(self) -> str:
        """Column of the id."""
        return self.theirs.get(self.form.id, self.form.id)

    @property
    def numbered(self) -> bool:
        """Whether the number of a record is its id."""
        return self.form.numbered

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        return tuple(self.theirs.get(name, name) for name in self.form.needed)

    @property
    def used(self) -> tuple[str, ...]:
        """Columns that are read where a file has them."""
        return tuple(self.theirs.get(name, name) for name in self.form.used)

    @property
    def hint(self) -> str:
        """What to do about a missing column."""
        return self.form.hint

    def row(self, raw: dict[str, Any], number: int, repair: bool, notes: list[str]) -> dict[str, Any]:
        """One row of one record, see `arena.data.source.formats.check_row`; an error names the file's column."""
        taken = set(self.theirs.values())
        known = {name: cell for name, cell in raw.items() if name not in taken}
        known |= {ours: raw.get(theirs) for ours, theirs in self.theirs.items()}
        try:
            return self.form.row(known, number, repair, notes)
        except RowError as error:
            error.column = self.theirs.get(error.column, error.column)
            raise


@dataclass(frozen=True)
class Columns:
    """Layout of files with other names of columns.

    Attributes:
        layout: a key of `formats.FORMATS`; "auto" goes by the names.
        theirs: the files' name of a column by arena's.
        labelled: whether columns with labels must be there.
    """

    layout: Layout
    theirs: Mapping[str, str]
    labelled: bool = True

    def check(self) -> "Columns":
        """The names themselves. Raises a `UsageError` for a name that arena does not know, or a column named twice."""
        values = list(self.theirs.values())
        for ours, theirs in self.theirs.items():
            if ours not in NAMES:
                raise UsageError(f"data.columns.{ours}: arena reads no such column{closest(ours, NAMES)}")
            if values.count(theirs) > 1:
                raise UsageError(f"data.columns: {theirs} is named twice")
        return self

    def unlabelled(self) -> "Columns":
        """The same columns, where those with labels need not be there."""
        return replace(self, labelled=False)

    def of(self, path: Path, columns: list[str]) -> Renamed:
        """The format of a file with these columns. Texts under names of their own are plain ones unless the layout says
        otherwise: the lists of turns in a string are Kaggle's.

        Raises:
            DataError: a column is not there.
        """
        theirs = dict(self.theirs)
        for ours, name in self.theirs.items():
            if name not in columns and (self.labelled or ours not in LABELS):
                raise DataError(f"{path}: no column {name} (data.columns.{ours}){closest(name, columns)}")
            if name not in columns:
                del theirs[ours]
        taken = set(theirs.values())
        present = [*theirs, *(name for name in columns if name not in taken)]
        form = formats.recognise(present) if self.layout == "auto" else FORMATS[self.layout]
        if self.layout == "auto" and form.texts == "turns" and theirs.keys() & set(PAIR.texts):
            form = replace(form, texts="plain")
        return Renamed(form.numbered_without_id(present), theirs)
