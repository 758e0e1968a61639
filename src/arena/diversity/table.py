"""All measures of the diversity within each prompt's samples: one row per prompt, one column per measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arena.core.errors import ArenaError
from arena.diversity import vectors
from arena.diversity.compression import compression_ratio
from arena.diversity.counts import Tokens, count, tokens
from arena.diversity.encoder import Encoder
from arena.diversity.ngrams import VOCABULARY, distinct_of_sets, expectation_adjusted
from arena.diversity.self_bleu import bleu, mean_of_sets
from arena.stats.intervals import quotient

CHUNK = 500
"""Prompts that are measured at once: memory does not grow with their number."""
TWO = "fewer than two texts with words"
NEEDS = {
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
    """What was measured.

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
    """Measure the samples of every prompt.

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
    only: most measures depend on both.

    Args:
        sets: id of a prompt -> its samples.
        encoder: for the measures that compare meanings; None leaves these out.

    Returns:
        Columns for all measures. An encoder that cannot be loaded or runs out of memory leaves its measures NaN with
        its own reason.
    """
    columns: dict[str, list[np.ndarray]] = {name: [np.zeros(0)] for name in NEEDS}
    samples, failure = list(sets.values()), "no encoder was given" if encoder is None else None
    for start in range(0, len(samples), CHUNK):
        given = tokens(samples[start : start + CHUNK])
        lengths = iter(given.lengths.tolist())
        filled = [[text for text in texts if next(lengths) > 0] for texts in samples[start : start + CHUNK]]
        found = _words(filled, given)
        if encoder is not None and failure is None:
            try:
                found |= _meaning(encoder, filled)
            except ArenaError as error:
                failure = str(error)  # the encoder is not asked again
        for name, values in found.items():
            columns[name].append(values)
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    if failure is not None:
        whole |= {name: np.full(len(sets), np.nan) for name in EMBEDDED}
    return Measures(
        [str(name) for name in sets],
        whole,
        {name: why for name, values in whole.items() if (why := _reason(name, values, failure)) is not None},
        {
            "words": "arena.diversity.words, lower case, punctuation counts as words",
            "smoothing": "method1",
            "vocabulary": VOCABULARY,
            "encoder": encoder.name if encoder is not None else None,
        },
    )


def _reason(name: str, values: np.ndarray, failure: str | None) -> str | None:
    missing = int(np.isnan(values).sum())
    if not missing:
        return None
    if name in EMBEDDED and failure is not None:
        return failure
    return f"{missing} of {len(values)} prompts: {NEEDS[name]}"


def _words(filled: list[list[str]], given: Tokens) -> dict[str, np.ndarray]:
    """The measures that need no encoder, `[S]` each."""
    grams = count(given, 4)
    texts, sizes = given.per_set(), np.array([len(some) for some in filled])
    unique, total = np.bincount(grams[1].group, minlength=given.sets), given.per_set(grams[1].total)
    found = {f"distinct_{n}": distinct_of_sets(given, grams[n - 1]) for n in (1, 2, 3)}
    found["expectation_adjusted_distinct_2"] = expectation_adjusted(unique, total)
    for order in (2, 4):
        found[f"self_bleu_{order}"] = mean_of_sets(given, bleu(given, grams[:order]))
    found["compression_ratio"] = np.array([compression_ratio(some) for some in filled])
    different = np.array([len({" ".join(text.lower().split()) for text in some}) for some in filled])
    found["duplicate_share"] = np.where(sizes > 1, quotient(sizes - different, sizes), np.nan)
    found["empty_share"] = quotient(texts - sizes, texts)
    spoken = np.array([any(map(str.isalnum, word)) for word in given.vocabulary], dtype=bool)
    found["mean_words"] = quotient(np.bincount(given.group[given.text], spoken[given.ids], given.sets), texts)
    return found


def _meaning(encoder: Encoder, filled: list[list[str]]) -> dict[str, np.ndarray]:
    """The measures of embeddings, `[S]` each from the texts with words, NaN where there are fewer than two."""
    found = {name: np.full(len(filled), np.nan) for name in EMBEDDED}
    embeddings = encoder.encode([text for some in filled for text in some])
    for which, _, stack in vectors.stacks(embeddings, np.array([len(some) for some in filled])):
        if stack.shape[1] > 1:
            found["vendi"][which] = vectors.vendi(vectors.kernel(stack))
            found["cosine_distance"][which] = vectors.cosine_distances(stack)
    return found
