"""Tables and pictures of a finished run for W&B, from the files of the run folder."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from arena.core import tables
from arena.core.files import read_parquet
from arena.core.heads import LOSS
from arena.core.run import RunFolder

SPLITS = ("val", "test")
PRIVATE = ("prompt", "text", "reference")
"""Columns of generations that hold text."""


def send(dashboard: Any, run: RunFolder, data: Any) -> None:
    """Log the files of a run as one last row of history.

    | name | |
    |---|---|
    | report/SPLIT/NAME | the tables (csv) and pictures (png) of `RUN/report/SPLIT` |
    | samples/SPLIT | predictions with the largest loss, and a random choice of the others |
    | generations/NAME | sampled replies |

    Args:
        dashboard: the `arena.logger.wandb.WandbRun`, with its options `samples` and `texts`.
        run: the run folder.
        data: of the run, for the texts of samples.
    """
    import wandb

    samples, texts = dashboard.samples, dashboard.texts
    found: dict[str, Any] = {}
    for split in SPLITS:
        for path in sorted((run.path / "report" / split).glob("*.*")):
            if path.suffix in (".csv", ".png"):
                content = _csv(path) if path.suffix == ".csv" else wandb.Image(str(path))
                found[f"report/{split}/{path.stem}{'_picture' * (path.suffix == '.png')}"] = content
        if samples and run.predictions(split).is_file():
            found[f"samples/{split}"] = _samples(run.predictions(split), samples, _texts(data, split) if texts else {})
    for path in sorted(run.path.glob("generations/*/generations.parquet")):
        if samples:
            table = read_parquet(path)
            kept = [name for name in table.column_names if texts or name not in PRIVATE]
            found[f"generations/{path.parent.name}"] = _table(table.select(kept).slice(0, samples).to_pylist())
    if found:
        dashboard.opened.log(found)


def worst_and_random(loss: np.ndarray, samples: int, seed: int = 0) -> np.ndarray:
    """Choose rows to look at: half with the largest loss, largest first, then a random choice of the others, in order.

    Args:
        loss: of each row, `[N]`; NaN where it has none.
        samples: number of rows at most.
        seed: Seed of the random choice.
    """
    order = np.argsort(-np.where(np.isnan(loss), -np.inf, loss), kind="stable")
    worst, rest = order[: samples // 2], order[samples // 2 :]
    some = np.random.default_rng(seed).choice(rest, min(samples - len(worst), len(rest)), replace=False)
    return np.concatenate([worst, np.sort(some)])


def _samples(path: Path, samples: int, texts: dict[str, dict[str, str]]) -> Any:
    table = read_parquet(path)
    chosen = table.take(worst_and_random(table.column(LOSS).to_numpy().astype(np.float64), samples))
    kept = [name for name in chosen.column_names if name.startswith(("id", "target", "probability_", LOSS))]
    return _table([row | texts.get(row["id"], {}) for row in chosen.select(kept).to_pylist()])


def _csv(path: Path) -> Any:
    """A csv file: columns of numbers as numbers, empty cells empty."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = [[tables.as_read(cell) for cell in line] for line in csv.reader(file)]
    columns = [_numbers(list(cells)) for cells in zip(*lines, strict=True)]
    return _table([dict(zip(header, line, strict=True)) for line in zip(*columns, strict=True)])


def _numbers(cells: list[str]) -> list[Any]:
    try:
        return [float(cell) if cell else None for cell in cells]
    except ValueError:
        return cells


def _table(rows: list[dict[str, Any]]) -> Any:
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
        for row in wanted.keys() & set(range(start, start + batch.num_rows)):
            turns = {name: batch.column(name)[row - start].as_py() for name in batch.schema.names}
            found[wanted[row]] = {name: "\n\n".join(t or "" for t in each or []) for name, each in turns.items()}
        start += batch.num_rows
    return found
