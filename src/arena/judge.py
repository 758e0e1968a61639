"""From stored predictions to numbers with intervals and baselines. Everything is computed from the parquet file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arena.callback.predictions import PROBABILITY, TRUE_PROBABILITY
from arena.core.files import read_parquet
from arena.heads import LOSS, Heads, Labels
from arena.metric.baseline import prior_probabilities
from arena.metric.collection import Metrics
from arena.metric.heads import HeadMetrics
from arena.metric.interval import Difference, bootstrap, paired_difference, paired_differences
from arena.types import UNLABELLED

HEADLINE = ("log_loss", "accuracy")
"""The numbers that baselines are given for."""
HEADLINE_OF_HEADS = (*HEADLINE, "macro_f1")
"""The same for each of several heads and for their means: with rare classes accuracy says little."""


@dataclass(frozen=True)
class Told:
    """The labelled rows of a predictions file; rows without any label are left out.

    Attributes:
        probabilities: `[N, C]` float32.
        target: class index within each head, `[N, T]` int64; `UNLABELLED` where a row has no label of that head.
        groups: what was drawn together (prompt), `[N]`.
        loss: training loss of each row, nats, `[N]` float64.
        truth: the probabilities that the labels were drawn from, `[N, C]`, or None where nobody knows them.
        kept: which rows of the file these are, `[M]` bool.
    """

    probabilities: np.ndarray
    target: np.ndarray
    groups: np.ndarray
    loss: np.ndarray
    truth: np.ndarray | None
    kept: np.ndarray


def read(path: Path, labels: Labels) -> Told:
    """The labelled rows of one predictions file."""
    table = read_parquet(path)
    heads = Heads(labels)
    probabilities, truth = (_columns(table, prefix, heads) for prefix in (PROBABILITY, TRUE_PROBABILITY))
    assert probabilities is not None, path
    columns = []
    for head, classes in heads.classes.items():
        place = {label: k for k, label in enumerate(classes)} | {None: UNLABELLED}
        columns.append([place[label] for label in table.column(heads.target_column(head)).to_pylist()])
    target = np.array(columns, dtype=np.int64).T.reshape(-1, len(heads))
    kept = np.asarray((target >= 0).any(axis=1))
    return Told(
        probabilities[kept],
        target[kept],
        np.array(table.column("group").to_pylist())[kept],
        table.column(LOSS).to_numpy().astype(np.float64)[kept],
        None if truth is None else truth[kept],
        kept,
    )


def judge(
    path: Path,
    metrics: Metrics | HeadMetrics,
    class_counts: np.ndarray,
    resamples: int,
    seed: int,
    baselines: dict[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Metrics of one predictions file, each with a 95% interval over whole prompts, beside its baselines.

    Args:
        path: `predictions/<split>.parquet`.
        metrics: the metrics of the configuration; used and reset.
        class_counts: rows of each class in the training split, for the prior, `[K]`, or `[C]` of several heads.
        resamples, seed: of the bootstrap; 0 resamples give no intervals.
        baselines: probabilities of other models for the rows of the file, each `[N, K]` or `[N, C]`.

    Returns:
        `rows`, `groups`, `loss` (mean training loss, nats), `metrics` (name -> value, low, high, and numerator and
        denominator for rates), `baselines` (prior, those given, and bayes where the truth is known), `gain_over_prior`
        (nats a row that the model saves, with its interval), `skill` (for each baseline given, see `skill_over` and
        `accuracy_change`). Of several heads a row's log loss is the mean over its labels, a row is right if all of
        them are, and `heads` has for each head `rows`, `gain_over_prior` and `skill` (over the prior, a share).
    """
    told = read(path, metrics.labels)
    heads = Heads(metrics.labels)
    # One classification has class indices `[N]` wherever a target goes.
    target = told.target if heads.named else told.target[:, 0]
    result: dict[str, Any] = {
        "rows": len(target),
        "groups": len(np.unique(told.groups)),
        "loss": float(np.nanmean(told.loss)),
        "metrics": values_with_intervals(metrics, told.probabilities, target, told.groups, resamples, seed),
        "baselines": {},
    }
    prior = prior_of(heads, class_counts, len(target))
    given = {name: values[told.kept] for name, values in (baselines or {}).items() if name != "prior"}
    known = {"prior": prior} | given | ({} if told.truth is None else {"bayes": told.truth})
    for name, baseline in known.items():
        values, _ = _compute(metrics, baseline, target)
        result["baselines"][name] = {key: values[key] for key in _headline(heads) if key in values}
    known.pop("bayes", None)
    skills = {name: _skill(heads, baseline, told, resamples, seed) for name, baseline in known.items()}
    over_prior = skills.pop("prior")
    result |= {"gain_over_prior": over_prior["gain"], "skill": skills}
    if heads.named:
        named = {"rows": "rows", "gain_over_prior": "gain", "skill": "skill"}
        result["heads"] = {head: {n: e[k] for n, k in named.items()} for head, e in over_prior["heads"].items()}
    return result


def prior_of(heads: Heads, class_counts: np.ndarray, rows: int) -> np.ndarray:
    """The class shares of the training rows within each head for every row (`prior_probabilities`), `[rows, C]`."""
    counts = torch.from_numpy(np.asarray(class_counts))
    return np.concatenate([prior_probabilities(part, rows).numpy() for part in heads.split(counts).values()], axis=1)


def _headline(heads: Heads) -> list[str]:
    if not heads.named:
        return list(HEADLINE)
    return [*HEADLINE_OF_HEADS, *(f"{head}/{name}" for head in heads.names for name in HEADLINE_OF_HEADS)]


def _skill(heads: Heads, baseline: np.ndarray, told: Told, resamples: int, seed: int) -> dict[str, Any]:
    """What the model adds to one baseline, in nats and in rows that are right; ten times the resamples, being cheap."""
    pair = baseline, told.probabilities
    each = [label_log_losses(heads, probabilities, told.target) for probabilities in pair]
    losses = [losses[:, 0] if len(heads) == 1 else np.nanmean(losses, axis=1) for losses in each]
    skill = skill_over(losses[0], losses[1], told.groups, 10 * resamples, seed)
    right = [all_right(heads, probabilities, told.target) for probabilities in pair]
    found = {
        "skill": skill.pop("skill"),
        "gain": skill,
        "accuracy": accuracy_change(right[0], right[1], told.groups, 10 * resamples, seed),
    }
    if not heads.named:
        return found
    gains = paired_differences(each[0], each[1], told.groups, 10 * resamples, seed)
    known = np.isfinite(each[0])
    found["heads"] = {
        head: {
            "rows": int(known[:, t].sum()),
            "gain": _named(gains[t]),
            "skill": float(gains[t].mean / each[0][known[:, t], t].mean()) if known[:, t].any() else np.nan,
        }
        for t, head in enumerate(heads.names)
    }
    return found


def label_log_losses(heads: Heads, probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """-log p of each label, nats, `[N, T]`; NaN where there is none.

    Args:
        heads: names and classes.
        probabilities: `[N, C]`.
        target: class index within each head, `[N, T]`.
    """
    columns = [
        np.where(target[:, t] >= 0, row_log_loss(part, np.maximum(target[:, t], 0)), np.nan)
        for t, part in enumerate(heads.split(probabilities).values())
    ]
    return np.stack(columns, axis=1)


def all_right(heads: Heads, probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Whether every label of a row is the most probable class of its head, `[N]` bool; arguments as above."""
    guess = np.stack([part.argmax(axis=1) for part in heads.split(probabilities).values()], axis=1)
    return ((guess == target) | (target < 0)).all(axis=1)


def _named(difference: Difference) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), difference, strict=True))


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
    return _named(gain) | {"skill": gain.mean / mean if mean else np.nan}


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
    return _named(change) | counts


def values_with_intervals(
    metrics: Metrics | HeadMetrics,
    probabilities: np.ndarray,
    target: np.ndarray,
    groups: np.ndarray,
    resamples: int,
    seed: int,
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


def _compute(metrics: Metrics | HeadMetrics, probabilities: np.ndarray, target: np.ndarray) -> tuple[Any, Any]:
    metrics.reset()
    metrics.update(torch.from_numpy(np.ascontiguousarray(probabilities)), torch.from_numpy(target))
    found = metrics.compute(), metrics.counts()
    metrics.reset()
    return found


def _columns(table: Any, prefix: str, heads: Heads) -> np.ndarray | None:
    if prefix + heads.columns[0] not in table.column_names:
        return None
    return np.stack([table.column(prefix + name).to_numpy() for name in heads.columns], axis=1).astype(np.float32)
