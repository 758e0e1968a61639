"""From stored predictions to numbers with intervals and baselines. Everything is computed from the parquet file."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from arena.callback.predictions import PROBABILITY, TRUE_PROBABILITY
from arena.metric.baseline import prior_probabilities
from arena.metric.collection import Metrics
from arena.metric.interval import bootstrap, paired_difference

HEADLINE = ("log_loss", "accuracy")
"""The numbers that baselines are given for."""


def judge(
    path: Path,
    metrics: Metrics,
    class_counts: np.ndarray,
    resamples: int,
    seed: int,
    baselines: dict[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Metrics of one predictions file, each with a 95% interval over whole prompts, beside its baselines.

    Args:
        path: `predictions/<split>.parquet`.
        metrics: the metrics of the configuration; used and reset.
        class_counts: rows of each class in the training split, for the prior, `[K]`.
        resamples, seed: of the bootstrap; 0 resamples give no intervals.
        baselines: probabilities of other models for the rows of the file, each `[N, K]`.

    Returns:
        `rows`, `groups`, `loss` (mean training loss, nats), `metrics` (name -> value, low, high, and numerator and
        denominator for rates), `baselines` (prior, those given, and bayes where the truth is known), `gain_over_prior`
        (nats a row that the model saves, with its interval), `skill` (for each baseline given, see `skill_over` and
        `accuracy_change`).
    """
    table = pq.read_table(path)
    labels = metrics.labels
    probabilities = _columns(table, PROBABILITY, labels)
    assert probabilities is not None, path
    target = np.array([labels.index(name) for name in table.column("target").to_pylist()], dtype=np.int64)
    groups = np.array(table.column("group").to_pylist())
    result: dict[str, Any] = {
        "rows": len(target),
        "groups": len(np.unique(groups)),
        "loss": float(np.nanmean(table.column("loss").to_numpy().astype(np.float64))),
        "metrics": values_with_intervals(metrics, probabilities, target, groups, resamples, seed),
        "baselines": {},
    }
    prior = {"prior": prior_probabilities(torch.from_numpy(class_counts), len(target)).numpy()}
    known = prior | {name: values for name, values in (baselines or {}).items() if name != "prior"}
    if (truth := _columns(table, TRUE_PROBABILITY, labels)) is not None:
        known["bayes"] = truth
    for name, baseline in known.items():
        values, _ = _compute(metrics, baseline, target)
        result["baselines"][name] = {key: values[key] for key in HEADLINE if key in values}
    known.pop("bayes", None)
    skills = {
        name: _skill(baseline, probabilities, target, groups, resamples, seed) for name, baseline in known.items()
    }
    result["gain_over_prior"] = skills.pop("prior")["gain"]
    return result | {"skill": skills}


def _skill(
    baseline: np.ndarray, model: np.ndarray, target: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> dict[str, Any]:
    """What the model adds to one baseline, in nats and in rows that are right; ten times the resamples, being cheap."""
    losses = row_log_loss(baseline, target), row_log_loss(model, target)
    skill = skill_over(*losses, groups, 10 * resamples, seed)
    right = baseline.argmax(1) == target, model.argmax(1) == target
    return {
        "skill": skill.pop("skill"),
        "gain": skill,
        "accuracy": accuracy_change(*right, groups, 10 * resamples, seed),
    }


def skill_over(
    baseline: np.ndarray, model: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> dict[str, float]:
    """`value`, `low`, `high`: nats a row that the model saves over the baseline, paired and over resampled groups;
    `skill`: the same as a share, `1 - log_loss / log_loss_of_the_baseline`, NaN where the baseline loses nothing.

    Args:
        baseline: log loss of each row, `[N]`.
        model: log loss of the same rows, `[N]`.
        groups: what was drawn together, `[N]`.
        resamples: bootstrap resamples; 0 gives no interval.
        seed: of the bootstrap.
    """
    gain = paired_difference(baseline, model, groups, resamples, seed)
    mean = float(baseline.mean()) if len(baseline) else 0.0
    return dict(zip(("value", "low", "high"), gain, strict=True)) | {"skill": gain.mean / mean if mean else np.nan}


def accuracy_change(
    baseline: np.ndarray, model: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> dict[str, float]:
    """`value`, `low`, `high`: accuracy of the model minus that of the baseline, paired and over resampled groups;
    `only_model`, `only_baseline`: rows that only one of them has right; `p`: of McNemar's exact test, which asks
    whether these two counts could come from a fair coin. It takes rows as independent; the interval does not.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages".

    Args: as `skill_over`, with whether each row is right, `[N]` bool.
    """
    from scipy.stats import binomtest

    change = paired_difference(model.astype(float), baseline.astype(float), groups, resamples, seed)
    only_model, only_baseline = int((model & ~baseline).sum()), int((baseline & ~model).sum())
    p = binomtest(only_model, only_model + only_baseline).pvalue if only_model + only_baseline else 1.0
    counts = {"only_model": only_model, "only_baseline": only_baseline, "p": float(p)}
    return dict(zip(("value", "low", "high"), change, strict=True)) | counts


def values_with_intervals(
    metrics: Metrics, probabilities: np.ndarray, target: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """Each metric as value, low, high; rates also as numerator and denominator, so that 0/0 can be told from 0."""
    values, counts = _compute(metrics, probabilities, target)
    intervals: dict[str, tuple[float, float]] = {}
    if resamples:
        tensors = torch.from_numpy(probabilities), torch.from_numpy(target)
        intervals = bootstrap(metrics, *tensors, groups, resamples, seed)
    found = {}
    for name, value in values.items():
        entry = {"value": value}
        if name in intervals:
            entry |= dict(zip(("low", "high"), intervals[name], strict=True))
        if name in counts:
            entry |= dict(zip(("numerator", "denominator"), counts[name], strict=True))
        found[name] = entry
    return found


def row_log_loss(probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """-log p of the target of each row, nats, `[N]`."""
    return -np.log(np.clip(probabilities[np.arange(len(target)), target].astype(np.float64), 1e-15, 1.0))


def _compute(metrics: Metrics, probabilities: np.ndarray, target: np.ndarray) -> tuple[Any, Any]:
    metrics.reset()
    metrics.update(torch.from_numpy(np.ascontiguousarray(probabilities)), torch.from_numpy(target))
    found = metrics.compute(), metrics.counts()
    metrics.reset()
    return found


def _columns(table: Any, prefix: str, labels: list[str]) -> np.ndarray | None:
    if prefix + labels[0] not in table.column_names:
        return None
    return np.stack([table.column(prefix + label).to_numpy() for label in labels], axis=1).astype(np.float32)
