"""Cells that a spreadsheet would run."""

import csv
import io
from pathlib import Path

import pytest

from arena.core import tables


@pytest.mark.parametrize("cell", ["=1+2", "+cmd", "-x", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+2", "--1"])
def test_formulas_become_text_and_come_back(cell: str) -> None:
    assert tables.inert(cell) == f"'{cell}"
    assert tables.as_read(tables.inert(cell)) == cell


@pytest.mark.parametrize("cell", [-0.5, "-0.5", "+1e-3", "-inf", "-", "a=b", "", None, "'quoted'", "'tis"])
def test_numbers_and_other_texts_stay(cell: object) -> None:
    assert tables.inert(cell) == cell
    assert not isinstance(cell, str) or tables.as_read(cell) == cell


def test_cells_survive_delimiters() -> None:
    made = tables.text_of([["a\tb", "=x", 1, None]], "\t")
    assert list(csv.reader(io.StringIO(made), delimiter="\t")) == [["a\tb", "'=x", "1", ""]]


def test_every_table_is_written_in_one_place():
    """But for arena's own journal, and submissions, whose ids a competition compares."""
    source = Path(tables.__file__).parents[1]
    writers = {str(path.relative_to(source)) for path in source.rglob("*.py") if "csv.writer(" in path.read_text()}
    assert writers == {"core/tables.py", "logger/journal.py", "inference/formats.py"}
    joined = [path for path in source.rglob("*.py") if '"\\t".join' in path.read_text()]
    assert joined == []
