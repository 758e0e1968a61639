"""The rows that a model was trained on, in `splits.parquet`, and the column `in_sample` of predictions files."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from arena.core.files import read_parquet
from arena.data.source.examples import Example
from arena.data.split.assignment import digest_of

IN_SAMPLE = "in_sample"
"""Column of a file of predictions: the row was a training row of (one of) the models; written where one was."""
CONTENT = "content"
"""Column of `splits.parquet`: see `contents`."""


def contents(texts: Iterable[pa.RecordBatch], example: Example) -> Iterator[str]:
    """Yield 32 hexadecimal digits for each row, the same for the same prompt and answers in either order."""
    for batch in texts:
        for prompt, *answers in example.sides(batch):
            yield digest_of(json.dumps(prompt), *sorted(map(json.dumps, answers))).hex()


def training_contents(splits: Path) -> set[str] | None:
    """The contents of the training rows of a run; None where an older run did not write them to `splits`."""
    table = read_parquet(splits) if splits.is_file() else None
    if table is None or CONTENT not in table.column_names:
        return None
    rows = zip(table[CONTENT].to_pylist(), table["split"].to_pylist(), strict=True)
    return {content for content, split in rows if split == "train"}
