"""From stored predictions to numbers with intervals and baselines. Everything is computed from the parquet file."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arena.callback.predictions import PROBABILITY, TRUE_PROBABILITY
from arena.core.files import read_parquet
from arena.core.heads import LOSS, Heads, Labels
from arena.core.types import UNLABELLED
from arena.metric.collection import Metrics
from arena.metric.interval import bootstrap, calibration_intervals
from arena.metric.probability import prior_probabilities
from arena.stats.calibration import ErrorInterval
from arena.stats.intervals import paired_difference, paired_differences, quotient
from arena.stats.scores import exact_match, head_means, label_hits, label_log_losses, mean_over_heads
from arena.stats.significance import mcnemar

HEADLINE = ("log_loss", "accuracy")
"""The numbers that baselines are given for."""
HEADLINE_OF_HEADS = (*HEADLINE, "macro_f1")
"""The same for each of several heads and for their means: with rare classes accuracy says little."""


@dataclass(frozen=True)
class LabelledPredictions:
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


def read(path: Path, labels: Labels) -> LabelledPredictions:
    """Read the labelled rows of one predictions file."""
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
    return LabelledPredictions(
        probabilities[kept],
        target[kept],
        np.array(table.column("group").to_pylist())[kept],
        table.column(LOSS).to_numpy().astype(np.float64)[kept],
        None if truth is None else truth[kept],
        kept,
    )


def evaluate_predictions(
    path: Path,
    metrics: Metrics,
    class_counts: np.ndarray,
    resamples: int,
    seed: int,
    baselines: dict[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Compute metrics of one predictions file, each with a 95% interval over whole prompts, beside its baselines.

    Args:
        metrics: of the configuration; used and reset.
        class_counts: rows of each class in the training split, for the prior, `[C]`.
        resamples, seed: of the bootstrap; 0 resamples give no intervals.
        baselines: probabilities of other models for the rows of the file, `[N, C]` each.

    Returns:
        `rows`, `groups`, `loss` (mean training loss, nats), `metrics` (name -> value, low, high, and numerator and
        denominator for rates), `baselines` (prior, those given, and bayes where the truth is known), `gain_over_prior`
        (nats that the model saves, with its interval), `skill` (for each baseline given: `skill`, the gain as a share
        of the baseline's log loss, `gain`, `accuracy`). Of several heads all of these are means over heads, `skill`
        also has `exact_match` (rows with all labels right), and `heads` has for each head `rows`, `gain_over_prior`
        and `skill` (over the prior, a share).
    """
    labelled = read(path, metrics.labels)
    heads = Heads(metrics.labels)
    # One classification has class indices `[N]` wherever a target goes.
    target = labelled.target if heads.named else labelled.target[:, 0]
    result: dict[str, Any] = {
        "rows": len(target),
        "groups": len(np.unique(labelled.groups)),
        "loss": float(np.nanmean(labelled.loss)) if np.isfinite(labelled.loss).any() else math.nan,
        "metrics": values_with_intervals(metrics, labelled.probabilities, target, labelled.groups, resamples, seed),
        "baselines": {},
    }
    prior = prior_of(heads, class_counts, len(target))
    given = {name: values[labelled.kept] for name, values in (baselines or {}).items() if name != "prior"}
    known = {"prior": prior} | given | ({} if labelled.truth is None else {"bayes": labelled.truth})
    for name, baseline in known.items():
        values, _ = _compute(metrics, baseline, target)
        result["baselines"][name] = {key: values[key] for key in _headline(heads) if key in values}
    known.pop("bayes", None)
    skills = {name: _skill(heads, baseline, labelled, resamples, seed) for name, baseline in known.items()}
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


def _skill(
    heads: Heads, baseline: np.ndarray, labelled: LabelledPredictions, resamples: int, seed: int
) -> dict[str, Any]:
    """What the model adds to one baseline, in nats and in right labels, means over heads; ten times the resamples
    (cheap)."""
    losses = [label_log_losses(parts, labelled.target) for parts in _parts(heads, baseline, labelled.probabilities)]
    hits = [label_hits(parts, labelled.target) for parts in _parts(heads, baseline, labelled.probabilities)]
    gains, gain = paired_differences(losses[0], losses[1], labelled.groups, 10 * resamples, seed)
    _, change = paired_differences(hits[1], hits[0], labelled.groups, 10 * resamples, seed)
    known = np.isfinite(losses[0])
    level, whole = head_means(losses[0]), mean_over_heads(losses[0])
    match = match_change(exact_match(hits[0]), exact_match(hits[1]), labelled.groups, 10 * resamples, seed)
    found = {"skill": float(quotient(gain.value, whole)), "gain": gain._asdict(), "accuracy": change._asdict()}
    if not heads.named:
        return found | {"accuracy": match}
    found["exact_match"] = match
    skills = quotient([gain.value for gain in gains], level)
    found["heads"] = {
        head: {"rows": int(known[:, t].sum()), "gain": gains[t]._asdict(), "skill": float(skills[t])}
        for t, head in enumerate(heads.names)
    }
    return found


def _parts(heads: Heads, *probabilities: np.ndarray) -> list[list[np.ndarray]]:
    return [list(heads.split(each).values()) for each in probabilities]


def match_change(
    baseline: np.ndarray, model: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> dict[str, float]:
    """Compute the share of right rows of the model minus that of the baseline, paired and over resampled groups.

    Returns `value`, `low`, `high`; `only_model`, `only_baseline`: rows that only one of them has right, and `p` of
    McNemar's exact test, which takes rows as independent; the interval does not.
    """
    change = paired_difference(model, baseline, groups, resamples, seed)
    only_baseline, only_model, p = mcnemar(baseline, model)
    return change._asdict() | {"only_model": only_model, "only_baseline": only_baseline, "p": p}


def values_with_intervals(
    metrics: Metrics,
    probabilities: np.ndarray,
    target: np.ndarray,
    groups: np.ndarray,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Each metric as value, low, high; rates also as numerator and denominator, to tell 0/0 from 0."""
    values, counts = _compute(metrics, probabilities, target)
    intervals: dict[str, tuple[float, float]] = {}
    errors: dict[str, ErrorInterval] = {}
    if resamples:
        tensors = torch.from_numpy(probabilities), torch.from_numpy(target)
        intervals = bootstrap(metrics, *tensors, groups, resamples, seed)
        errors = calibration_intervals(metrics, probabilities, target, groups, resamples, seed)
    found = {}
    for name, value in values.items():
        entry = {"value": value}
        if name in intervals:
            entry |= dict(zip(("low", "high"), intervals[name], strict=True))
        if name in errors:
            debiased, low, high = errors[name]
            # The value is torchmetrics', of 32 bits.
            entry |= {"debiased": debiased, "low": min(low, value), "high": max(high, value)}
        if name in counts:
            entry |= dict(zip(("numerator", "denominator"), counts[name], strict=True))
        found[name] = entry
    return found


def _compute(metrics: Metrics, probabilities: np.ndarray, target: np.ndarray) -> tuple[Any, Any]:
    metrics.reset()
    metrics.update(torch.from_numpy(np.ascontiguousarray(probabilities)), torch.from_numpy(target))
    found = metrics.compute(), metrics.counts()
    metrics.reset()
    return found


def _columns(table: Any, prefix: str, heads: Heads) -> np.ndarray | None:
    if prefix + heads.columns[0] not in table.column_names:
        return None
    return np.stack([table.column(prefix + name).to_numpy() for name in heads.columns], axis=1).astype(np.float32)
