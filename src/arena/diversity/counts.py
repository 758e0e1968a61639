"""How often each n-gram stands in each text, of many sets of texts at once.

Words become whole numbers and an n-gram one number more, so that numpy counts those of all sets in a few sorts. N-grams
never cross the end of a text, and those of different sets are different n-grams.

Shape legend, used in this room: S sets, N texts of all sets together, n texts of one set, T words, d embedding width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from arena.diversity.words import Text, as_words


@dataclass(frozen=True)
class Tokens:
    """The words of many sets of texts as numbers.

    Attributes:
        ids: number of each word in `vocabulary`, `[T]` int64, text by text.
        text: which text each word is of, `[T]` int64.
        lengths: words of each text, `[N]` int64.
        group: which set each text is of, `[N]` int64.
        sets: number of sets, S.
        vocabulary: the words.
    """

    ids: np.ndarray
    text: np.ndarray
    lengths: np.ndarray
    group: np.ndarray
    sets: int
    vocabulary: list[str]

    def per_set(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sums of `values` `[N]` over the texts of each set, `[S]`; without values the number of texts."""
        return np.bincount(self.group, values, minlength=self.sets)


@dataclass(frozen=True)
class Grams:
    """The n-grams of one length, counted. A pair is an n-gram and a text that has it.

    Attributes:
        gram: the n-gram of each pair, 0, 0, 1, 1, 1, 2, ..., int64.
        text: the text of each pair, ascending within an n-gram, int64.
        count: how often the text has the n-gram, int64.
        group: the set of each n-gram, int64.
        total: n-grams of each text, `[N]` int64.
    """

    gram: np.ndarray
    text: np.ndarray
    count: np.ndarray
    group: np.ndarray
    total: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """Where the pairs of each n-gram begin."""
        return np.flatnonzero(np.diff(self.gram, prepend=-1))


def tokens(sets: Iterable[Sequence[Text]]) -> Tokens:
    """Cut the texts of all sets into words and number these."""
    known: dict[str, int] = {}
    ids: list[int] = []
    lengths: list[int] = []
    sizes: list[int] = []
    for texts in sets:
        sizes.append(len(texts))
        for text in texts:
            cut = as_words(text)
            lengths.append(len(cut))
            ids += [known.setdefault(word, len(known)) for word in cut]
    length = np.array(lengths, dtype=np.int64)
    text = np.repeat(np.arange(len(lengths)), length)
    group = np.repeat(np.arange(len(sizes)), np.array(sizes, dtype=np.int64))
    return Tokens(np.array(ids, dtype=np.int64), text, length, group, len(sizes), list(known))


def count(given: Tokens, order: int) -> list[Grams]:
    """The n-grams of lengths 1 to `order`, counted."""
    texts, vocabulary = len(given.lengths), max(1, len(given.vocabulary))
    place = np.arange(len(given.ids))
    code = given.group[given.text]  # an n-gram begins with its set
    found = []
    for length in range(1, order + 1):
        if length > 1:
            fits = place + length - 1 < len(given.ids)
            place, code = place[fits], code[fits]
            inside = given.text[place] == given.text[place + length - 1]
            place, code = place[inside], code[inside]
        _, code = np.unique(code * vocabulary + given.ids[place + length - 1], return_inverse=True)
        text = given.text[place]
        pair, repeats = np.unique(code * texts + text, return_counts=True)
        group = np.zeros(int(code.max(initial=-1)) + 1, dtype=np.int64)
        group[code] = given.group[text]
        gram, owner = np.divmod(pair, max(1, texts))
        found.append(Grams(gram, owner, repeats, group, np.bincount(text, minlength=texts)))
    return found
