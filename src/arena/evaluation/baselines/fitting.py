"""Fit reference models on a training split; regularisation is chosen by cross-validation inside it."""

import logging
import time
from typing import Any

import numpy as np

from arena.data.target import facts as table
from arena.evaluation.baselines import logistic
from arena.evaluation.baselines.features import Features, Scaling
from arena.evaluation.baselines.logistic import Block
from arena.evaluation.baselines.members import Member
from arena.evaluation.baselines.names import MEMBERS
from arena.evaluation.baselines.vocabulary import Vocabulary
from arena.stats.scores import log_loss

log = logging.getLogger("arena")

FOLDS = 3
"""Parts of the training split, whole groups each."""
STRENGTHS = {
    "length": (0.001, 0.01, 0.1, 1.0, 10.0),
    "structure": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "words": (0.01, 0.1, 0.3, 1.0, 3.0),
}
"""Inverse regularisations (`C`) from strong to weak."""
TOLERANCES = {"length": 1e-7, "structure": 1e-7, "words": 1e-4}
PATIENCE = 1
"""Weaker regularisations that are still tried after the best one."""


class Fitting:
    """Fits members one after another; what one has found the next ones use.

    Args:
        features: of the training rows.
        target: class index of each, `[N]`.
        groups: rows with the same group are never on both sides of a cross-validation, `[N]`.
        labels: the K classes.
        seed: of the cross-validation's parts.
    """

    def __init__(
        self, features: Features, target: np.ndarray, groups: np.ndarray, labels: list[str], seed: int = 0
    ) -> None:
        self.features, self.target, self.groups = features, target, groups
        self.labels, self.seed = labels, seed
        self.fold = folds_of(groups, FOLDS, seed)
        self._fitted: dict[str, tuple[Member, np.ndarray]] = {}

    @property
    def folds(self) -> int:
        """Parts of the cross-validation; fewer than `FOLDS` where there are fewer groups."""
        return int(self.fold.max()) + 1

    def fit(self, name: str) -> Member:
        """One of `MEMBERS`; each is fitted once."""
        return self._fit(name)[0]

    def out_of_fold(self, name: str) -> np.ndarray:
        """Probabilities of the training rows by the models of the cross-validation that have not seen them, with the
        regularisation that was chosen, `[N, K]` float64.

        Not out of fold are the class shares and, without labels, the features' means and the idf; where there is a
        single group (`folds` is 1) nothing is.
        """
        scores = self._fit(name)[1]
        return logistic.probabilities(scores[np.arange(len(self.fold)), self.fold])

    def _fit(self, name: str) -> tuple[Member, np.ndarray]:
        """The member, and the logits of every row in each model of the cross-validation and in the member,
        `[N, P, K]`."""
        if name in self._fitted:
            return self._fitted[name]
        began = time.time()
        counts = np.bincount(self.target, minlength=len(self.labels)).astype(np.float64)
        mirror = None if name == "prior" else table.mirror(self.labels)
        member = Member(name, self.labels, _log_shares(counts if mirror is None else (counts + counts[mirror]) / 2))
        scores = np.zeros((len(self.target), self.folds + 1, len(self.labels))) + member.offset
        for kind in MEMBERS[name]:
            scores = self._add(member, kind, scores)
        member.tuning["seconds"] = time.time() - began
        self._fitted[name] = member, scores
        return member, scores

    def _add(self, member: Member, kind: str, scores: np.ndarray) -> np.ndarray:
        """Fit the weights of one kind of features on top of the logits so far; returns the new logits."""
        if (kind,) != MEMBERS[member.name] and kind in MEMBERS:
            # Fitted on its own first: together with the words it would need hundreds of steps instead of a dozen.
            base, scores = self._fit(kind)
            member.weights, member.scalings = dict(base.weights), dict(base.scalings)
            member.tuning[kind] = base.tuning[kind]
            return scores
        if kind == "words":
            member.vocabulary = Vocabulary.learn(self.features.rows, self.features.positions)
        else:
            member.scalings[kind] = Scaling.learn(getattr(self.features, kind))
        blocks = member.blocks(self.features, kind)
        weights, member.tuning[kind] = self._tune(kind, list(blocks.values()), scores)
        member.weights |= {name: weight[:, -1] for name, weight in zip(blocks, weights, strict=True)}
        found = member.tuning[kind]
        log.info("%s: C = %g by cross-validation, log loss %.4f", kind, found["strength"], found["log_loss"])
        return scores + logistic.scores(list(blocks.values()), weights)

    def _tune(self, kind: str, blocks: list[Block], offset: np.ndarray) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Go from strong to weak regularisation, each fit beginning where the last one ended; keep the best."""
        number = offset.shape[1] - 1
        part = np.stack([*(self.fold != held_out for held_out in range(number)), np.ones(len(self.fold), bool)], axis=1)
        if number < 2:
            part[:, 0] = True  # a single group: nothing can be held out
        rows = np.arange(len(self.fold))
        tried: list[dict[str, float]] = []
        weights: list[np.ndarray] | None = None
        best: tuple[list[np.ndarray], dict[str, float]] | None = None
        for strength in STRENGTHS[kind]:
            set_to = [block._replace(strength=strength) for block in blocks]
            weights = logistic.fit(set_to, self.target, part, offset, weights, TOLERANCES[kind])
            chosen = logistic.probabilities((offset + logistic.scores(blocks, weights))[rows, self.fold])
            loss = float(log_loss(chosen, self.target).mean())
            tried.append({"strength": strength, "log_loss": loss})
            if best is None or loss < best[1]["log_loss"]:
                best = weights, tried[-1]
            if len(tried) - 1 - tried.index(best[1]) >= PATIENCE or number < 2:
                break
        assert best is not None
        return best[0], {**best[1], "tried": tried, "folds": number}


def fitting_of(data: Any, seed: int = 0) -> Fitting:
    """For the training split of an `arena.data.module.pairwise.PairData` that has divided its rows."""
    features = Features(data.source, data.positions[data.rows("train")])
    return Fitting(features, data.targets("train"), data.groups("train"), data.labels, seed)


def folds_of(groups: np.ndarray, number: int, seed: int) -> np.ndarray:
    """A part for each row, `[N]`: whole groups in random order, cut where a part has its share of the rows.

    Fewer parts where there are fewer groups; a single group is one part.
    """
    _, member, size = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(size))
    middle = np.cumsum(size[order]) - size[order] / 2
    part = np.zeros(len(size), np.int64)
    part[order] = np.minimum(middle * number / max(len(groups), 1), number - 1).astype(np.int64)
    _, part = np.unique(part, return_inverse=True)
    return part[member]


def _log_shares(counts: np.ndarray) -> np.ndarray:
    """Logarithm of the class shares with one added to each count, as `arena.metric.baseline`."""
    return np.log((counts + 1) / (counts.sum() + len(counts)))
