"""TF-IDF of hashed words and character pieces, counted by scikit-learn's `HashingVectorizer`."""

from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack, vstack

BUCKETS = 1 << 20
"""Columns of words, and of pieces. Two pieces that fall into one column are one piece to the baseline."""
COLUMNS = 200_000
"""Columns that are used at most: the most frequent ones."""
CHARACTERS = 4000
"""Characters of a text that are read: bounds memory, and few answers are longer."""
IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Hiragana, katakana and Han characters: each is a word of its own, so pairs of words are pairs of characters."""
WORD = rf"(?![\W_])(?:[{IDEOGRAPHS}]|[^{IDEOGRAPHS}\W_]+)"


def plain(text: str) -> str:
    """The part of a text that is read, in lower case, with every run of blanks as one space."""
    return " ".join(text[:CHARACTERS].lower().split())


@cache
def _vectorizer(**options: Any) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    counts = {"n_features": BUCKETS, "alternate_sign": False, "norm": None, "dtype": np.float32}
    return HashingVectorizer(preprocessor=plain, **counts, **options)


def word_counts(texts: list[str], longest: int = 1) -> csr_array:
    """Count the words of each text, and runs of up to `longest` of them, `[T, BUCKETS]` float32."""
    if not texts:
        return csr_array((0, BUCKETS), dtype=np.float32)
    return csr_array(_vectorizer(token_pattern=WORD, ngram_range=(1, longest)).transform(texts))


def gram_counts(texts: list[str]) -> csr_array:
    """Count words, pairs of words and pieces of 3 and 4 characters of each text, `[T, 2 * BUCKETS]` float32."""
    pieces = _vectorizer(analyzer="char", ngram_range=(3, 4)).transform(texts)
    return csr_array(hstack([word_counts(texts, 2), pieces], format="csr"))


def learn_idf(batches: list[Any], rarest: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Choose the columns that occur in `rarest` texts or more, and weigh each by $\ln\frac{1 + n}{1 + n_{with}} + 1$.

    Returns the columns, increasing, `[F]` int64, and the idf of each, `[F]` float32.
    """
    found: Any = np.sum([np.bincount(counts.indices, minlength=2 * BUCKETS) for counts in batches], axis=0)
    common = np.argsort(-found, kind="stable")[:COLUMNS]
    columns = np.sort(common[found[common] >= rarest])
    number = sum(counts.shape[0] for counts in batches)
    return columns, (np.log((1 + number) / (1 + found[columns])) + 1).astype(np.float32)


def weigh(batches: list[csr_array], columns: np.ndarray, idf: np.ndarray) -> csr_array:
    r"""Weigh the chosen columns of `gram_counts`, `[N, F]` float32: $(1 + \ln \text{count}) \cdot \text{idf}$.

    The words and the pieces of a text are each brought to length 1, as `TfidfVectorizer(sublinear_tf=True)` does.
    """
    from sklearn.preprocessing import normalize

    words = int(np.searchsorted(columns, BUCKETS))
    found: list[Any] = [csr_array((0, len(columns)), dtype=np.float32)]
    for counts in batches:
        chosen = csr_array(counts[:, columns])
        chosen.data = (1 + np.log(chosen.data)) * idf[chosen.indices]
        found.append(hstack([normalize(chosen[:, :words]), normalize(chosen[:, words:])]))
    return csr_array(vstack(found, format="csr"))
