"""Files that `arena.predict` writes, checked before anything is computed and written in one step."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.core import tables
from arena.core.errors import UsageError
from arena.core.files import replacing
from arena.core.heads import PROBABILITY, Heads, Labels

PREFIX = "winner_"
KAGGLE = ("model_a", "model_b", "tie")
NO_TIE = 1e-6
"""Probability of a tie where the run has no class for it: a tie then costs 13.8 nats and not infinitely many."""
FORMATS = {"probabilities": (".csv", ".parquet"), "kaggle": (".csv",), "wsdm": (".csv",)}
"""The formats and the endings of their files."""


def check(name: str, output: Path, labels: Labels) -> None:
    """Check that these classes can be written in this format to a file of this name; raises UsageError."""
    if output.suffix not in FORMATS[name]:
        raise UsageError(f"output={output}: with format={name} the name must end in {' or '.join(FORMATS[name])}")
    if name != "probabilities" and not {"model_a", "model_b"} <= set(labels):
        raise UsageError(
            f"format={name}: it needs the classes model_a and model_b, the run has {', '.join(labels)}; "
            "choose format=probabilities"
        )


def columns_of(labels: Labels) -> list[str]:
    """Name the columns of probabilities: `winner_<label>`, `probability_<head>_<label>` of several heads."""
    heads = Heads(labels)
    return [(PROBABILITY if heads.named else PREFIX) + name for name in heads.columns]


def write(
    output: Path,
    name: str,
    ids: list[str],
    probabilities: Any,
    labels: Any,
    predicted: Mapping[str, list[str]] | None = None,
) -> None:
    """Write one line for each row, in the order given.

    `probabilities`: the id, a column for each class (`columns_of`), and those of `predicted`. `kaggle`: exactly id,
    winner_model_a, winner_model_b, winner_tie; without a class for ties winner_tie is `NO_TIE` and the others share the
    rest. `wsdm`: exactly id, winner; a tie's probability goes to A and B in equal parts, so the more probable of the
    two wins, and model_a where they are equal.

    Args:
        output: the file, replaced in one step.
        name: one of `FORMATS`.
        ids: of the rows, `[N]`; in a submission as they are, in `probabilities` such that no spreadsheet runs them.
        probabilities: `[N, K]` float64, each row sums to one; of several heads `[N, C]`, each head sums to one.
        labels: names of the K classes, or of the classes of each head.
        predicted: more columns of texts, `[N]` each; only in `probabilities`.
    """
    if name == "wsdm":
        a, b = (probabilities[:, labels.index(label)] for label in ("model_a", "model_b"))
        write_columns(output, ids, {"winner": ["model_a" if first else "model_b" for first in a >= b]}, as_is=True)
    elif name == "kaggle":
        three = dict(zip(columns_of(KAGGLE), _three(probabilities, labels).T, strict=True))
        write_columns(output, ids, three, as_is=True)
    else:
        columns = dict(zip(columns_of(labels), probabilities.T, strict=True))
        write_columns(output, ids, columns | dict(predicted or {}))


def write_columns(output: Path, ids: list[str], columns: Mapping[str, Any], as_is: bool = False) -> None:
    """Write ids and columns, `[N]` each, as csv or parquet; a csv is safe for spreadsheets unless `as_is`."""
    with replacing(output) as partial:
        if output.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table({"id": pa.array(ids, pa.string()), **columns}), partial)
            return
        # The shortest text that reads back as the same float64, without numpy's name around it.
        cells = [
            [each if isinstance(each, str) else repr(float(each)) for each in column] for column in columns.values()
        ]
        lines = [["id", *columns], *zip(ids, *cells, strict=True)]
        with open(partial, "w", newline="", encoding="utf-8") as file:
            if as_is:  # a competition wants its ids as they are
                csv.writer(file, lineterminator="\n").writerows(lines)
            else:
                file.write(tables.text_of(lines))


def _three(probabilities: Any, labels: list[str]) -> Any:
    """Return probabilities of `KAGGLE`, `[N, 3]`, each row summing to one."""
    import numpy as np

    found = np.full((len(probabilities), len(KAGGLE)), NO_TIE)
    scale = 1.0 if "tie" in labels else 1 - NO_TIE
    for k, label in enumerate(labels):
        found[:, KAGGLE.index(label)] = scale * probabilities[:, k]
    return found / found.sum(axis=1, keepdims=True)
