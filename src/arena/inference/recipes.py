"""Validation predictions of finished runs: the weights of an ensemble fitted to them, and joined over folds.

A recipe is a configuration without `data.fold`: the runs of a cross-validation are one recipe, and their validation
predictions together are out of fold.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from arena.callback.predictions import write_table
from arena.config import build
from arena.core.console import echo
from arena.core.data_keys import refuse_idle_keys
from arena.core.errors import DataError, UsageError
from arena.core.files import read_parquet
from arena.core.heads import Heads
from arena.core.paths import quote_path
from arena.core.run import RunFolder
from arena.core.stored import read
from arena.evaluation.calibration.rows import read_rows
from arena.inference.configurations import recipe_of
from arena.inference.members import Member, labels_of
from arena.inference.mixture import convex_weights
from arena.stats.scores import logarithm

MINIMUM = 50
"""Rows that the recipes must have in common for weights to mean anything."""


@dataclass
class Recipe:
    """Runs that differ only in their fold, with their validation predictions.

    Attributes:
        members: positions of its runs in the ensemble.
        name: the first run's, and how many folds there are.
        ids: rows with a target, `[N]` strings.
        target: class index of each row, `[N]`.
        likelihood: probability of each row's target, `[N]`.
    """

    members: list[int]
    name: str
    ids: np.ndarray
    target: np.ndarray
    likelihood: np.ndarray


def fitted_weights(members: list[Member], labels: list[str]) -> list[float]:
    """Fit the weight of each run such that the validation predictions of the mixture have the minimal log loss.

    The runs of one recipe share its weight equally. Recipes are compared on the rows that all of them have predicted.
    Prints the log loss of each recipe and of the mixture; the latter is optimistic, being fitted to these rows. Raises
    DataError for too few common rows, duplicates among the folds of a recipe or rows with two targets.
    """
    groups: dict[str, list[int]] = {}
    for position, member in enumerate(members):
        groups.setdefault(recipe_of(member.run), []).append(position)
    recipes = [_recipe(members, positions, labels) for positions in groups.values()]
    common = recipes[0].ids
    for recipe in recipes[1:]:
        common = np.intersect1d(common, recipe.ids)
    if len(common) < MINIMUM:
        raise DataError(
            f"weights=validation: the {len(recipes)} recipes have {len(common)} validation rows in common, at least "
            f"{MINIMUM} are needed; train them with the same data.folds and data.split_seed, or give weights=equal"
        )
    for recipe in recipes:
        _, _, chosen = np.intersect1d(common, recipe.ids, return_indices=True)
        recipe.likelihood, recipe.target = recipe.likelihood[chosen], recipe.target[chosen]
    target = recipes[0].target
    for recipe in recipes[1:]:
        if differ := int((recipe.target != target).sum()):
            raise DataError(
                f"weights=validation: {recipes[0].name} and {recipe.name} have other targets for {differ} rows with "
                "the same id; they are not of the same data"
            )
    likelihood = np.stack([recipe.likelihood for recipe in recipes], axis=1)
    weights = convex_weights(likelihood)
    width = max(len("ensemble"), *(len(recipe.name) for recipe in recipes))
    echo(f"validation log loss on {len(target)} rows that every recipe has predicted")
    for recipe, loss, weight in zip(recipes, -logarithm(likelihood).mean(axis=0), weights, strict=True):
        echo(f"  {recipe.name.ljust(width)}  {loss:.4f}  weight {weight:.4f}")
    echo(f"  {'ensemble'.ljust(width)}  {-logarithm(likelihood @ weights).mean():.4f}")
    found = [0.0] * len(members)
    for recipe, weight in zip(recipes, weights, strict=True):
        for position in recipe.members:
            found[position] = float(weight) / len(recipe.members)
    return found


def _recipe(members: list[Member], positions: list[int], labels: list[str]) -> Recipe:
    ids, target, likelihood = [], [], []
    for member in (members[position] for position in positions):
        split = read_rows(member.run.predictions("val"), Heads(member.labels))
        (rows,) = split.heads.values()
        probabilities = member.calibrated(rows.probabilities, rows.logs)
        ids += [split.ids[place] for place in rows.place]
        target += [labels.index(member.labels[each]) for each in rows.target]
        likelihood += [row[each] for row, each in zip(probabilities, rows.target, strict=True)]
    name = members[positions[0]].name + (f" ({len(positions)} folds)" if len(positions) > 1 else "")
    unique_ids(ids, f"weights=validation: {name}")
    return Recipe(positions, name, np.array(ids), np.array(target), np.array(likelihood))


def join_folds(runs: list[RunFolder], data: dict[str, Any], output: Path) -> Path:
    """Write the validation predictions of all folds as one file, with the columns `fold` and `run`; print their values.

    Args:
        runs: the folds.
        data: `data.*` keys of the command line, which have no use here.
        output: the file.

    Raises:
        UsageError: keys of the data, another ending, several heads, or a run that was not trained on folds.
        DataError: other data, classes, split or number of folds; or duplicates.
    """
    if output.suffix != ".parquet":
        raise UsageError(f"output={output}: with out_of_fold=true the name must end in .parquet")
    refuse_idle_keys(data, None, "out_of_fold=true predicts nothing, it joins what is there")
    labels = labels_of(runs[0])
    if Heads(labels).named:
        raise UsageError("out_of_fold=true: it is for one classification; runs with several heads have their own files")
    for run in runs:
        if (found := labels_of(run)) != labels:
            raise DataError(f"{run.path} has the classes {found}, {runs[0].path} has {labels}")
    build.quiet()
    from torchmetrics.classification import MulticlassAccuracy

    from arena.evaluation import predictions
    from arena.metric.collection import Metrics
    from arena.metric.probability import LogLoss

    first: tuple[Any, ...] | None = None
    parts, folds = [], []
    for run in runs:
        config = read(run.config)
        split, fingerprint = config["data"]["split"], run.read_result().get("data", {}).get("fingerprint")
        if split["folds"] is None or fingerprint is None:
            raise UsageError(f"out_of_fold: {run.path} was not trained with data.folds, or never read its data")
        same = (fingerprint, split["seed"], split["folds"])
        first = first or same
        for what, mine, others in zip(("data", "split_seed", "number of folds"), same, first, strict=True):
            if mine != others:
                raise DataError(f"out_of_fold: {run.path} has another {what} ({mine}) than {runs[0].path} ({others})")
        table = read_parquet(run.predictions("val"))
        table = table.append_column("fold", pa.array(np.full(table.num_rows, split["fold"])))
        parts.append(table.append_column("run", pa.array([str(run.path)] * table.num_rows, pa.string())))
        folds.append(int(split["fold"]))
    assert first is not None
    table = pa.concat_tables(parts, promote_options="default")
    unique_ids(table["id"].to_pylist(), "out_of_fold")
    if missing := sorted(set(range(int(first[2]))) - set(folds)):
        echo(f"of {first[2]} folds there is none of {', '.join(map(str, missing))}: their rows are not in the file")
    write_table(output, table)
    accuracy = MulticlassAccuracy(num_classes=len(labels), average="micro", validate_args=False)
    metrics = Metrics(labels, {"log_loss": LogLoss(), "accuracy": accuracy})
    rows = predictions.read(output, labels)
    values = predictions.values_with_intervals(metrics, rows.probabilities, rows.target[:, 0], rows.groups, 200, 0)
    for name in ("log_loss", "accuracy"):
        echo("{} {value:.4f} ({low:.4f} to {high:.4f})".format(name, **values[name]))
    echo(f"{table.num_rows} rows of {len(runs)} runs written to {quote_path(output)}")
    return output


def unique_ids(ids: list[str], what: str) -> None:
    """Require unique ids; raises DataError where two of the runs validated on the same row."""
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{what}: {int((counts > 1).sum())} rows were validated by more than one of the runs "
            f"(id {values[counts > 1][0]}); each fold may be given once"
        )
