"""A fitted baseline: class shares, lengths, structure or words. All are one kind of linear model."""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from arena.core.errors import DataError, InputOutputError
from arena.core.files import replacing
from arena.core.heads import Heads
from arena.core.run import RunFolder, plain
from arena.core.schema import closest
from arena.data.source.rows import Rows
from arena.data.target import labels as table
from arena.evaluation.baselines import words
from arena.evaluation.baselines.features import Features, TextFeatures, features_of
from arena.evaluation.baselines.logistic import Block, scores, ties
from arena.evaluation.baselines.names import BASELINES, FOLDER, baselines_of

VERSION = 2
"""Of the features: weights mean nothing to features that are computed differently."""
EXTREME = 6.0
"""Standard deviations at which a feature is clipped: one strange text must not decide."""


@dataclass
class Baseline:
    """A fitted baseline.

    Attributes:
        labels: the K classes; of several heads those of each, whose logits are side by side.
        arrays: `offset` `[K]`, the log of the smoothed class shares; `weights.<block>` `[F, r]`; `scale.<kind>.*` of
            dense features and `words.*` of TF-IDF.
        tuning: what cross-validation tried and chose, in JSON's types.
    """

    name: str
    labels: Any
    arrays: dict[str, np.ndarray]
    tuning: dict[str, Any] = field(default_factory=dict)

    def learn_features(self, features: Features, kind: str) -> None:
        """Learn the idf of words, or the scales of dense features: one that never differs stays 0."""
        if kind in ("words", "text"):
            self.arrays["words.columns"], self.arrays["words.idf"] = words.learn_idf(features.counts, features.rarest)
            return
        signed, even = getattr(features, kind)
        found = {"signed": np.sqrt((signed**2).mean(axis=0)), "even": even.std(axis=0)}
        self.arrays |= {f"scale.{kind}.{side}": np.where(each > 1e-9, each, 1.0) for side, each in found.items()}
        self.arrays[f"scale.{kind}.mean"] = even.mean(axis=0)

    def blocks(self, features: Features, kind: str) -> dict[str, Block]:
        """The features of one kind with their ties, by name; without those that can tell no two classes apart.

        Signed features are only divided: subtracting anything would tell the two orders apart.
        """
        if kind in ("words", "text"):
            sides = features.tfidf(self.arrays["words.columns"], self.arrays["words.idf"])
        else:
            signed, even = getattr(features, kind)
            mean, *scales = (self.arrays[f"scale.{kind}.{part}"] for part in ("mean", "signed", "even"))
            signed, even = (
                np.clip(each, -EXTREME, EXTREME) for each in (signed / scales[0], (even - mean) / scales[1])
            )
            sides = signed, np.column_stack([even, np.ones(len(even))])
        if isinstance(features, TextFeatures):
            return {"words": Block(sides, np.eye(len(self.arrays["offset"])))}
        tied = ties(len(self.labels), table.swap_permutation(self.labels))
        named = zip(("signed", "even"), sides, tied, strict=True)
        return {f"{kind}.{side}": Block(matrix, tie) for side, matrix, tie in named if len(tie)}

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Softmax over the classes of each head, `[N, K]` float64."""
        parts = Heads(self.labels).split(logits).values()
        return np.concatenate([softmax(part, axis=-1) for part in parts], axis=-1)

    def predict_features(self, features: Features) -> np.ndarray:
        """Predict probabilities `[N, K]` float64; where every class has a swapped one, swapping A and B swaps them."""
        found = np.tile(self.arrays["offset"], (len(features.positions), 1))
        for kind in baselines_of(self.labels)[self.name]:
            blocks = self.blocks(features, kind)
            found += scores(list(blocks.values()), [self.arrays[f"weights.{name}"][:, None] for name in blocks])[:, 0]
        return self.probabilities(found)

    def predict(self, rows: Rows) -> np.ndarray:
        """Predict probabilities of all rows, labelled or not, `[N, K]` float64."""
        return self.predict_features(features_of(self.labels, rows))

    def save(self, folder: Path) -> None:
        """Write `<name>.npz`: numbers and one JSON string, nothing that is executed."""
        facts = {"version": VERSION, "name": self.name, "labels": self.labels, "tuning": self.tuning}
        with replacing(folder / f"{self.name}.npz") as partial, open(partial, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, facts=np.array(json.dumps(plain(facts))), **self.arrays)


def names(folder: Path) -> list[str]:
    """Return the baselines that a folder holds, in the order of `BASELINES`."""
    return [name for name in BASELINES if (folder / f"{name}.npz").is_file()]


def load(folder: Path, name: str) -> Baseline:
    """Read a baseline that `Baseline.save` wrote; an `InputOutputError` where it is not there, damaged, or of other
    features."""
    path = folder / f"{name}.npz"
    if not path.is_file():
        raise InputOutputError(f"{folder}: there is no baseline '{name}'{closest(name, names(folder))}")
    if (folder / f"{name}.json").is_file():  # beside the file of version 1
        raise InputOutputError(f"{path}: written by another version of arena; fit it again")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        facts = json.loads(str(arrays.pop("facts")))
        version, found = facts["version"], Baseline(facts["name"], facts["labels"], arrays, facts["tuning"])
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputOutputError(f"{path}: not a baseline that can be read ({error})") from error
    if version != VERSION:
        raise InputOutputError(f"{path}: written by another version of arena ({version}, not {VERSION}); fit it again")
    return found


def predict(run: str | Path, rows: Rows, name: str | None = None) -> tuple[list[str], np.ndarray]:
    """Predict rows with a baseline of a finished run, by default the best one by validation log loss.

    Returns the K labels, and probabilities `[N, K]` float64 in the order of the rows.

    Raises:
        InputOutputError: no run folder, or the baseline is not in it.
        DataError: the run has several baselines and does not say which is best.
    """
    folder = RunFolder(run).require()
    known = names(folder.path / FOLDER)
    if not known:
        raise InputOutputError(f"{folder.path}: no baseline in it; it is not a finished run of arena.baseline")
    if name is None:
        name = folder.read_result().get("best_member") or (known[0] if len(known) == 1 else None)
    if name is None:
        raise DataError(f"{folder.path}: it does not say which of {', '.join(known)} is best; name one")
    found = load(folder.path / FOLDER, name)
    return found.labels, found.predict(rows)
