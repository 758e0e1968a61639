"""Augmentations of training texts that leave the labels true, applied to token ids.

An augmentation is `(ids of the text, draw) -> ids`, made for a strength between 0 and 1 and registered under a name;
`data.augment={token_dropout: 0.1}` switches it on. Special ids (the sequence's own begin, end and separators) are never
touched. What happens to a row is a function of (seed, row, epoch) alone, so a resumed run sees the same texts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import closest
from arena.data.text.tokenizer import Tokenizer

Augmentation = Callable[[np.ndarray, np.ndarray, float, np.random.Generator], np.ndarray]
"""(ids `[L]`, whether each begins a word `[L]` bool, strength, draw) -> ids `[L']`."""
REGISTRY: dict[str, Augmentation] = {}
WORD_MARKS = "\u0120\u2581"
"""How a token says that a blank stands before it: the marks of byte-level BPE and of SentencePiece."""


def register(name: str) -> Callable[[Augmentation], Augmentation]:
    """Decorator that makes an augmentation known to `data.augment`."""

    def add(function: Augmentation) -> Augmentation:
        REGISTRY[name] = function
        return function

    return add


@register("token_dropout")
def token_dropout(ids: np.ndarray, starts: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Leave out each token with probability `strength`; one at least stays."""
    kept = draw.random(len(ids)) >= strength
    if not kept.any():
        kept[draw.integers(len(ids))] = True
    return ids[kept]


@register("word_dropout")
def word_dropout(ids: np.ndarray, starts: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Leave out each word, with all its tokens, with probability `strength`; one at least stays."""
    word = np.cumsum(starts) - starts[0]
    kept = draw.random(int(word[-1]) + 1) >= strength
    if not kept.any():
        kept[draw.integers(len(kept))] = True
    return ids[kept[word]]


@register("word_swap")
def word_swap(ids: np.ndarray, starts: np.ndarray, strength: float, draw: np.random.Generator) -> np.ndarray:
    """Swap neighbouring words: of n words about `strength * n / 2` pairs that do not overlap."""
    borders = np.flatnonzero(starts)
    words = np.split(ids, borders[borders > 0])
    place = 0
    while place + 1 < len(words):
        if draw.random() < strength:
            words[place], words[place + 1] = words[place + 1], words[place]
            place += 1
        place += 1
    return np.concatenate(words)


def word_starts(tokenizer: Tokenizer) -> np.ndarray:
    """The ids that begin a word, `[size]` bool; in WordPiece all but those that begin with ##."""
    starts = np.zeros(tokenizer.size, dtype=bool)
    known = tokenizer.vocabulary()
    wordpiece = any(token.startswith("##") for token in known)
    for token, index in known.items():
        starts[index] = not token.startswith("##") if wordpiece else token[:1] in WORD_MARKS or token.isspace()
    return starts


def check(strengths: Mapping[str, float]) -> None:
    """Raise a `UsageError` for an unknown name, or a strength that is not between 0 and 1."""
    for name, strength in strengths.items():
        if name not in REGISTRY:
            raise UsageError(f"data.augment.{name}: no such augmentation{closest(name, REGISTRY)}")
        if not 0 <= strength < 1:
            raise UsageError(f"data.augment.{name}={strength}: a number from 0 to below 1 is needed")


@dataclass(frozen=True)
class Augment:
    """All augmentations of a run, one after the other.

    Attributes:
        strengths: by name.
        starts: see `word_starts`.
        fixed: ids that are not of the text, `[size]` bool.
        seed: of the draws.
    """

    strengths: Mapping[str, float]
    starts: np.ndarray
    fixed: np.ndarray
    seed: int

    @classmethod
    def of(cls, strengths: Mapping[str, float], tokenizer: Tokenizer, seed: int) -> "Augment":
        """The augmentations for a tokenizer."""
        fixed = np.zeros(tokenizer.size, dtype=bool)
        fixed[[*tokenizer.prefix, *tokenizer.suffix, *tokenizer.separator]] = True
        return cls(dict(strengths), word_starts(tokenizer), fixed, seed)

    def __call__(self, ids: np.ndarray, row: int, epoch: int) -> np.ndarray:
        """Other ids for the sequence of a row in an epoch; each stretch between special ids by itself."""
        draw = np.random.default_rng([self.seed, epoch, row, 3])
        fixed = self.fixed[ids]
        borders = np.flatnonzero(np.diff(fixed)) + 1
        parts = []
        for part in np.split(ids, borders):
            if not self.fixed[part[0]]:
                for name, strength in self.strengths.items():
                    part = REGISTRY[name](part, self.starts[part], strength, draw)
            parts.append(part)
        return np.concatenate(parts)
