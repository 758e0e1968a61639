"""Self-BLEU: how much each text of a set resembles the others (Zhu et al. 2018, arXiv 1802.01886); low is diverse.

Each text is the hypothesis once and all other texts of its set are its references; a text is never among its own
references. BLEU is that of nltk (`sentence_bleu` with `SmoothingFunction().method1`) or of sacrebleu (`exp` smoothing,
`effective_order`), here between 0 and 1. It rises with the number of texts, so only sets of one size compare, and with
texts of ten words a BLEU-4 is mostly smoothing.

Texts without words are no part of a set: as hypotheses they would count as the most diverse of all.

Both libraries count every text anew as a reference of every other. Here the n-grams of all sets are counted once: an
n-gram that a text has c times matches min(c, most that another has), which falls short of c only in the one text that
has more of it than all others.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from arena.diversity.counts import Grams, Tokens, count, tokens
from arena.diversity.words import Text
from arena.stats.intervals import quotient

Smoothing = Literal["method1", "exp"]
EPSILON = 0.1
"""What method1 counts in place of no match."""


def self_bleu(sets: Sequence[Sequence[Text]], order: int = 4, smoothing: Smoothing = "method1") -> list[np.ndarray]:
    """BLEU of each text against all others of its set.

    Args:
        sets: of texts, or of lists of words.
        order: longest n-grams that count; all lengths weigh the same.
        smoothing: what stands for a length of which no n-gram matches. `method1`: 0.1 matches, also where a text is too
            short to have such n-grams, so that copies of a short text do not reach 1. `exp`: a half, a quarter, ...
            match, and lengths that a text is too short for do not count.

    Returns:
        `[n]` float64 of each set, between 0 and 1, NaN for texts without words, and for all where fewer than two have
        any.
    """
    given = tokens(sets)
    values = bleu(given, count(given, order), smoothing)
    return np.split(values, np.cumsum([len(texts) for texts in sets])[:-1]) if sets else []


def bleu(given: Tokens, grams: Sequence[Grams], smoothing: Smoothing = "method1") -> np.ndarray:
    """Self-BLEU of every text, `[N]`, from the n-grams of lengths 1 to order."""
    logs = np.zeros(len(given.lengths))
    halvings = np.zeros(len(logs))
    lengths = np.zeros(len(logs))
    overlap = np.zeros(len(logs), dtype=bool)
    for n, each in enumerate(grams):
        right, total = matches(each), each.total
        if n == 0:
            overlap = right > 0
        if smoothing == "method1":
            logs += np.log(np.where(right > 0, right, EPSILON) / np.maximum(total, 1))
            lengths += 1
        else:
            halvings += (right == 0) & (total > 0)
            logs += np.where(total > 0, np.log(np.where(right > 0, right, 0.5**halvings) / np.maximum(total, 1)), 0)
            lengths += total > 0
    penalty = np.exp(np.minimum(0, 1 - quotient(closest_length(given), given.lengths)))
    return np.where(overlap, np.exp(logs / np.maximum(lengths, 1)), 0) * penalty


def mean_of_sets(given: Tokens, values: np.ndarray) -> np.ndarray:
    """Mean of values `[N]` over the texts of each set that have one, `[S]`; NaN where none has."""
    there = np.isfinite(values)
    return quotient(given.per_set(np.where(there, values, 0)), given.per_set(there))


def matches(grams: Grams) -> np.ndarray:
    """Clipped matches of each text against the others of its set, `[N]`."""
    right = grams.total.astype(np.float64)
    if not len(grams.gram):
        return right
    starts = grams.starts
    most = np.maximum.reduceat(grams.count, starts)
    leads = grams.count == most[grams.gram]
    leads &= (np.add.reduceat(leads, starts, dtype=np.int64) == 1)[grams.gram]
    second = np.maximum.reduceat(np.where(leads, 0, grams.count), starts)
    owned = grams.gram[leads]
    return right - np.bincount(grams.text[leads], (most - second)[owned], minlength=len(right))


def closest_length(given: Tokens) -> np.ndarray:
    """The length nearest to that of each text among the others of its set, the shorter of two, `[N]`.

    NaN for a text without words, and for one that has no other with words beside it.
    """
    found = np.full(len(given.lengths), np.nan)
    order = np.lexsort((given.lengths, given.group))
    order = order[given.lengths[order] > 0]
    length, group = given.lengths[order].astype(np.float64), given.group[order]
    same = group[1:] == group[:-1]
    below, above = np.full(len(order), np.nan), np.full(len(order), np.nan)
    below[1:][same] = length[:-1][same]
    above[:-1][same] = length[1:][same]
    up = np.isnan(below) | (above - length < length - below)
    found[order] = np.where(up, above, below)
    return found
