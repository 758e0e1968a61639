"""Fit the baselines of a run, predict its splits with each, and compare them."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arena.callback.predictions import prediction_table, write_table
from arena.config import build
from arena.core import tables
from arena.core.files import read_parquet
from arena.core.heads import Heads
from arena.core.record import Record
from arena.core.run import RunFolder, write_atomically
from arena.data.module.description import Split
from arena.evaluation import printing
from arena.evaluation.baselines.features import Features, features_of
from arena.evaluation.baselines.fitting import fitting_of
from arena.evaluation.baselines.model import Baseline
from arena.evaluation.baselines.names import FOLDER, baselines_of
from arena.evaluation.predictions import evaluate_predictions, prior_of
from arena.stats.intervals import paired_differences
from arena.stats.scores import label_hits, label_log_losses, mean_over_heads, row_means

log = logging.getLogger("arena")
SPLITS: tuple[Split, ...] = ("val", "test")
Predicted = dict[Split, np.ndarray]
"""Probabilities of the rows of each evaluated split, `[M, K]` float64."""


@dataclass
class Fitted:
    """A fitted baseline with its predictions.

    Attributes:
        seconds: to fit it and to predict; features that several baselines read are counted with the first.
        probabilities: of the rows of each split.
        out_of_fold, folds: of the training rows, see `Fitting.out_of_fold`.
    """

    baseline: Baseline
    seconds: float
    probabilities: Predicted
    out_of_fold: np.ndarray
    folds: int


def splits_of(data: Any) -> list[Split]:
    """The evaluated splits that have rows."""
    return [split for split in SPLITS if len(data.rows(split))]


def fit_and_predict(names: Sequence[str], data: Any, seed: int) -> dict[str, Fitted]:
    """Fit baselines on the training split of a data module whose rows are divided, and predict the other splits."""
    if not names:
        return {}
    fitting = fitting_of(data, seed)
    features: dict[Split, Features] = {}
    for split in splits_of(data):
        features[split] = features_of(data.labels, data.source, data.positions[data.rows(split)])
    found = {}
    for name in names:
        began = time.time()
        baseline, out_of_fold = fitting.fit(name), fitting.out_of_fold(name)
        predicted: Predicted = {split: baseline.predict_features(each) for split, each in features.items()}
        found[name] = Fitted(baseline, time.time() - began, predicted, out_of_fold, fitting.folds)
        if "val" in features:
            loss = log_loss_of(data, "val", predicted["val"])
            log.info("%s: validation log loss %.4f, %.1f s", name, loss, found[name].seconds)
    return found


def run_baselines(models: list[str] | None, data: Any, settings: build.Settings, record: Record) -> None:
    """Fit and compare the baselines (None for all that these data have), evaluate the best, write and print."""
    counts, resamples, seed = data.class_counts("train"), settings["resamples"], settings["seed"]
    began = time.time()
    fitted = fit_and_predict(models or list(baselines_of(data.labels)), data, seed)
    record.add(time={"fit": time.time() - began})
    began = time.time()
    prior = prior_of(Heads(data.labels), counts, 1)[0]
    compared = {name: compare(each, prior, data, resamples, seed) for name, each in fitted.items()}
    best = min(compared, key=lambda name: compared[name]["val"]["log_loss"]["value"])
    write(record.run, fitted, data, best)
    write_atomically(record.run.path / "baselines.tsv", tables.text_of(lines(compared, best), "\t"))
    for split in splits_of(data):
        others = {name: each.probabilities[split] for name, each in fitted.items() if name not in (best, "prior")}
        found = evaluate_predictions(
            record.run.predictions(split), build.instantiate(settings["metric"]), counts, resamples, seed, others
        )
        record.add_results(split, found)
        title = f"{'validation' if split == 'val' else split}: {found['rows']} rows, {found['groups']} prompts"
        printing.print_table(title, rows(compared, split))
    value = compared[best]["val"]["log_loss"]["value"]
    record.add(best_member=best, members=compared, monitor={"name": "val/log_loss", "mode": "min", "value": value})
    record.add(time={"test": time.time() - began})


def write(run: RunFolder, fitted: dict[str, Fitted], data: Any, best: str) -> None:
    """Save the baselines, the predictions of each below `predictions/<name>/`, and those of the best one.

    The predictions of training rows are out of fold: a model that learns on top of them, or that asks how hard a row
    is, must not see how well a row was learned by heart.
    """
    for name, each in fitted.items():
        each.baseline.save(run.path / FOLDER)
        predicted: dict[Split, np.ndarray] = {"train": each.out_of_fold, **each.probabilities}
        for split, probabilities in predicted.items():
            made = table_of(data, split, probabilities)
            write_table(run.path / "predictions" / name / f"{split}.parquet", made)
            if name == best:
                write_table(run.predictions(split), made)


def table_of(data: Any, split: Split, probabilities: np.ndarray) -> Any:
    """Predictions with the columns of a trained model's file; `loss` is the log loss in nats, a mean over the labelled
    heads."""
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


def aligned(path: Path, baselines: dict[str, Predicted], data: Any, split: Split) -> dict[str, np.ndarray]:
    """Probabilities of each baseline for the rows of a predictions file, `[N, K]`; it may hold a part of the split."""
    place = {name: i for i, name in enumerate(data.covariates(split)["id"].to_pylist())}
    order = [place[name] for name in read_parquet(path, ["id"])["id"].to_pylist()]
    return {name: predicted[split][order] for name, predicted in baselines.items()}


def compare(fitted: Fitted, prior: np.ndarray, data: Any, resamples: int, seed: int) -> dict[str, Any]:
    """Return `seconds`, `tuning`, `out_of_fold` and for each split `log_loss`, `accuracy` and `gain_over_prior` (nats).

    The latter as value, low, high: 95% intervals over resampled groups, the same draws as in
    `arena.evaluation.predictions`; of several heads the means over heads. `prior` is `[K]`; 0 resamples give no
    intervals.
    """
    loss = log_loss_of(data, "train", fitted.out_of_fold)
    found: dict[str, Any] = {"seconds": fitted.seconds, "tuning": fitted.baseline.tuning}
    found["out_of_fold"] = {"log_loss": loss, "folds": fitted.folds}
    for split, probabilities in fitted.probabilities.items():
        losses = label_log_losses(*_labels(data, split, probabilities))
        hits = label_hits(*_labels(data, split, probabilities))
        constant = label_log_losses(*_labels(data, split, np.tile(prior, (len(losses), 1))))
        pairs = {"log_loss": (losses, 0 * losses, 1), "accuracy": (hits, 0 * hits, 1)}
        pairs["gain_over_prior"] = (constant, losses, 10)
        found[split] = {
            key: paired_differences(a, b, data.groups(split), times * resamples, seed)[1]._asdict()
            for key, (a, b, times) in pairs.items()
        }
    return found


MEASURES = ("log_loss", "accuracy", "gain_over_prior")


def lines(compared: dict[str, dict[str, Any]], best: str) -> list[list[str]]:
    """The comparison as one table for `baselines.tsv`, header first."""
    header = [name for measure in MEASURES for name in (measure, f"{measure}_low", f"{measure}_high")]
    found = [["split", "member", "best", *header, "seconds"]]
    for split in SPLITS:
        for name, values in compared.items():
            if split in values:
                cells = [f"{values[split][m][part]:.6f}" for m in MEASURES for part in ("value", "low", "high")]
                found.append([split, name, "yes" if name == best else "", *cells, f"{values['seconds']:.2f}"])
    return found


def rows(compared: dict[str, dict[str, Any]], split: str) -> list[list[str]]:
    """The comparison on one split for people, header first."""
    found = [["member", "log loss", "95% interval", "accuracy", "95% interval", "gain over prior", "95% interval", "s"]]
    for name, values in compared.items():
        cells = []
        for measure in MEASURES:
            value = values[split][measure]
            known = not np.isnan(value["low"])
            cells += [f"{value['value']:z.4f}", f"{value['low']:z.4f} to {value['high']:z.4f}" if known else ""]
        found.append([name, *cells, f"{values['seconds']:.1f}"])
    return found
