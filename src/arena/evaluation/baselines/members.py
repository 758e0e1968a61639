"""Models without pretrained weights: class shares, lengths, structure, words. All are one kind of linear model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import softmax

from arena.core.heads import Heads
from arena.data.source.rows import Rows
from arena.data.target import facts as table
from arena.evaluation.baselines.features import Features, Scaling, Words, features_of
from arena.evaluation.baselines.logistic import Block, scores, ties
from arena.evaluation.baselines.names import members_of
from arena.evaluation.baselines.vocabulary import Vocabulary


@dataclass
class Member:
    """A fitted reference model.

    Attributes:
        name: one of `members_of(labels)`.
        labels: the K classes; of several heads those of each, whose logits are side by side, `[C]`.
        offset: log of the smoothed class shares, `[K]`; the same for A and B except for `prior`.
        weights: for `<kind>.signed` and `<kind>.even` the weights of each feature, `[F, r]`; for `words` of several
            heads `[F, C]`.
        scalings: of the dense kinds.
        vocabulary: of words.
        tuning: what cross-validation tried and chose, in JSON's types.
    """

    name: str
    labels: Any
    offset: np.ndarray
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    scalings: dict[str, Scaling] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None
    tuning: dict[str, Any] = field(default_factory=dict)

    def blocks(self, features: Features | Words, kind: str) -> dict[str, Block]:
        """The features of one kind as this member reads them, with their ties, under the names of `weights`.

        Features that can tell no two classes apart are left out: even ones, where there is no class for ties.
        """
        if isinstance(features, Words):
            assert self.vocabulary is not None
            return {"words": Block(features.words(self.vocabulary), np.eye(len(self.offset)))}
        if kind == "words":
            assert self.vocabulary is not None
            matrices = features.words(self.vocabulary)
        else:
            matrices = self.scalings[kind](getattr(features, kind))
        tied = ties(self.labels, table.mirror(self.labels))
        sides = zip(("signed", "even"), matrices, tied, strict=True)
        return {f"{kind}.{side}": Block(matrix, tie) for side, matrix, tie in sides if len(tie)}

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Softmax over the classes of each head, `[N, K]` float64."""
        parts = Heads(self.labels).split(logits).values()
        return np.concatenate([softmax(part, axis=-1) for part in parts], axis=-1)

    def predict_features(self, features: Features | Words) -> np.ndarray:
        """Probabilities `[N, K]` float64. Where every class has a mirrored one, exchanging A and B mirrors them."""
        found = np.tile(self.offset, (len(features.positions), 1))
        for kind in members_of(self.labels)[self.name]:
            blocks = self.blocks(features, kind)
            weights = [self.weights[name][:, None] for name in blocks]
            found += scores(list(blocks.values()), weights)[:, 0]
        return self.probabilities(found)

    def predict(self, rows: Rows) -> np.ndarray:
        """Probabilities of all rows, labelled or not, `[N, K]` float64."""
        return self.predict_features(features_of(self.labels, rows))
