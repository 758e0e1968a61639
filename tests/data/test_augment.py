"""Augmentations: what they may change, what never, and that a row is the same again in the same epoch."""

import numpy as np
import pytest

from arena.core.errors import UsageError
from arena.data.loading.augment import REGISTRY, Augment, check, register, word_starts
from arena.data.text.tokenizer import ByteTokenizer

TOKENIZER = ByteTokenizer()


def ids_of(text: str) -> np.ndarray:
    return np.concatenate([TOKENIZER.prefix, TOKENIZER.encode([text])[0], TOKENIZER.suffix]).astype(np.int32)


def text_of(ids: np.ndarray) -> str:
    return bytes(ids[(ids < 256)].astype(np.uint8)).decode()


def test_word_starts_of_bytes_are_the_blanks():
    starts = word_starts(TOKENIZER)
    assert starts[ord(" ")]
    assert not starts[ord("a")]


def test_swapped_words_are_the_same_words():
    augment = Augment.of({"word_swap": 0.9}, TOKENIZER, seed=0)
    text = "the quick brown fox jumps over the lazy dog"
    found = text_of(augment(ids_of(text), row=3, epoch=0))
    assert found != text
    assert sorted(found.split()) == sorted(text.split()) or sorted(found.replace(" ", "")) == sorted(
        text.replace(" ", "")
    )
    assert len(found) == len(text)


def test_dropped_words_leave_whole_words():
    augment = Augment.of({"word_dropout": 0.5}, TOKENIZER, seed=0)
    text = " alpha beta gamma delta epsilon zeta eta theta"
    found = text_of(augment(ids_of(text), row=1, epoch=0)).split()
    assert 0 < len(found) < len(text.split())
    assert set(found) <= set(text.split())


def test_token_dropout_leaves_the_share_that_it_says():
    augment = Augment.of({"token_dropout": 0.3}, TOKENIZER, seed=0)
    ids = ids_of("x" * 20_000)
    kept = len(augment(ids, row=0, epoch=0)) - 2
    # Three standard deviations of a binomial with 20,000 draws: 194.
    assert abs(kept - 14_000) < 200


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_special_ids_and_a_last_token_always_stay(name):
    augment = Augment.of({name: 0.99}, TOKENIZER, seed=1)
    ids = np.concatenate([ids_of("a b c")[:-1], TOKENIZER.separator, ids_of("d e f")[1:]]).astype(np.int32)
    for epoch in range(20):
        found = augment(ids, row=5, epoch=epoch)
        assert found[0] == TOKENIZER.prefix[0]
        assert found[-1] == TOKENIZER.suffix[0]
        assert (found == TOKENIZER.separator[0]).sum() == 1
        middle = int(np.flatnonzero(found == TOKENIZER.separator[0])[0])
        assert middle > 1
        assert len(found) - middle > 2


def test_a_row_is_augmented_anew_in_each_epoch_and_alike_in_the_same():
    augment = Augment.of({"token_dropout": 0.3, "word_swap": 0.3}, TOKENIZER, seed=0)
    ids = ids_of("some words that are long enough to be changed somewhere")
    first = augment(ids, row=7, epoch=2)
    assert np.array_equal(first, augment(ids, row=7, epoch=2))
    assert not np.array_equal(first, augment(ids, row=7, epoch=3))
    assert not np.array_equal(first, augment(ids, row=8, epoch=2))


def test_strength_zero_changes_nothing():
    augment = Augment.of(dict.fromkeys(REGISTRY, 0.0), TOKENIZER, seed=0)
    ids = ids_of("nothing happens here")
    assert np.array_equal(augment(ids, row=0, epoch=0), ids)


def test_an_augmentation_of_ones_own_can_be_registered():
    @register("reverse")
    def reverse(ids, starts, strength, draw):
        return ids[::-1]

    try:
        check({"reverse": 0.5})
        found = Augment.of({"reverse": 0.5}, TOKENIZER, seed=0)(ids_of("abc"), row=0, epoch=0)
        assert text_of(found) == "cba"
    finally:
        del REGISTRY["reverse"]


@pytest.mark.parametrize(
    ("strengths", "message"),
    [({"token_drop": 0.1}, "did you mean 'token_dropout'"), ({"word_swap": 1.0}, "from 0 to below 1")],
)
def test_unknown_names_and_strengths_are_refused(strengths, message):
    with pytest.raises(UsageError, match=message):
        check(strengths)
