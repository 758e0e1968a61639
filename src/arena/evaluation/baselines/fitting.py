"""Fit baselines on a training split; regularisation is chosen by cross-validation inside it."""

import logging
import time
from typing import Any

import numpy as np
from scipy.special import softmax

from arena.core.errors import UsageError
from arena.core.heads import Heads, Labels, several
from arena.data.target import labels as table
from arena.evaluation.baselines import logistic
from arena.evaluation.baselines.features import Features, features_of
from arena.evaluation.baselines.logistic import Block
from arena.evaluation.baselines.model import Baseline
from arena.evaluation.baselines.names import BASELINES, baselines_of
from arena.stats.scores import log_loss

log = logging.getLogger("arena")

FOLDS = 3
"""Parts of the training split, whole groups each."""
STRENGTHS = {
    "length": (0.001, 0.01, 0.1, 1.0, 10.0),
    "structure": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "words": (0.01, 0.1, 0.3, 1.0, 3.0),
    "text": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
}
"""Inverse regularisations (`C`) from strong to weak; one worse than the one before ends the search."""
TOLERANCES = {"length": 1e-7, "structure": 1e-7, "words": 1e-4, "text": 1e-5}


class Fitting:
    """Fits baselines one after another; the next ones use what one has found.

    Args:
        features: of the training rows.
        target: class index of each, `[N]`; of several heads `[N, T]`, negative where a row has no label of a head.
        groups: rows with the same group are never on both sides of a cross-validation, `[N]`.
    """

    def __init__(
        self, features: Features, target: np.ndarray, groups: np.ndarray, labels: Labels, seed: int = 0
    ) -> None:
        self.features, self.target, self.labels = features, target, labels
        self.heads = Heads(labels)
        self.columns = target.reshape(len(target), -1).T
        self.fold = folds_of(groups, FOLDS, seed)
        self.folds = int(self.fold.max()) + 1
        self._fitted: dict[str, tuple[Baseline, np.ndarray]] = {}

    def fit(self, name: str) -> Baseline:
        """Fit one of the baselines for these labels, once; a `UsageError` for one that reads two answers with several
        heads."""
        return self._fit(name)[0]

    def out_of_fold(self, name: str) -> np.ndarray:
        """Probabilities of the training rows by models of the cross-validation that have not seen them, `[N, K]`
        float64.

        Not out of fold are the class shares and, without labels, the features' means and the idf; where there is a
        single group (`folds` is 1) nothing is.
        """
        fitted, scores = self._fit(name)
        return fitted.probabilities(scores[np.arange(len(self.fold)), self.fold])

    def _fit(self, name: str) -> tuple[Baseline, np.ndarray]:
        """The baseline, and the logits of every row in each model of the cross-validation and in the baseline, `[N, P,
        K]`."""
        known = baselines_of(self.labels)
        if name not in known:
            raise UsageError(f"baselines: {name} reads two answers; with several heads there are {', '.join(known)}")
        if name not in self._fitted:
            began = time.time()
            offset = self._log_shares(symmetric=name != "prior" and not several(self.labels))
            fitted = Baseline(name, self.labels, {"offset": offset})
            scores = np.zeros((len(self.target), self.folds + 1, self.heads.width)) + offset
            for kind in known[name]:
                scores = self._add(fitted, kind, scores)
            fitted.tuning["seconds"] = time.time() - began
            self._fitted[name] = fitted, scores
        return self._fitted[name]

    def _log_shares(self, symmetric: bool) -> np.ndarray:
        """Logarithm of each head's class shares with one added to each count, as `arena.metric.probability`."""
        found = []
        for index, size in zip(self.columns, self.heads.sizes, strict=True):
            counts = np.bincount(index[index >= 0], minlength=size).astype(np.float64)
            swapped = table.swap_permutation(list(self.labels)) if symmetric else None
            counts = 1 + (counts if swapped is None else (counts + counts[swapped]) / 2)
            found.append(np.log(counts / counts.sum()))
        return np.concatenate(found)

    def _add(self, fitted: Baseline, kind: str, scores: np.ndarray) -> np.ndarray:
        """Fit the weights of one kind of features on top of the logits so far; returns the new logits."""
        if kind in BASELINES and kind != fitted.name:
            # Fitted on its own first: together with the words it would need hundreds of steps instead of a dozen.
            base, scores = self._fit(kind)
            fitted.arrays |= base.arrays
            fitted.tuning[kind] = base.tuning[kind]
            return scores
        fitted.learn_features(self.features, kind)
        blocks = fitted.blocks(self.features, kind)
        found, added = [], []
        for target, (head, own) in zip(self.columns, self.heads.slices.items(), strict=True):
            of_head = [Block(block.matrix, block.ties[own, own]) for block in blocks.values()]
            weights, tuning = self._tune(kind, of_head, target, scores[..., own])
            name, fitted.tuning[head or kind] = f"tfidf {head}" if head else kind, tuning
            log.info("%s: C = %g by cross-validation, log loss %.4f", name, tuning["strength"], tuning["log_loss"])
            found.append([weight[:, -1] for weight in weights])
            added.append(logistic.scores(of_head, weights))
        for place, name in enumerate(blocks):
            fitted.arrays[f"weights.{name}"] = np.concatenate([weights[place] for weights in found], axis=1)
        return scores + np.concatenate(added, axis=-1)

    def _tune(
        self, kind: str, blocks: list[Block], target: np.ndarray, offset: np.ndarray
    ) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Go from strong to weak regularisation, each fit beginning where the last one ended; keep the best."""
        known = np.flatnonzero(target >= 0)
        part = np.stack([*(self.fold != out for out in range(self.folds)), np.ones(len(self.fold), bool)], axis=1)
        if self.folds < 2:
            part[:, 0] = True  # a single group: nothing can be held out
        part &= (target >= 0)[:, None]
        tried: list[dict[str, float]] = []
        weights, best = None, None
        for strength in STRENGTHS[kind]:
            weights = logistic.fit(blocks, strength, target, part, offset, weights, TOLERANCES[kind])
            chosen = softmax((offset + logistic.scores(blocks, weights))[known, self.fold[known]], axis=-1)
            tried.append({"strength": strength, "log_loss": float(log_loss(chosen, target[known]).mean())})
            if best is not None and tried[-1]["log_loss"] >= best[1]["log_loss"]:
                break
            best = weights, tried[-1]
            if self.folds < 2:
                break
        assert best is not None
        return best[0], {**best[1], "tried": tried, "folds": self.folds}


def fitting_of(data: Any, seed: int = 0) -> Fitting:
    """Prepare to fit the training split of a data module of comparisons or of several heads."""
    features = features_of(data.labels, data.source, data.positions[data.rows("train")])
    return Fitting(features, data.targets("train"), data.groups("train"), data.labels, seed)


def folds_of(groups: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Assign a part to each row, `[N]`: whole groups in random order, cut where a part has its share of the rows.

    scikit-learn's `GroupKFold` draws groups without regard to their sizes.
    """
    _, member, size = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(size))
    middle = np.cumsum(size[order]) - size[order] / 2
    part = np.zeros(len(size), np.int64)
    part[order] = np.minimum(middle * number / max(len(groups), 1), number - 1).astype(np.int64)
    _, part = np.unique(part, return_inverse=True)
    return part[member]
