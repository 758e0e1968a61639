"""Near-duplicates against a similarity computed here from Python sets, on planted edits and in several scripts."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.core.errors import UsageError
from arena.data.split.assignment import normalise
from arena.data.split.duplicates import UnionFind, jaccard, shingles, similar_pairs
from arena.data.split.minhash import BUCKET, PERMUTATIONS, Sketches, band_rows, candidate_pairs
from arena.data.split.prepare import SplitSettings

SYLLABLES = ["ka", "mi", "to", "ren", "sol", "bra", "ti", "vo", "gus", "ne", "pla", "dor", "shi", "quu", "el", "an"]


def words(count, draw):
    """Invented words of 2 to 4 syllables, so that unrelated texts share little."""
    ends = np.cumsum(draw.integers(2, 5, count))
    parts = draw.choice(SYLLABLES, ends[-1]).tolist()
    return ["".join(parts[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def edited(text, edits, draw):
    """The text with some words replaced."""
    parts = text.split(" ")
    for place in draw.choice(len(parts), min(edits, len(parts)), replace=False):
        parts[place] = words(1, draw)[0]
    return " ".join(parts)


def runs(text):
    """The set of runs of 5 characters, by the definition."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    clean = unicodedata.normalize("NFC", " ".join(folded.split()))
    return {clean[i : i + 5] for i in range(len(clean) - 4)}


def true_similarity(left, right):
    left, right = runs(left), runs(right)
    return len(left & right) / len(left | right) if left | right else 0.0


def planted(count, seed):
    """Texts 2i and 2i + 1 differ by one to eight words of 20 to 120."""
    draw = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        text = " ".join(words(draw.integers(20, 120), draw))
        texts += [text, edited(text, draw.integers(1, 9), draw)]
    return texts


def near_duplicate_pairs(texts, threshold=0.8):
    """Pairs of positions (left < right) of similar texts with their similarity, sorted, as `arena.data.split.groups`
    finds
    them: equal texts are paired with the first of them, and only the first is compared with other texts."""
    sketches, first, unique, found = Sketches(), {}, [], []
    for position, text in enumerate(texts):
        clean = normalise(text)
        seen = first.setdefault(clean, position)
        if seen == position:
            unique.append(position)
            sketches.add([clean])
        else:
            found.append((seen, position, 1.0))
    pairs = similar_pairs(
        sketches, lambda items: ([normalise(texts[unique[item]])] for item in items), threshold, lambda *pair: False
    )
    return sorted(found + [(unique[left], unique[right], similarity) for left, right, similarity in pairs])


@pytest.mark.slow
def test_edited_texts_are_found_and_nothing_else():
    """3,000 planted pairs: at 0.9 at least 99% of over 1,000 are found, at 0.8 98%; none is below, none is invented."""
    texts = planted(3000, 0)
    truth = {(2 * i, 2 * i + 1): true_similarity(texts[2 * i], texts[2 * i + 1]) for i in range(3000)}
    found = {(left, right): similarity for left, right, similarity in near_duplicate_pairs(texts, 0.8)}
    for pair, similarity in found.items():
        assert similarity >= 0.8
        assert similarity == pytest.approx(truth[pair] if pair in truth else true_similarity(*(texts[i] for i in pair)))
    for least, share in ((0.9, 0.99), (0.8, 0.98)):
        wanted = [pair for pair, similarity in truth.items() if similarity >= least]
        assert len(wanted) >= 1000
        assert sum(pair in found for pair in wanted) >= share * len(wanted)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.95, 1.0])
def test_other_thresholds(threshold):
    texts = planted(300, 1)
    truth = [true_similarity(texts[i], texts[i + 1]) for i in range(0, 600, 2)]
    found = near_duplicate_pairs(texts, threshold)
    # At a similarity of 1 the set is the same, but not the text: none is planted.
    assert len(found) >= 0.98 * sum(similarity >= threshold for similarity in truth)
    assert all(similarity >= threshold for _, _, similarity in found)


def test_bands_follow_from_the_threshold():
    """1 - (1 - 0.8^6)^21 = 0.9983, and 7 rows would find 0.985 only."""
    assert band_rows(0.8) == 6
    assert pytest.approx(0.9983, abs=1e-4) == 1 - (1 - 0.8**6) ** (PERMUTATIONS // 6)
    assert 1 - (1 - 0.8**7) ** (PERMUTATIONS // 7) < 0.995


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_a_threshold_that_is_no_similarity_is_refused_by_the_division(threshold):
    with pytest.raises(UsageError, match=f"data.near_duplicates={threshold}"):
        SplitSettings(near_duplicates=threshold).check()


def test_equal_texts_are_pairs_with_the_first_of_them():
    texts = ["Hello,\tWORLD", "other words", "hello, world", " hello,  world ", "ab", "AB", "", None, "abc"]
    assert near_duplicate_pairs(texts) == [(0, 2, 1.0), (0, 3, 1.0), (4, 5, 1.0), (6, 7, 1.0)]


def test_scripts_and_signs():
    """Japanese, emoji beyond 16 bits, and combining marks that compose; the last character makes the difference."""
    japanese = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で"
    faces = "".join(chr(0x1F600 + i) for i in range(60))
    accents = "Zürich, Ångström und Café: naïve Fragen an müßige Köpfe über schöne Dörfer"
    texts = [japanese, japanese + "泣", faces, faces + "x", accents, unicodedata.normalize("NFD", accents) + "!"]
    expected = [(i, i + 1, pytest.approx(true_similarity(texts[i], texts[i + 1]))) for i in (0, 2, 4)]
    assert near_duplicate_pairs(texts) == expected
    half = "half a pair \ud83d of surrogates"
    assert near_duplicate_pairs([half, half + "s", "half a pair"])[0][:2] == (0, 1)


@given(st.lists(st.text(alphabet="abAB \ud83dé\u0301日😀", max_size=40), max_size=8))
def test_pairs_are_those_of_the_definition(texts):
    """In a handful of texts of few characters: every pair that is found is true, and equal texts are always found."""
    found = near_duplicate_pairs(texts, 0.8)
    clean = [normalise(text) for text in texts]
    for left, right, similarity in found:
        assert left < right
        equal = clean[left] == clean[right]
        assert similarity == pytest.approx(1.0 if equal else true_similarity(texts[left], texts[right]))
    copies = {(clean.index(text), i) for i, text in enumerate(clean) if clean.index(text) < i}
    assert copies == {(left, right) for left, right, _ in found if clean[left] == clean[right]}


@given(st.lists(st.text(max_size=12), max_size=6), st.lists(st.text(max_size=12), max_size=6))
def test_similarity_of_sets_over_several_texts(left, right):
    """Runs do not cross from one text to the next."""
    left, right = ([normalise(text) for text in texts] for texts in (left, right))
    sets = [set().union(*(runs_of(text) for text in texts)) for texts in (left, right)]
    union = len(sets[0] | sets[1])
    assert [len(shingles(texts)) for texts in (left, right)] == [len(one) for one in sets]
    assert jaccard(shingles(left), shingles(right)) == (len(sets[0] & sets[1]) / union if union else 0.0)


def runs_of(clean):
    return {clean[i : i + 5] for i in range(len(clean) - 4)}


def test_signatures_do_not_depend_on_the_chunk():
    """A text among 300 others has the signature that it has alone, and the first text after an empty one too."""
    texts = ["", *planted(150, 2), "", "abcd", "abcde"]
    together = Sketches()
    for text in texts:
        together.add([text])
    signatures, contents, characters = together.finish()
    assert characters.tolist() == [len(text) for text in texts]
    for place in (0, 1, 7, 299, 301, 302, 303):
        alone = Sketches()
        alone.add([texts[place]])
        signature, content, _ = alone.finish()
        assert (signature[0] == signatures[place]).all()
        assert content[0] == contents[place]
    assert (contents == 0).tolist() == [len(text) < 5 for text in texts]


@pytest.mark.parametrize("sample", [1, 4])
def test_signatures_estimate_the_similarity(sample):
    """Mean error below 0.01, and the spread that 128 draws have: sqrt(J (1 - J) / 128) = 0.032 at 0.85."""
    texts = planted(600, 3)
    sketches = Sketches(sample)
    for text in texts:
        sketches.add([text])
    signatures, _, _ = sketches.finish()
    promised = (signatures[::2] == signatures[1::2]).mean(axis=1)
    errors = promised - [true_similarity(texts[i], texts[i + 1]) for i in range(0, 1200, 2)]
    assert abs(errors.mean()) < 0.01
    assert errors.std() < (0.04 if sample == 1 else 0.1)


def test_the_order_of_the_texts_does_not_matter():
    texts = planted(200, 4) + planted(200, 4)[:50] + ["Translate to French: " + word for word in planted(10, 5)]
    order = np.random.default_rng(0).permutation(len(texts))
    straight = {frozenset((normalise(texts[i]), normalise(texts[j]))) for i, j, _ in near_duplicate_pairs(texts)}
    mixed = [texts[i] for i in order]
    assert {
        frozenset((normalise(mixed[i]), normalise(mixed[j]))) for i, j, _ in near_duplicate_pairs(mixed)
    } == straight


@pytest.mark.slow
def test_large_buckets_do_not_make_all_pairs():
    """3,000 texts of one template are 4.5 million pairs; a bounded number for each text and band is looked at, and the
    near copies among them are still found."""
    draw = np.random.default_rng(6)
    template = " ".join(words(60, draw))
    texts = [f"{template} {' '.join(words(12, draw))}" for _ in range(3000)]
    copies = [text + "." for text in texts[:200]]
    sketches = Sketches()
    for text in texts + copies:
        sketches.add([text])
    signatures, contents, _ = sketches.finish()
    pairs, _ = candidate_pairs(signatures, contents, 0.8, 0.15)
    assert len(pairs) <= 21 * (BUCKET / 2 + 2) * 3200
    found = set(map(tuple, pairs.tolist()))
    assert sum((i, 3000 + i) in found for i in range(200)) == 200


def test_texts_that_no_band_divides_stay_together():
    """1,000 texts with one set of runs, "aaaaa", are one cluster with fewer pairs than 2 a text."""
    sketches = Sketches()
    for size in range(1000):
        sketches.add(["a" * (size + 5)])
    signatures, contents, _ = sketches.finish()
    pairs, promised = candidate_pairs(signatures, contents, 0.8, 0.15)
    forest = UnionFind(1000)
    assert sum(forest.join(*pair) for pair in pairs.tolist()) == 999
    assert len(pairs) < 2000
    assert (promised == 1).all()
    assert set(forest.roots().tolist()) == {0}
