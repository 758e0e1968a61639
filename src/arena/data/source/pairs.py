"""Reads pairwise preference files into the `Rows` of one data set."""

from typing import Literal

from arena.data.source.columns import Columns
from arena.data.source.reader import FileReader


class PairReader(FileReader):
    """Reads files of comparisons: csv, jsonl (either may end in .gz) or parquet.

    Args:
        repo: data set on the Hugging Face hub, or a folder laid out like one, used when no path is given:
            `lmarena-ai/arena-human-preference-55k`.
        file: one file in that repository, e.g. `train.csv`; all files of the split by default.
        split: which split of the repository, where it has several.
        layout: which format to take; "auto" recognises it by the names of the columns.
        columns: the file's name of a column by arena's, where it is another: `{prompt: question}`.
    """

    unit = "comparisons"

    def __init__(
        self,
        repo: str | None = None,
        file: str | None = None,
        split: str | None = None,
        layout: Literal[
            "auto",
            "kaggle",
            "kaggle_test",
            "wsdm",
            "wsdm_test",
            "arena",
            "arena33k",
            "arena100k",
            "arena140k",
            "hh_rlhf",
        ] = "auto",
        columns: dict[str, str] | None = None,
    ) -> None:
        super().__init__(Columns(layout, columns).check() if columns else layout, repo, file, split)
