"""Validation predictions of finished runs: by recipe for the weights of an ensemble, and joined over folds.

A recipe is a configuration without `data.fold`: the runs of a cross-validation are one recipe, and their validation
predictions together are predictions of rows that the model in question was not trained on (out of fold).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from arena.callback.predictions import PROBABILITY, write_table
from arena.core.console import say
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.files import read_parquet
from arena.core.heads import LOG_PROBABILITY, Heads
from arena.core.run import RunFolder
from arena.core.stored import read
from arena.evaluation.calibration.rows import log_probabilities_of
from arena.inference.configurations import recipe_of
from arena.inference.members import Member
from arena.inference.mixture import Mean, convex_weights
from arena.stats.scores import log_loss, logarithm

LEAST = 50
"""Rows that the recipes must have in common for weights to mean anything."""


@dataclass
class Recipe:
    """Runs that differ only in their fold, with their validation predictions.

    Attributes:
        members: positions of its runs in the ensemble.
        name: the first run's, and how many folds there are.
        ids: rows with a target, `[N]` strings.
        probabilities: `[N, K]`.
        target: class index of each row, `[N]`.
    """

    members: list[int]
    name: str
    ids: np.ndarray
    probabilities: np.ndarray
    target: np.ndarray


def fitted_weights(members: list[Member], labels: list[str]) -> list[float]:
    """The weight of each run under which the validation predictions of the mixture have the least log loss.

    The runs of one recipe share its weight equally. Recipes are compared on the rows that all of them have predicted.
    Prints the log loss of each recipe and of the mixture; the latter is a little too good, being fitted to these rows.

    Raises:
        InputOutputError: a run without validation predictions.
        DataError: too few common rows, a row that two folds of a recipe predict, or rows with two different targets.
    """
    groups: dict[str, list[int]] = {}
    for position, member in enumerate(members):
        groups.setdefault(recipe_of(member.run), []).append(position)
    recipes = [_recipe(members, positions, labels) for positions in groups.values()]
    common = recipes[0].ids
    for recipe in recipes[1:]:
        common = np.intersect1d(common, recipe.ids)
    if len(common) < LEAST:
        raise DataError(
            f"weights=validation: the {len(recipes)} recipes have {len(common)} validation rows in common, at least "
            f"{LEAST} are needed; train them with the same data.folds and data.split_seed, or give weights=equal"
        )
    for recipe in recipes:
        _, _, chosen = np.intersect1d(common, recipe.ids, return_indices=True)
        recipe.probabilities, recipe.target = recipe.probabilities[chosen], recipe.target[chosen]
    target = recipes[0].target
    for recipe in recipes[1:]:
        if differ := int((recipe.target != target).sum()):
            raise DataError(
                f"weights=validation: {recipes[0].name} and {recipe.name} have other targets for {differ} rows with "
                "the same id; they are not of the same data"
            )
    likelihood = np.stack([recipe.probabilities[np.arange(len(target)), target] for recipe in recipes], axis=1)
    weights = convex_weights(likelihood)
    _show(recipes, weights, likelihood, target)
    found = [0.0] * len(members)
    for recipe, weight in zip(recipes, weights, strict=True):
        for position in recipe.members:
            found[position] = float(weight) / len(recipe.members)
    return found


def _recipe(members: list[Member], positions: list[int], labels: list[str]) -> Recipe:
    columns = ["id", "target", *(prefix + label for prefix in (PROBABILITY, LOG_PROBABILITY) for label in labels)]
    tables = [read_validation(members[position].run, labels) for position in positions]
    tables = [each.select([name for name in columns if name in each.column_names]) for each in tables]
    tables = [each.filter(each["target"].is_valid()) for each in tables]
    probabilities = np.concatenate(
        [_calibrated(members[position], each, labels) for position, each in zip(positions, tables, strict=True)]
    )
    table = pa.concat_tables(tables, promote_options="permissive")
    ids = np.array(table["id"].to_pylist(), dtype=str)
    name = members[positions[0]].name + (f" ({len(positions)} folds)" if len(positions) > 1 else "")
    unique_ids(ids, f"weights=validation: {name}")
    target = np.array([labels.index(label) for label in table["target"].to_pylist()], dtype=np.int64)
    return Recipe(positions, name, ids, probabilities, target)


def _calibrated(member: Member, table: pa.Table, labels: list[str]) -> np.ndarray:
    """Probabilities `[N, K]` of the member's validation rows in the order of `labels`, as it will give others'."""
    logs = log_probabilities_of(table, Heads(member.labels))
    own = member.calibrated(probabilities_of(table, member.labels), logs)
    return own[:, [member.labels.index(label) for label in labels]]


def _show(recipes: list[Recipe], weights: np.ndarray, likelihood: np.ndarray, target: np.ndarray) -> None:
    mean = Mean("probability")
    for recipe, weight in zip(recipes, weights, strict=True):
        mean.add(recipe.probabilities, float(weight))
    own = -logarithm(likelihood).mean(axis=0)
    width = max(len("ensemble"), *(len(recipe.name) for recipe in recipes))
    say(f"validation log loss on {len(target)} rows that every recipe has predicted")
    for recipe, loss, weight in zip(recipes, own, weights, strict=True):
        say(f"  {recipe.name.ljust(width)}  {loss:.4f}  weight {weight:.4f}")
    say(f"  {'ensemble'.ljust(width)}  {log_loss(mean.result(), target).mean():.4f}")


def join_folds(runs: list[RunFolder], labels: list[str], output: Path) -> dict[str, Any]:
    """Write the validation predictions of all folds as one file, with the columns `fold` and `run` besides; returns
    rows, and log loss and accuracy with their intervals.

    Raises:
        UsageError: a run that was not trained on folds.
        DataError: other data, another split or another number of folds; or a row that comes twice.
    """
    first: tuple[Any, ...] | None = None
    parts, folds = [], []
    for run in runs:
        config = read(run.config)
        data, fingerprint = config["data"], run.read_result().get("data", {}).get("fingerprint")
        if data["split"]["folds"] is None or fingerprint is None:
            raise UsageError(f"out_of_fold: {run.path} was not trained with data.folds, or never read its data")
        same = (fingerprint, data["split"]["seed"], data["split"]["folds"])
        first = first or same
        for what, mine, others in zip(("data", "split_seed", "number of folds"), same, first, strict=True):
            if mine != others:
                raise DataError(f"out_of_fold: {run.path} has another {what} ({mine}) than {runs[0].path} ({others})")
        table = read_validation(run, labels)
        table = table.append_column("fold", pa.array(np.full(table.num_rows, data["split"]["fold"])))
        parts.append(table.append_column("run", pa.array([str(run.path)] * table.num_rows, pa.string())))
        folds.append(int(data["split"]["fold"]))
    assert first is not None
    table = pa.concat_tables(parts, promote_options="default")
    unique_ids(np.array(table["id"].to_pylist(), dtype=str), "out_of_fold")
    if missing := sorted(set(range(int(first[2]))) - set(folds)):
        say(f"of {first[2]} folds there is none of {', '.join(map(str, missing))}: their rows are not in the file")
    write_table(output, table)
    return _judged(table, labels)


def _judged(table: pa.Table, labels: list[str]) -> dict[str, Any]:
    from torchmetrics.classification import MulticlassAccuracy

    from arena.evaluation.predictions import values_with_intervals
    from arena.metric.collection import Metrics
    from arena.metric.probability import LogLoss

    known = table.filter(table["target"].is_valid())
    accuracy = MulticlassAccuracy(num_classes=len(labels), average="micro", validate_args=False)
    metrics = Metrics(labels, {"log_loss": LogLoss(), "accuracy": accuracy})
    target = np.array([labels.index(label) for label in known["target"].to_pylist()], dtype=np.int64)
    groups = np.array(known["group"].to_pylist(), dtype=str)
    found = values_with_intervals(metrics, probabilities_of(known, labels).astype(np.float32), target, groups, 200, 0)
    return {"rows": table.num_rows, "log_loss": found["log_loss"], "accuracy": found["accuracy"]}


def read_validation(run: RunFolder, labels: list[str]) -> pa.Table:
    """`predictions/val.parquet` of a run.

    Raises:
        InputOutputError: it is not there.
        DataError: it lacks a class.
    """
    path = run.predictions("val")
    if not path.is_file():
        raise InputOutputError(f"{path}: no validation predictions; was this run trained to a validation?")
    table = read_parquet(path)
    for name in ("id", "target", *(PROBABILITY + label for label in labels)):
        if name not in table.column_names:
            raise DataError(f"{path}: there is no column {name}")
    return table


def probabilities_of(table: pa.Table, labels: list[str]) -> np.ndarray:
    """The columns `probability_<label>`, `[N, K]` float64, each row summing to one."""
    found = np.stack([table[PROBABILITY + label].to_numpy().astype(np.float64) for label in labels], axis=1)
    return found / found.sum(axis=1, keepdims=True)


def unique_ids(ids: np.ndarray, what: str) -> None:
    """Raises: DataError: an id comes twice, so two of the runs validated on the same row."""
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{what}: {int((counts > 1).sum())} rows were validated by more than one of the runs "
            f"(id {values[counts > 1][0]}); each fold may be given once"
        )
