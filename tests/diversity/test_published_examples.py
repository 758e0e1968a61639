"""Numbers that other programs and papers print, for measures that nothing else here uses."""

import numpy as np
import pytest

from arena.diversity.ngrams import ngram_diversity
from arena.diversity.success import others_not_alike

FOXES = [
    "The quick brown fox jumps over the lazy dog.",
    "The quick brown fox jumps over the lazy dog again.",
    "Suddenly, the quick brown fox leaps swiftly over the sleeping dog.",
]


@pytest.mark.parametrize(("order", "expected"), [(3, 1.905), (4, 2.72)])
def test_ngram_diversity_of_three_foxes(order: int, expected: float) -> None:
    assert ngram_diversity(FOXES, order) == pytest.approx(expected, abs=6e-3)


def test_the_share_of_others_of_another_class() -> None:
    np.testing.assert_allclose(others_not_alike(["a", "a", "a", "b"]), [1 / 3, 1 / 3, 1 / 3, 1])
    assert np.isnan(others_not_alike(["a"])).all()
