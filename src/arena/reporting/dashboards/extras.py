"""Tables and curves of a finished run for W&B, made from the files of the run folder."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arena.core import stored, tables
from arena.core.files import read_parquet
from arena.core.heads import LOSS, Heads, column
from arena.core.run import RunFolder
from arena.evaluation.predictions import LabelledPredictions, read
from arena.reporting.dashboards.curves import precision_recall, worst_and_random
from arena.stats.calibration import reliability, top

SPLITS = ("val", "test")
BINS = 15
"""Of the reliability curve, with equal numbers of rows."""
PRIVATE = ("prompt", "text", "reference")
"""Columns of generations that hold text."""


def send(opened: Any, run: RunFolder, samples: int, texts: bool = False, data: Any = None) -> list[str]:
    """Log everything that the folder has as one last row of history; returns the names.

    | name | |
    |---|---|
    | classes/SPLIT/confusion | rows by true and predicted class |
    | classes/SPLIT/per_class | `report/SPLIT/per_class.csv` |
    | classes/SPLIT/precision_recall | a line for each class |
    | calibration/SPLIT/reliability | accuracy over confidence, beside the diagonal |
    | samples/SPLIT | predictions with the largest loss, and some by lot |
    | generations/NAME | sampled replies |

    Several heads have one of each, with the head's name at the end.

    Args:
        opened: the run of `wandb`.
        run: the run folder.
        samples: rows of `samples` and `generations`.
        texts: whether those hold texts.
        data: the run's data, set up; without them `samples` has no texts.
    """
    settings = stored.read(run.config)
    labels = settings["data"].get("labels") or []
    found: dict[str, Any] = {}
    for split in SPLITS:
        path = run.predictions(split)
        if not path.is_file():
            continue
        if labels:
            told = read(path, labels)
            for number, head in enumerate(Heads(labels).names):
                found |= _of_head(run, split, told, Heads(labels), number, head)
        if samples:
            found[f"samples/{split}"] = _samples(path, samples, _texts(data, split) if texts else {})
    for path in sorted(run.path.glob("generations/*/generations.parquet")):
        if samples:
            found[f"generations/{path.parent.name}"] = _generations(path, samples, texts)
    if found:
        opened.log(found)
    return list(found)


def _of_head(
    run: RunFolder, split: str, told: LabelledPredictions, heads: Heads, number: int, head: str
) -> dict[str, Any]:
    import wandb

    known = told.target[:, number] >= 0
    target, probabilities = told.target[known, number], told.probabilities[known][:, heads.slices[head]]
    classes = heads.classes[head]
    if not len(target):
        return {}
    found: dict[str, Any] = {}
    found["classes/{}/confusion"] = wandb.plot.confusion_matrix(
        y_true=target.tolist(), preds=probabilities.argmax(axis=1).tolist(), class_names=classes,
        title=f"{split} {head}".strip(),
    )  # fmt: skip
    file = run.path / "report" / split / f"{column('per_class', head)}.csv"
    if file.is_file():
        found["classes/{}/per_class"] = table_of(file)
    points: list[dict[str, Any]] = [
        {"recall": recall, "precision": precision, "class": label}
        for k, label in enumerate(classes)
        for recall, precision in precision_recall(probabilities[:, k], target == k)
    ]
    found["classes/{}/precision_recall"] = _lines(points, f"precision over recall, {split} {head}".strip())
    bins = reliability(*top(probabilities.astype(np.float64), target), BINS)
    pairs = [("model", x, y) for x, y in zip(bins.confidence.tolist(), bins.accuracy.tolist(), strict=True)]
    pairs += [("calibrated", x, x) for x in (float(bins.confidence.min()), float(bins.confidence.max()))]
    points = [{"confidence": x, "accuracy": y, "line": line} for line, x, y in pairs]
    found["calibration/{}/reliability"] = _lines(points, f"reliability, {split} {head}".strip())
    return {column(name.format(split), head): value for name, value in found.items()}


def _lines(points: list[dict[str, Any]], title: str) -> Any:
    """Points as lines: the first column, the second over it, and the third that tells the lines apart."""
    import wandb

    x, y, stroke = points[0]
    return wandb.plot.line(_table(points), x, y, stroke=stroke, title=title)


def table_of(path: Path) -> Any:
    """A csv file of the report as a table of W&B: numbers as numbers, empty cells empty."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = [[tables.as_read(cell) for cell in line] for line in csv.reader(file)]
    columns = {name: _numbers(cells) for name, cells in zip(header, zip(*lines, strict=True), strict=True)}
    return _table([dict(zip(header, line, strict=True)) for line in zip(*columns.values(), strict=True)])


def _numbers(cells: Sequence[str]) -> Sequence[Any]:
    """The cells of a column as numbers, None where they are empty; as they are where one is no number."""
    try:
        return [float(cell) if cell else None for cell in cells]
    except ValueError:
        return cells


def _samples(path: Path, samples: int, texts: dict[str, dict[str, str]]) -> Any:
    table = read_parquet(path)
    chosen = table.take(worst_and_random(table.column(LOSS).to_numpy().astype(np.float64), samples))
    kept = [name for name in chosen.column_names if name.startswith(("id", "target", "probability_", LOSS))]
    return _table([row | texts.get(row["id"], {}) for row in chosen.select(kept).to_pylist()])


def _generations(path: Path, samples: int, texts: bool) -> Any:
    table = read_parquet(path)
    return _table(
        table.select([n for n in table.column_names if texts or n not in PRIVATE]).slice(0, samples).to_pylist()
    )


def _table(rows: list[dict[str, Any]]) -> Any:
    """Rows by column as a table of W&B."""
    import wandb

    columns: list[Any] = list(dict.fromkeys(name for row in rows for name in row))
    return wandb.Table(columns=columns, data=[[_cell(row.get(name)) for name in columns] for row in rows])


def _cell(value: Any) -> Any:
    """A value that a table of W&B takes in a column of its kind: no NaN, no lists."""
    if isinstance(value, float):
        return None if np.isnan(value) else value
    return str(value) if isinstance(value, list | dict) else value


def _texts(data: Any, split: str) -> dict[str, dict[str, str]]:
    """The texts of the rows of a split by their id; nothing where the data cannot say."""
    if data is None or not hasattr(data, "texts"):
        return {}
    covariates = data.covariates(split)
    wanted = dict(zip(covariates["row"].to_pylist(), covariates["id"].to_pylist(), strict=True))
    found: dict[str, dict[str, str]] = {}
    start = 0
    for batch in data.texts():
        here = [row for row in wanted if start <= row < start + batch.num_rows]
        for row in here:
            turns = {name: batch.column(name)[row - start].as_py() for name in batch.schema.names}
            found[wanted[row]] = {name: "\n\n".join(t or "" for t in each or []) for name, each in turns.items()}
        start += batch.num_rows
    return found
