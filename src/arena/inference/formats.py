"""The files that `arena.predict` can write, checked before anything is computed and written in one step."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arena.core import tables
from arena.core.errors import UsageError
from arena.core.files import replacing
from arena.core.heads import PROBABILITY, Heads, Labels
from arena.core.schema import closest

PREFIX = "winner_"
KAGGLE = ("model_a", "model_b", "tie")
NO_TIE = 1e-6
"""Probability of a tie where the run has no class for it: a tie then costs 13.8 nats and not infinitely many."""
FORMATS = {"probabilities": (".csv", ".parquet"), "kaggle": (".csv",), "wsdm": (".csv",)}
"""The formats and the endings of their files."""


def check(name: str, output: Path, labels: Labels) -> None:
    """Whether these classes can be written in this format to a file of this name.

    Raises:
        UsageError: no such format, another ending, or classes that do not fit.
    """
    if name not in FORMATS:
        raise UsageError(f"format={name}: no such format{closest(str(name), FORMATS)}; there are {', '.join(FORMATS)}")
    if output.suffix not in FORMATS[name]:
        raise UsageError(f"output={output}: with format={name} the name must end in {' or '.join(FORMATS[name])}")
    if name != "probabilities" and not {"model_a", "model_b"} <= set(labels):
        raise UsageError(
            f"format={name}: it needs the classes model_a and model_b, the run has {', '.join(labels)}; "
            "choose format=probabilities"
        )


def write(
    output: Path,
    name: str,
    ids: list[str],
    probabilities: Any,
    labels: Any,
    predicted: Mapping[str, list[str]] | None = None,
) -> None:
    """One line for each row, in the order given.

    `probabilities`: the id, a column `winner_<label>` for each class (`probability_<head>_<label>` of several heads),
    and those of `predicted`. `kaggle`: exactly id,
    winner_model_a, winner_model_b, winner_tie; without a class for ties winner_tie is `NO_TIE` and the others share the
    rest. `wsdm`: exactly id, winner. A tie's probability goes to A and B in equal parts, so the more probable of the
    two wins, and model_a where they are equal.

    Args:
        output: the file, replaced in one step.
        name: one of `FORMATS`.
        ids: of the rows, `[N]`; in a submission as they are, in `probabilities` such that no spreadsheet runs them.
        probabilities: `[N, K]` float64; each row sums to one. Of several heads `[N, C]`, each head's sum.
        labels: names of the K classes, or of the classes of each head.
        predicted: columns with the class of each row by a decision rule, `[N]` each; only in `probabilities`.
    """
    if name == "wsdm":
        a, b = (probabilities[:, labels.index(label)] for label in ("model_a", "model_b"))
        columns = {"winner": ["model_a" if first else "model_b" for first in (a >= b).tolist()]}
    else:
        if name == "kaggle":
            probabilities, labels = _three(probabilities, labels), list(KAGGLE)
        heads = Heads(labels)
        prefix = PROBABILITY if heads.named else PREFIX
        columns: dict[str, Any] = {prefix + name: probabilities[:, k] for k, name in enumerate(heads.columns)}
        columns |= predicted or {} if name == "probabilities" else {}
    with replacing(output) as partial:
        if output.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table({"id": pa.array(ids, pa.string()), **columns}), partial)
        else:
            with open(partial, "w", newline="", encoding="utf-8") as file:
                lines = zip(ids, *map(_cells, columns.values()), strict=True)
                if name == "probabilities":
                    file.write(tables.text_of([["id", *columns], *lines]))
                else:  # a competition wants its ids as they are
                    csv.writer(file, lineterminator="\n").writerows([["id", *columns], *lines])


def _three(probabilities: Any, labels: list[str]) -> Any:
    """Probabilities of `KAGGLE`, `[N, 3]`, each row summing to one."""
    import numpy as np

    found = np.full((len(probabilities), len(KAGGLE)), NO_TIE)
    scale = 1.0 if "tie" in labels else 1 - NO_TIE
    for k, label in enumerate(labels):
        found[:, KAGGLE.index(label)] = scale * probabilities[:, k]
    return found / found.sum(axis=1, keepdims=True)


def _cells(column: Any) -> Iterator[str]:
    """The shortest text that reads back as the same float64, without numpy's name around it."""
    return (value if isinstance(value, str) else repr(float(value)) for value in column)
