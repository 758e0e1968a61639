"""Fit reference models on a training split; regularisation is chosen by cross-validation inside it."""

import logging
import time
from typing import Any

import numpy as np
from scipy.special import softmax

from arena.core.errors import UsageError
from arena.core.heads import Heads, Labels, several
from arena.data.target import facts as table
from arena.evaluation.baselines import logistic
from arena.evaluation.baselines.features import Features, Scaling, Words, features_of
from arena.evaluation.baselines.logistic import Block
from arena.evaluation.baselines.members import Member
from arena.evaluation.baselines.names import MEMBERS, members_of
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
"""Inverse regularisations (`C`) from strong to weak."""
TOLERANCES = {"length": 1e-7, "structure": 1e-7, "words": 1e-4, "text": 1e-5}
PATIENCE = 1
"""Weaker regularisations that are still tried after the best one."""


class Fitting:
    """Fits members one after another; what one has found the next ones use.

    Args:
        features: of the training rows; `Words` with several heads.
        target: class index of each, `[N]`; of several heads `[N, T]`, negative where a row has no label of a head.
        groups: rows with the same group are never on both sides of a cross-validation, `[N]`.
        labels: the K classes, or those of each head.
        seed: of the cross-validation's parts.
    """

    def __init__(
        self, features: Features | Words, target: np.ndarray, groups: np.ndarray, labels: Labels, seed: int = 0
    ) -> None:
        self.features, self.target, self.labels = features, target, labels
        self.heads = Heads(labels)
        self.fold = folds_of(groups, FOLDS, seed)
        self._fitted: dict[str, tuple[Member, np.ndarray]] = {}

    @property
    def folds(self) -> int:
        """Parts of the cross-validation; fewer than `FOLDS` where there are fewer groups."""
        return int(self.fold.max()) + 1

    def fit(self, name: str) -> Member:
        """One of the members for these labels; each is fitted once.

        Raises:
            UsageError: there are several heads, and the model reads two answers.
        """
        return self._fit(name)[0]

    def out_of_fold(self, name: str) -> np.ndarray:
        """Probabilities of the training rows by the models of the cross-validation that have not seen them, with the
        regularisation that was chosen, `[N, K]` float64.

        Not out of fold are the class shares and, without labels, the features' means and the idf; where there is a
        single group (`folds` is 1) nothing is.
        """
        member, scores = self._fit(name)
        return member.probabilities(scores[np.arange(len(self.fold)), self.fold])

    def _fit(self, name: str) -> tuple[Member, np.ndarray]:
        """The member, and the logits of every row in each model of the cross-validation and in the member,
        `[N, P, K]`."""
        known = members_of(self.labels)
        if name not in known:
            raise UsageError(f"baselines: {name} reads two answers; with several heads there are {', '.join(known)}")
        if name not in self._fitted:
            began = time.time()
            member = Member(name, self.labels, self._log_shares(mirrored=name != "prior"))
            scores = np.zeros((len(self.target), self.folds + 1, self.heads.width)) + member.offset
            for kind in known[name]:
                scores = self._add(member, kind, scores)
            member.tuning["seconds"] = time.time() - began
            self._fitted[name] = member, scores
        return self._fitted[name]

    def _log_shares(self, mirrored: bool) -> np.ndarray:
        """Logarithm of each head's class shares with one added to each count, as `arena.metric.baseline`."""
        found = []
        for index, size in zip(self.target.reshape(len(self.target), -1).T, self.heads.sizes, strict=True):
            counts = np.bincount(index[index >= 0], minlength=size).astype(np.float64)
            mirror = table.mirror(list(self.labels)) if mirrored and not several(self.labels) else None
            counts = 1 + (counts if mirror is None else (counts + counts[mirror]) / 2)
            found.append(np.log(counts / counts.sum()))
        return np.concatenate(found)

    def _add(self, member: Member, kind: str, scores: np.ndarray) -> np.ndarray:
        """Fit the weights of one kind of features on top of the logits so far; returns the new logits."""
        if kind in MEMBERS and kind != member.name:
            # Fitted on its own first: together with the words it would need hundreds of steps instead of a dozen.
            base, scores = self._fit(kind)
            member.weights, member.scalings = dict(base.weights), dict(base.scalings)
            member.tuning[kind] = base.tuning[kind]
            return scores
        if kind in ("words", "text"):
            member.vocabulary = self.features.vocabulary()
        else:
            member.scalings[kind] = Scaling.learn(getattr(self.features, kind))
        blocks = member.blocks(self.features, kind)
        found, added = [], []
        columns = self.target.reshape(len(self.target), -1).T
        for target, (head, own) in zip(columns, self.heads.slices.items(), strict=True):
            tied = [Block(block.matrix, block.ties[own, own]) for block in blocks.values()]  # of this head alone
            weights, tuning = self._tune(kind, tied, target, scores[..., own])
            name, member.tuning[head or kind] = f"tfidf {head}" if head else kind, tuning
            log.info("%s: C = %g by cross-validation, log loss %.4f", name, tuning["strength"], tuning["log_loss"])
            found.append([weight[:, -1] for weight in weights])
            added.append(logistic.scores(tied, weights))
        sides = zip(*found, strict=True)
        member.weights |= {name: np.concatenate(side, axis=1) for name, side in zip(blocks, sides, strict=True)}
        return scores + np.concatenate(added, axis=-1)

    def _tune(
        self, kind: str, blocks: list[Block], target: np.ndarray, offset: np.ndarray
    ) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Go from strong to weak regularisation, each fit beginning where the last one ended; keep the best."""
        number, known = self.folds, np.flatnonzero(target >= 0)
        part = np.stack([*(self.fold != held_out for held_out in range(number)), np.ones(len(self.fold), bool)], axis=1)
        if number < 2:
            part[:, 0] = True  # a single group: nothing can be held out
        part &= (target >= 0)[:, None]
        tried: list[dict[str, float]] = []
        weights: list[np.ndarray] | None = None
        best: tuple[list[np.ndarray], dict[str, float]] | None = None
        for strength in STRENGTHS[kind]:
            weights = logistic.fit(blocks, strength, target, part, offset, weights, TOLERANCES[kind])
            chosen = softmax((offset + logistic.scores(blocks, weights))[known, self.fold[known]], axis=-1)
            loss = float(log_loss(chosen, target[known]).mean())
            tried.append({"strength": strength, "log_loss": loss})
            if best is None or loss < best[1]["log_loss"]:
                best = weights, tried[-1]
            if len(tried) - 1 - tried.index(best[1]) >= PATIENCE or number < 2:
                break
        assert best is not None
        return best[0], {**best[1], "tried": tried, "folds": number}


def fitting_of(data: Any, seed: int = 0) -> Fitting:
    """For the training split of a data module of comparisons or of several heads that has divided its rows."""
    features = features_of(data.labels, data.source, data.positions[data.rows("train")])
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
