"""Fit the reference models of a run, predict its splits with each, and compare them."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arena.callback.predictions import prediction_table, write_table
from arena.core.files import read_parquet
from arena.core.heads import Heads
from arena.core.run import RunFolder
from arena.data.module.description import Split
from arena.evaluation.baselines import store
from arena.evaluation.baselines.features import features_of
from arena.evaluation.baselines.fitting import fitting_of
from arena.evaluation.baselines.members import Member
from arena.stats.intervals import paired_differences
from arena.stats.scores import label_hits, label_log_losses, mean_over_heads, row_means

log = logging.getLogger("arena")
JUDGED: tuple[Split, ...] = ("val", "test")
Predicted = dict[Split, np.ndarray]
"""Probabilities of the rows of each judged split, `[M, K]` float64."""


@dataclass
class Outcome:
    """A fitted member and what it says.

    Attributes:
        member: the model.
        seconds: to fit it and to predict; features that several members read are counted with the first.
        probabilities: of the rows of each split.
        out_of_fold: of the training rows, see `Fitting.out_of_fold`; `[M, K]` float64.
        folds: of that cross-validation.
    """

    member: Member
    seconds: float
    probabilities: Predicted
    out_of_fold: np.ndarray
    folds: int


def splits_of(data: Any) -> list[Split]:
    """The judged splits that have rows."""
    return [split for split in JUDGED if len(data.rows(split))]


def fit_and_predict(names: Sequence[str], data: Any, seed: int) -> dict[str, Outcome]:
    """Each member fitted on the training split of a data module whose rows are divided, with its predictions.

    Args:
        names: of `arena.evaluation.baselines.names.members_of`.
        data: an `arena.data.module.pairwise.PairData` or `arena.data.module.multihead.HeadData`.
        seed: of the cross-validation.
    """
    if not names:
        return {}
    fitting = fitting_of(data, seed)
    features = {
        split: features_of(data.labels, data.source, data.positions[data.rows(split)]) for split in splits_of(data)
    }
    found = {}
    for name in names:
        began = time.time()
        member, out_of_fold = fitting.fit(name), fitting.out_of_fold(name)
        predicted: Predicted = {split: member.predict_features(features[split]) for split in splits_of(data)}
        found[name] = Outcome(member, time.time() - began, predicted, out_of_fold, fitting.folds)
        if "val" in features:
            loss = log_loss_of(data, "val", predicted["val"])
            log.info("%s: validation log loss %.4f, %.1f s", name, loss, found[name].seconds)
    return found


def write(run: RunFolder, outcomes: dict[str, Outcome], data: Any, best: str) -> None:
    """Save the members, the predictions of each below `predictions/<member>/`, and those of the best one.

    What is written for the training rows are the predictions out of fold: a model that learns on top of them, or that
    asks how hard a row is, must not see how well a row was learned by heart.
    """
    for name, outcome in outcomes.items():
        store.save(run.path / store.FOLDER, name, outcome.member)
        told: dict[Split, np.ndarray] = {"train": outcome.out_of_fold, **outcome.probabilities}
        for split, probabilities in told.items():
            made = table_of(data, split, probabilities)
            write_table(run.path / "predictions" / name / f"{split}.parquet", made)
            if name == best:
                write_table(run.predictions(split), made)


def table_of(data: Any, split: Split, probabilities: np.ndarray) -> Any:
    """Predictions with the columns of a trained model's file; `loss` is the log loss in nats, of several heads
    the mean over those with a label."""
    parts, labels = _labels(data, split, probabilities)
    loss = row_means(label_log_losses(parts, labels), labels).astype(np.float32)
    return prediction_table(
        data.covariates(split), data.labels, data.rows(split), probabilities.astype(np.float32), data.targets(split),
        loss, data.true_probabilities(split),
    )  # fmt: skip


def log_loss_of(data: Any, split: Split, probabilities: np.ndarray) -> float:
    """Compute the log loss of a split in nats, of several heads the mean over heads."""
    return mean_over_heads(label_log_losses(*_labels(data, split, probabilities)))


def _labels(data: Any, split: Split, probabilities: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The probabilities of each head, and the labels `[M, T]`."""
    target = data.targets(split)
    return list(Heads(data.labels).split(probabilities).values()), target.reshape(len(target), -1)


def aligned(path: Path, references: dict[str, Predicted], data: Any, split: Split) -> dict[str, np.ndarray]:
    """What each says of the rows of a predictions file, `[N, K]`; it may hold a part of the split."""
    place = {name: i for i, name in enumerate(data.covariates(split)["id"].to_pylist())}
    order = [place[name] for name in read_parquet(path, ["id"])["id"].to_pylist()]
    return {name: predicted[split][order] for name, predicted in references.items()}


def compare(
    outcomes: dict[str, Outcome], prior: np.ndarray, data: Any, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """For each member `seconds`, `tuning`, `out_of_fold` (log loss of the training rows and number of folds) and for
    each split `log_loss`, `accuracy` and `gain_over_prior` (nats) as value, low, high: 95% intervals over resampled
    groups, the same draws as in `arena.evaluation.predictions`; of several heads the means over heads.

    Args:
        outcomes: the members.
        prior: probabilities of the prior, `[K]`; of several heads side by side, `[C]`.
        data: the data module.
        resamples: of the bootstrap; 0 gives no intervals.
        seed: of the bootstrap.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, outcome in outcomes.items():
        loss = log_loss_of(data, "train", outcome.out_of_fold)
        found[name] = {"seconds": outcome.seconds, "tuning": outcome.member.tuning}
        found[name]["out_of_fold"] = {"log_loss": loss, "folds": outcome.folds}
        for split, probabilities in outcome.probabilities.items():
            loss = label_log_losses(*_labels(data, split, probabilities))
            hits = label_hits(*_labels(data, split, probabilities))
            constant = label_log_losses(*_labels(data, split, np.tile(prior, (len(loss), 1))))
            none = np.zeros_like(loss)
            pairs = {"log_loss": (loss, none, 1), "accuracy": (hits, none, 1), "gain_over_prior": (constant, loss, 10)}
            found[name][split] = {
                key: dict(zip(("value", "low", "high"), mean, strict=True))
                for key, (a, b, times) in pairs.items()
                for _, mean in [paired_differences(a, b, data.groups(split), times * resamples, seed)]
            }
    return found


def lines(compared: dict[str, dict[str, Any]], best: str) -> list[list[str]]:
    """The comparison as one table for `baselines.tsv`, header first."""
    measures = ("log_loss", "accuracy", "gain_over_prior")
    header = [name for measure in measures for name in (measure, f"{measure}_low", f"{measure}_high")]
    found = [["split", "member", "best", *header, "seconds"]]
    for split in JUDGED:
        for name, values in compared.items():
            if split in values:
                cells = [f"{values[split][m][part]:.6f}" for m in measures for part in ("value", "low", "high")]
                found.append([split, name, "yes" if name == best else "", *cells, f"{values['seconds']:.2f}"])
    return found


def shown(compared: dict[str, dict[str, Any]], split: str) -> list[list[str]]:
    """The comparison on one split for people, header first."""
    found = [["member", "log loss", "95% interval", "accuracy", "95% interval", "gain over prior", "95% interval", "s"]]
    for name, values in compared.items():
        cells = []
        for measure in ("log_loss", "accuracy", "gain_over_prior"):
            value = values[split][measure]
            known = not np.isnan(value["low"])
            cells += [f"{value['value']:z.4f}", f"{value['low']:z.4f} to {value['high']:z.4f}" if known else ""]
        found.append([name, *cells, f"{values['seconds']:.1f}"])
    return found
