"""All measures of the diversity within each prompt's samples: one row per prompt, one column per measure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arena.core.errors import ArenaError
from arena.diversity import vectors
from arena.diversity.encoder import Encoder
from arena.diversity.ngrams import VOCABULARY, compression_ratio, count, distinct, expectation_adjusted, self_bleu
from arena.diversity.scores import mean_defined
from arena.diversity.words import words

CHUNK = 500
"""Prompts whose texts are encoded at once: bounds memory."""
TWO = "fewer than two texts with words"
UNDEFINED = {
    "distinct_1": "no text with a word",
    "distinct_2": "no text with two words",
    "distinct_3": "no text with three words",
    "expectation_adjusted_distinct_2": "no text with two words",
    "self_bleu_2": TWO,
    "self_bleu_4": TWO,
    "compression_ratio": "no text with a word",
    "vendi": TWO,
    "cosine_distance": TWO,
    "duplicate_share": TWO,
    "empty_share": "no text",
    "mean_words": "no text",
}
"""The measures, and what a prompt has where one is not defined."""
EMBEDDED = ("vendi", "cosine_distance")


@dataclass(frozen=True)
class Measures:
    """Measures of P prompts.

    Attributes:
        ids: the prompts, `[P]`.
        columns: name of a measure -> its value for each prompt, `[P]` float64, NaN where it could not be computed.
        reasons: name of a measure -> why some of its values are NaN; only measures with such values.
        settings: what the numbers depend on, in JSON's types.
    """

    ids: list[str]
    columns: dict[str, np.ndarray]
    reasons: dict[str, str]
    settings: dict[str, Any]


def measure(sets: Mapping[str, Sequence[str]], encoder: Encoder | None = None) -> Measures:
    """Measure the samples of every prompt, given by its id.

    | measure | meaning |
    |---|---|
    | distinct_n | different n-grams / all n-grams of the prompt's samples |
    | expectation_adjusted_distinct_2 | the same over what draws from `VOCABULARY` words would give |
    | self_bleu_n | mean BLEU of each sample against the others, nltk's method1; low is diverse |
    | compression_ratio | bytes / bytes after zlib; low is diverse |
    | vendi | samples that differ in effect, between 1 and their number |
    | cosine_distance | mean of 1 - cos over all pairs |
    | duplicate_share | share of the samples with words that repeat an earlier one, but for case and blanks |
    | empty_share | share of samples without a word |
    | mean_words | mean number of words of a sample, empty ones and no punctuation counted |

    Samples without words count in the last two only. Compare arms with the same number and greatest length of samples
    only: most measures depend on both. An encoder that is None, cannot be loaded or runs out of memory leaves its
    measures NaN with its own reason.
    """
    samples = [[(text, words(text)) for text in texts] for texts in sets.values()]
    filled = [[(text, cut) for text, cut in texts if cut] for texts in samples]
    lines = [_words(all_of, some) for all_of, some in zip(samples, filled, strict=True)]
    columns = {name: np.array([line.get(name, math.nan) for line in lines], dtype=np.float64) for name in UNDEFINED}
    failure = "no encoder was given" if encoder is None else None
    if encoder is not None:
        try:
            columns |= _meaning(encoder, [[text for text, _ in some] for some in filled])
        except ArenaError as error:
            failure = str(error)
    reasons = {}
    for name, values in columns.items():
        if missing := int(np.isnan(values).sum()):
            alone = failure is not None and name in EMBEDDED
            reasons[name] = failure if alone else f"{missing} of {len(values)} prompts: {UNDEFINED[name]}"
    settings = {
        "words": "arena.diversity.words, lower case, punctuation counts as words",
        "smoothing": "method1",
        "vocabulary": VOCABULARY,
        "encoder": encoder.name if encoder is not None else None,
    }
    return Measures([str(name) for name in sets], columns, reasons, settings)


def _words(samples: Sequence[tuple[str, list[str]]], filled: Sequence[tuple[str, list[str]]]) -> dict[str, float]:
    """The measures of one prompt that need no encoder, from its samples and those with words."""
    if not samples:
        return {}
    grams = count([cut for _, cut in filled], 4)
    spoken = sum(any(map(str.isalnum, word)) for _, cut in samples for word in cut)
    different = len({" ".join(text.lower().split()) for text, _ in filled})
    return {
        **{f"distinct_{n}": distinct(grams[n - 1]) for n in (1, 2, 3)},
        "expectation_adjusted_distinct_2": expectation_adjusted(grams[1]),
        **{f"self_bleu_{order}": mean_defined(self_bleu(grams[:order])) for order in (2, 4)},
        "compression_ratio": compression_ratio([text for text, _ in filled]),
        "duplicate_share": 1 - different / len(filled) if len(filled) > 1 else math.nan,
        "empty_share": 1 - len(filled) / len(samples),
        "mean_words": spoken / len(samples),
    }


def _meaning(encoder: Encoder, filled: list[list[str]]) -> dict[str, np.ndarray]:
    """The measures of embeddings, `[S]` each from the texts with words, NaN where there are fewer than two."""
    found = {name: np.full(len(filled), np.nan) for name in EMBEDDED}
    for start in range(0, len(filled), CHUNK):
        some = filled[start : start + CHUNK]
        embeddings = encoder.encode([text for texts in some for text in texts])
        for which, _, stack in vectors.stacks(embeddings, np.array([len(texts) for texts in some])):
            if stack.shape[1] > 1:
                found["vendi"][start + which] = vectors.vendi(vectors.kernel(stack))
                found["cosine_distance"][start + which] = vectors.cosine_distances(stack)
    return found
