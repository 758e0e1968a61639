"""Diversity of a set of texts by their n-grams: distinct-n and self-BLEU; and by how well they compress.

N-grams never cross the end of a text. The measures depend on the number and the length of texts, so only sets of like
size compare.
"""

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

VOCABULARY = 30_522
"""Words that the expectation-adjusted form takes texts to be drawn from: BERT's vocabulary, as its authors took it."""
EPSILON = 0.1
"""Matches that method1 counts in place of none."""

Grams = list[Counter[tuple[str, ...]]]
"""How often each n-gram of one length stands in each text."""


def count(texts: Sequence[Sequence[str]], order: int) -> list[Grams]:
    """Count the n-grams of lengths 1 to `order` in texts given as words."""
    return [[Counter(zip(*(text[i:] for i in range(n)))) for text in texts] for n in range(1, order + 1)]  # noqa: B905


def distinct(grams: Grams) -> float:
    """Compute distinct-n: different n-grams / all n-grams, pooled over the set; NaN where there is none.

    Source: Li et al. 2016, arXiv 1510.03055.
    """
    total = sum(each.total() for each in grams)
    return len(set().union(*grams)) / total if total else math.nan


def expectation_adjusted(grams: Grams, vocabulary: int = VOCABULARY) -> float:
    """Compute different n-grams over how many as many draws from equally frequent ones would give; can exceed 1.

    N / (V (1 - ((V - 1) / V)^C)) with N different ones of C (Liu et al. 2022, ACL, "Rethinking and Refining the
    Distinct Metric"). NaN where there is no n-gram.
    """
    unique, total = len(set().union(*grams)), sum(each.total() for each in grams)
    return -unique / (vocabulary * math.expm1(total * math.log1p(-1 / vocabulary))) if total else math.nan


def self_bleu(grams: Sequence[Grams], smoothing: Literal["method1", "exp"] = "method1") -> np.ndarray:
    """Compute BLEU of each text against all others of the set, `[n]` between 0 and 1; low is diverse.

    NaN for texts without words, and for all where fewer than two have any. BLEU is that of nltk (`method1` smoothing)
    or of sacrebleu (`exp`, `effective_order`). With texts of ten words a BLEU-4 is mostly smoothing. Source: Zhu et al.
    2018, arXiv 1802.01886.

    Args:
        grams: from `count`; all lengths weigh the same.
        smoothing: what stands for a length of which no n-gram matches. `method1`: 0.1 matches, also where a text is too
            short to have such n-grams, so that copies of a short text do not reach 1. `exp`: a half, a quarter, ...
            match, and lengths that a text is too short for do not count.
    """
    lengths = [each.total() for each in grams[0]]
    filled = [i for i, length in enumerate(lengths) if length]
    found = np.full(len(lengths), np.nan)
    matched = [_matches(each) for each in grams]
    for i in filled if len(filled) > 1 else ():
        logs, number, halvings = 0.0, 0, 0
        for texts, right in zip(grams, matched, strict=True):
            total = texts[i].total()
            if smoothing == "method1" or total:
                halvings += not right[i]
                instead = EPSILON if smoothing == "method1" else 0.5**halvings
                logs, number = logs + math.log((right[i] or instead) / max(total, 1)), number + 1
        nearest = min((abs(lengths[j] - lengths[i]), lengths[j]) for j in filled if j != i)[1]
        penalty = math.exp(min(0.0, 1 - nearest / lengths[i]))
        found[i] = math.exp(logs / number) * penalty if matched[0][i] else 0.0
    return found


def _matches(grams: Grams) -> list[int]:
    """Clipped matches of each text: an n-gram that it has c times matches min(c, most that another text has)."""
    most: Counter[tuple[str, ...]] = Counter()
    second: Counter[tuple[str, ...]] = Counter()
    for text in grams:
        for gram, times in text.items():
            if times > most[gram]:
                most[gram], second[gram] = times, most[gram]
            elif times > second[gram]:
                second[gram] = times
    return [sum(min(c, second[g] if c == most[g] else most[g]) for g, c in text.items()) for text in grams]


def compression_ratio(texts: Sequence[str]) -> float:
    """Compute bytes of the joined texts over bytes after one pass of zlib; high is repetitive, NaN where all are empty.

    The texts are sorted first, as their order must not matter. Source: Shaib et al. 2024, arXiv 2403.00553, whose
    package compresses twice. Six bytes of frame count too: sets of a few words come out below 1.
    """
    joined = "\n".join(sorted(texts)).encode("utf-8", errors="replace")
    return len(joined) / len(zlib.compress(joined, 9)) if joined.strip() else math.nan
