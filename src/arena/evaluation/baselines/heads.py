"""Logistic regression over words and character pieces for each of several heads: what needs no pretrained weights."""

import logging
import time
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array, vstack

from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.data.source.rows import Rows
from arena.evaluation.baselines import logistic
from arena.evaluation.baselines.fitting import FOLDS, PATIENCE, folds_of
from arena.evaluation.baselines.grams import BUCKETS, Characters, piece_counts, word_counts
from arena.evaluation.baselines.logistic import Block
from arena.evaluation.baselines.members import Member
from arena.evaluation.baselines.vocabulary import Vocabulary
from arena.stats.scores import log_loss

log = logging.getLogger("arena")
MEMBERS = ("prior", "tfidf")
"""The reference models that several heads can have."""
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
RAREST = 2
"""A column must occur in this many training texts."""
TOLERANCE = 1e-5
AT_ONCE = 1024


class Words:
    """TF-IDF of some texts, read once for all heads.

    Args:
        rows: where the texts are.
        positions: which rows, increasing, `[N]`; all by default.
    """

    def __init__(self, rows: Rows, positions: np.ndarray | None = None) -> None:
        self.positions = np.arange(rows.num_rows) if positions is None else positions
        self.texts = [text for batch in rows.texts(positions) for text in _texts(batch)]
        self._weighed: tuple[Vocabulary, csr_array] | None = None

    def learn(self) -> Vocabulary:
        """The columns that occur in `RAREST` texts, with their idf."""
        found = np.zeros(2 * BUCKETS, np.int64)
        for start in range(0, len(self.texts), AT_ONCE):
            characters = Characters(self.texts[start : start + AT_ONCE])
            for first, counts in ((0, word_counts(characters)), (BUCKETS, piece_counts(characters))):
                found[first : first + BUCKETS] += np.bincount(counts.indices, minlength=BUCKETS)
        return Vocabulary.of_counts(found, len(self.texts), RAREST)

    def weigh(self, vocabulary: Vocabulary) -> csr_array:
        """Weights `[N, F]` float32."""
        if self._weighed is None or self._weighed[0] is not vocabulary:
            starts = range(0, len(self.texts), AT_ONCE)
            parts = [vocabulary.weigh(self.texts[start : start + AT_ONCE]) for start in starts]
            empty = csr_array((0, len(vocabulary.columns)), dtype=np.float32)
            self._weighed = vocabulary, csr_array(vstack(parts, format="csr")) if parts else empty
        return self._weighed[1]


def _texts(batch: pa.RecordBatch) -> list[str]:
    """Text and context of each row as one."""
    columns = (batch.column(name).to_pylist() for name in ("text", "context"))
    return ["\n".join(part for turns in row for part in turns or [] if part) for row in zip(*columns, strict=True)]


class HeadMember(Member):
    """A fitted reference model of several heads; see `Member`. The logits of all heads are side by side, `[C]`."""

    def predict_features(self, features: Any) -> np.ndarray:
        """Probabilities `[N, C]` float64, each head's sum 1."""
        found = np.tile(self.offset, (len(features.positions), 1))
        if self.vocabulary is not None:
            found = found + logistic.product(features.weigh(self.vocabulary), self.weights["words"])
        parts = Heads(self.labels).split(found).values()
        return np.concatenate([logistic.probabilities(part) for part in parts], axis=1)

    def predict(self, rows: Rows) -> np.ndarray:
        """Probabilities of all rows, labelled or not, `[N, C]` float64."""
        return self.predict_features(Words(rows))


class HeadFitting:
    """Fits the reference models of several heads; the counterpart of `arena.evaluation.baselines.fitting.Fitting`.

    Args:
        words: of the training rows.
        target: class index of each row in each head, `[N, T]`, negative where it has none.
        groups: rows with the same group are never on both sides of a cross-validation, `[N]`.
        heads: names and classes.
        seed: of the cross-validation's parts.
    """

    def __init__(self, words: Words, target: np.ndarray, groups: np.ndarray, heads: Heads, seed: int = 0) -> None:
        self.words, self.target, self.heads = words, target, heads
        self.fold = folds_of(groups, FOLDS, seed)
        self._fitted: dict[str, tuple[HeadMember, np.ndarray]] = {}

    @classmethod
    def of(cls, data: Any, seed: int = 0) -> "HeadFitting":
        """For the training split of an `arena.data.module.multihead.HeadData` that has divided its rows."""
        words = Words(data.source, data.positions[data.rows("train")])
        return cls(words, data.targets("train"), data.groups("train"), data.heads, seed)

    @property
    def folds(self) -> int:
        """Parts of the cross-validation."""
        return int(self.fold.max()) + 1

    def fit(self, name: str) -> HeadMember:
        """One of `MEMBERS`; each is fitted once.

        Raises:
            UsageError: the model reads two answers.
        """
        return self._fit(name)[0]

    def out_of_fold(self, name: str) -> np.ndarray:
        """Probabilities of the training rows by the models of the cross-validation that have not seen them,
        `[N, C]`."""
        return self._fit(name)[1]

    def _fit(self, name: str) -> tuple[HeadMember, np.ndarray]:
        if name not in MEMBERS:
            raise UsageError(f"baselines: {name} reads two answers; with several heads there are {', '.join(MEMBERS)}")
        if name in self._fitted:
            return self._fitted[name]
        began = time.time()
        parts = [self._log_shares(place) for place in range(len(self.heads))]
        member = HeadMember(name, self.heads.classes, np.concatenate(parts))
        told = np.tile(member.predict_features(_Nothing), (len(self.target), 1))
        if name == "tfidf":
            member.vocabulary = self.words.learn()
            matrix = self.words.weigh(member.vocabulary)
            fitted = [self._tune(member, place, matrix) for place in range(len(self.heads))]
            member.weights["words"] = np.concatenate([weights for weights, _ in fitted], axis=1)
            told = np.concatenate([probabilities for _, probabilities in fitted], axis=1)
        member.tuning["seconds"] = time.time() - began
        self._fitted[name] = member, told
        return member, told

    def _log_shares(self, place: int) -> np.ndarray:
        index = self.target[:, place]
        counts = np.bincount(index[index >= 0], minlength=self.heads.sizes[place]) + 1.0
        return np.log(counts / counts.sum())

    def _tune(self, member: HeadMember, place: int, matrix: csr_array) -> tuple[np.ndarray, np.ndarray]:
        """The weights `[F, K]` of one head, and its probabilities out of fold `[N, K]`: from strong to weak
        regularisation, each fit beginning where the last one ended."""
        head, size = self.heads.names[place], self.heads.sizes[place]
        rows = np.flatnonzero(self.target[:, place] >= 0)
        target, fold = self.target[rows, place], self.fold[rows]
        number = self.folds
        part = np.stack([*(fold != held_out for held_out in range(number)), np.ones(len(fold), bool)], axis=1)
        offset = np.zeros((len(rows), number + 1, size)) + self._log_shares(place)
        block, tried = Block(matrix[rows], np.eye(size), 1.0), []
        weights: list[Any] | None = None
        best: tuple[float, np.ndarray] | None = None
        for strength in STRENGTHS:
            weights = logistic.fit([block._replace(strength=strength)], target, part, offset, weights, TOLERANCE)
            scored = (offset + logistic.scores([block], weights))[np.arange(len(rows)), fold]
            chosen = logistic.probabilities(scored)
            loss = float(log_loss(chosen, target).mean())
            tried.append({"strength": strength, "log_loss": loss})
            if best is None or loss < best[0]:
                best = loss, weights[0]
            if len(tried) - 1 - int(np.argmin([each["log_loss"] for each in tried])) >= PATIENCE or number < 2:
                break
        assert best is not None
        found = min(tried, key=lambda each: each["log_loss"])
        member.tuning[head] = found | {"tried": tried, "folds": number}
        log.info("tfidf %s: C = %g by cross-validation, log loss %.4f", head, found["strength"], found["log_loss"])
        scores = self._log_shares(place) + np.asarray(
            logistic.product(matrix, best[1].reshape(len(best[1]), -1)).reshape(len(self.target), *best[1].shape[1:])
        )
        return best[1][:, -1], logistic.probabilities(scores[np.arange(len(self.fold)), self.fold])


class _Nothing:
    """Features of one row that nobody reads."""

    positions = np.zeros(1, np.int64)
