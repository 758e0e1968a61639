"""Models without pretrained weights: class shares, lengths, structure, words. All are one kind of linear model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from arena.data.source.rows import Rows
from arena.data.target import facts as table
from arena.evaluation.baselines.features import Features, Scaling
from arena.evaluation.baselines.logistic import Block, probabilities, scores, ties
from arena.evaluation.baselines.names import MEMBERS
from arena.evaluation.baselines.vocabulary import Vocabulary


@dataclass
class Member:
    """A fitted reference model.

    Attributes:
        name: one of `MEMBERS`.
        labels: the K classes.
        offset: log of the smoothed class shares, `[K]`; the same for A and B except for `prior`.
        weights: for `<kind>.signed` and `<kind>.even` the weights of each feature, `[F, r]`.
        scalings: of the dense kinds.
        vocabulary: of the kind `words`.
        tuning: what cross-validation tried and chose, in JSON's types.
    """

    name: str
    labels: Any
    offset: np.ndarray
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    scalings: dict[str, Scaling] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None
    tuning: dict[str, Any] = field(default_factory=dict)

    def blocks(self, features: Features, kind: str) -> dict[str, Block]:
        """The features of one kind as this member reads them, with their ties, under the names of `weights`.

        Features that can tell no two classes apart are left out: even ones, where there is no class for ties.
        """
        if kind == "words":
            assert self.vocabulary is not None
            matrices = features.words(self.vocabulary)
        else:
            matrices = self.scalings[kind](getattr(features, kind))
        tied = ties(self.labels, table.mirror(self.labels))
        sides = zip(("signed", "even"), matrices, tied, strict=True)
        return {f"{kind}.{side}": Block(matrix, tie, 1.0) for side, matrix, tie in sides if len(tie)}

    def predict_features(self, features: Features) -> np.ndarray:
        """Probabilities `[N, K]` float64. Where every class has a mirrored one, exchanging A and B mirrors them."""
        found = np.tile(self.offset, (len(features.positions), 1))
        for kind in MEMBERS[self.name]:
            blocks = self.blocks(features, kind)
            weights = [self.weights[name][:, None] for name in blocks]
            found += scores(list(blocks.values()), weights)[:, 0]
        return probabilities(found)

    def predict(self, rows: Rows) -> np.ndarray:
        """Probabilities of all rows, labelled or not, `[N, K]` float64."""
        return self.predict_features(Features(rows))
