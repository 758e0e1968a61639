"""Whole groups, the promised shares, and an answer that depends on the rows and the seed only."""

import numpy as np
import pytest

from arena.core.errors import DataError, UsageError
from arena.data.source.pairs import PairReader
from arena.data.split.assignment import SPLITS, assign_parts, assign_splits, digest_of, normalise, stratify_codes
from arena.data.split.groups import join_rows

SETS = ["lmsys_kaggle_sample", "pandalm_human", "qa_feedback_dev", "hh_harmless_test", "llmbar", "arena_bench_judged"]
SETS += ["ja_vicuna_judged"]


def group_key(prompt: str | None) -> str:
    """The name of the prompts that equal this one."""
    return digest_of(normalise(prompt)).hex()


def rows(count=3000, seed=0, repeated=0.3):
    """Group and class of rows, where `repeated` of them take the group of some other row."""
    draw = np.random.default_rng(seed)
    groups = np.array([f"group {i}" for i in range(count)])
    again = draw.random(count) < repeated
    groups[again] = groups[draw.integers(0, count // 10, again.sum())]
    return groups, draw.choice(3, count, p=[0.5, 0.3, 0.2])


def test_prompts_that_differ_in_form_only_are_one_group():
    """NFC, case and white space; "ß" folds to "ss" and a decomposed "é" composes."""
    assert group_key("  Is this\n\ta STRASSE?") == group_key("is this a straße?")
    assert group_key("cafe\u0301") == group_key("CAF\u00c9")
    assert group_key(None) == group_key("") == group_key("  ")
    assert group_key("a b") != group_key("ab")
    assert len(group_key("\ud83d")) == 32


def test_no_group_is_cut_and_all_rows_are_placed():
    groups, labels = rows()
    splits = assign_splits(groups, labels, 0.15, 0.15, seed=0)
    assert set(splits) == set(SPLITS)
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1


def test_shares_and_classes_are_met():
    """With 70% single rows the last rows of each class fill the targets up to rounding: half a row for each border."""
    groups, labels = rows()
    splits = assign_splits(groups, labels, 0.15, 0.1, seed=3)
    for name, share in zip(SPLITS, [0.75, 0.15, 0.1], strict=True):
        for label in range(3):
            count = ((splits == name) & (labels == label)).sum()
            assert count == pytest.approx(share * (labels == label).sum(), abs=1.0)


def test_shares_are_met_where_every_group_is_large():
    """40 groups of 25 rows: no split can be closer than half a group, 12.5 rows, by any rule."""
    groups = np.repeat([f"g{i}" for i in range(40)], 25)
    labels = np.random.default_rng(0).integers(0, 3, 1000)
    splits = assign_splits(groups, labels, 0.2, 0.2, seed=0)
    assert [(splits == name).sum() for name in SPLITS] == pytest.approx([600, 200, 200], abs=25)


def test_the_order_of_the_rows_does_not_matter():
    groups, labels = rows()
    order = np.random.default_rng(9).permutation(len(groups))
    straight = assign_splits(groups, labels, 0.15, 0.15, seed=0)
    assert (assign_splits(groups[order], labels[order], 0.15, 0.15, seed=0) == straight[order]).all()


def test_the_seed_matters():
    groups, labels = rows()
    first, again, other = (assign_splits(groups, labels, 0.15, 0.15, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    # Two independent draws agree with probability 0.7^2 + 2 * 0.15^2 = 0.535.
    assert (first == other).mean() == pytest.approx(0.535, abs=0.05)


def test_a_share_of_zero_asks_for_no_rows():
    groups, labels = rows(200)
    assert set(assign_splits(groups, labels, 0.2, 0.0, seed=0)) == {"train", "val"}
    assert set(assign_splits(groups, labels, 0.0, 0.0, seed=0)) == {"train"}


def test_a_split_without_rows_is_an_error():
    with pytest.raises(
        DataError, match=r"no rows for the split (val|test): 6 rows in 1 groups .* raise data\.(val|test)_share"
    ):
        assign_splits(["same"] * 6, [0, 1, 2] * 2, 0.15, 0.15, seed=0)
    with pytest.raises(UsageError, match="leave nothing to train on"):
        assign_splits(["a", "b"], [0, 1], 0.7, 0.3, seed=0)


def test_normalising_twice_changes_nothing():
    texts = ["  Is this\n\ta STRASSE?", "cafe\u0301", "\u1e9e \u0130 \ufb03", "\u0345\u0301\u03b1", "日本 語\u3000です"]
    for text in texts:
        assert normalise(normalise(text)) == normalise(text)
    assert normalise("日本 語\u3000です\n") == "日本 語 です"
    assert normalise(None) == ""


def test_parts_of_any_number():
    """Five unequal parts of single rows: each class within a row of its share, and a part of 0 gets none."""
    labels = np.random.default_rng(1).integers(0, 3, 2000)
    shares = [0.4, 0.3, 0.0, 0.2, 0.1]
    parts = assign_parts([f"g{i}" for i in range(2000)], labels, shares, 0, list("abcde"))
    assert parts.dtype == np.int64
    for part, share in enumerate(shares):
        for label in range(3):
            count = ((parts == part) & (labels == label)).sum()
            assert count == pytest.approx(share * (labels == label).sum(), abs=1.0)


def test_the_splits_that_were_made_before_are_made_still():
    """Splits that are written down must not move: 60 rows of 19 groups, as the first version divided them."""
    groups = [f"g{i * i % 37}" for i in range(60)]
    splits = assign_splits(groups, [i % 3 for i in range(60)], 0.2, 0.2, seed=0)
    # The second letter: tRain, vAl, tEst.
    assert "".join(split[1] for split in splits) == "ararrrraererrrrerraarrerrrrerearrrrarararrrraererrrrerraarre"


def test_every_row_validates_once_over_the_folds():
    groups, labels = rows()
    found = [assign_splits(groups, labels, 0.15, 0.1, 0, fold, 5) for fold in range(5)]
    tested = found[0] == "test"
    assert tested.sum() == pytest.approx(300, abs=2)
    for splits in found:
        assert ((splits == "test") == tested).all()
        assert set(splits) == set(SPLITS)
        assert (splits == "val").sum() == pytest.approx(540, abs=3)
        assert not set(groups[splits == "val"]) & set(groups[splits == "train"])
        assert not set(groups[tested]) & set(groups[~tested])
    assert (sum((splits == "val").astype(int) for splits in found) == ~tested).all()


def test_folds_without_a_test_and_with_another_seed():
    groups, labels = rows()
    splits = assign_splits(groups, labels, 0.5, 0.0, 0, 1, 2)
    assert set(splits) == {"train", "val"}
    assert (splits == "val").sum() == pytest.approx(1500, abs=2)
    assert (splits != assign_splits(groups, labels, 0.5, 0.0, 1, 1, 2)).any()
    assert (splits == assign_splits(groups, labels, 0.1, 0.0, 0, 1, 2)).all()


@pytest.mark.parametrize(
    ("fold", "folds", "message"),
    [
        (5, None, "data.fold=5: with data.folds=5 one of 0 to 4"),
        (5, 5, "data.fold=5: with data.folds=5 one of 0 to 4"),
        (-1, 5, "data.fold=-1"),
        (None, 5, "data.fold=None"),
        (0, 1, "data.folds=1: cross-validation needs 2"),
        (0, 0, "data.folds=0"),
    ],
)
def test_folds_that_make_no_sense(fold, folds, message):
    groups, labels = rows(100)
    with pytest.raises(UsageError, match=message):
        assign_splits(groups, labels, 0.15, 0.15, 0, fold, folds)


def test_more_folds_than_groups_is_an_error():
    with pytest.raises(DataError, match=r"no rows for the split fold \d: .* lower data\.folds or give more rows"):
        assign_splits(["a", "b", "c"] * 4, [0, 1] * 6, 0.0, 0.0, 0, 0, 4)
    with pytest.raises(UsageError, match="test_share=1.0 leaves nothing"):
        assign_splits(["a", "b"], [0, 1], 0.0, 1.0, 0, 0, 2)


def test_folds_are_as_even_as_those_of_scikit_learn():
    """The largest distance of a fold's class counts from a fifth, against StratifiedGroupKFold on the same rows."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups, labels = rows()
    totals = np.bincount(labels)

    def worst(folds):
        return max(np.abs(np.bincount(labels[fold], minlength=3) - totals / 5).max() for fold in folds)

    ours = [np.flatnonzero(assign_splits(groups, labels, 0.0, 0.0, 0, fold, 5) == "val") for fold in range(5)]
    theirs = [test for _, test in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(groups, labels, groups)]
    assert worst(ours) <= worst(theirs)
    assert worst(ours) <= 1


def test_classes_of_several_columns():
    """30 rows of each of two combinations; 5 and 3 rare ones fall back to the class of their first column."""
    winner = ["a"] * 30 + ["b"] * 30 + ["a"] * 5 + ["b"] * 3 + ["a"]
    language = ["en"] * 30 + ["de"] * 30 + ["fr"] * 5 + [None] * 3 + ["ja"]
    codes = stratify_codes([winner, language], minimum=6)
    assert codes.dtype == np.int64
    assert sorted(set(codes.tolist())) == [0, 1, 2, 3]
    assert len(set(codes[:30])) == len(set(codes[30:60])) == 1
    assert len(set(codes[60:65]) | {codes[68]}) == 1
    assert len(set(codes[65:68])) == 1
    assert len(set(stratify_codes([winner, language], minimum=3).tolist())) == 5
    assert (stratify_codes([winner]) == (np.array(winner) == "b")).all()
    order = np.random.default_rng(0).permutation(len(winner))
    mixed = stratify_codes([[winner[i] for i in order], [language[i] for i in order]], minimum=6)
    assert (mixed == codes[order]).all()


def test_stratified_splits_have_each_combination():
    draw = np.random.default_rng(2)
    winner, language = draw.choice(["a", "b", "tie"], 3000), draw.choice(["en", "de", "ja"], 3000, p=[0.8, 0.15, 0.05])
    codes = stratify_codes([winner, language])
    splits = assign_splits([f"g{i}" for i in range(3000)], codes, 0.2, 0.0, 0)
    for one in set(winner):
        for other in set(language):
            here = (winner == one) & (language == other)
            assert (splits[here] == "val").sum() == pytest.approx(0.2 * here.sum(), abs=1)


@pytest.mark.parametrize("name", SETS)
def test_real_prompts_stay_on_one_side(shared, name):
    path = shared / "data" / name / "data.parquet"
    if not path.exists():
        pytest.skip(f"no {name} here")
    rows = PairReader()(str(path))
    groups = join_rows(rows, np.arange(rows.num_rows), None).group
    winners, labels = np.unique(rows.metadata["winner"].to_pylist(), return_inverse=True)
    splits = assign_splits(groups, labels, 0.15, 0.15, seed=0)
    sides = {split: set(groups[splits == split]) for split in SPLITS}
    assert not sides["train"] & sides["val"]
    assert not sides["train"] & sides["test"]
    assert not sides["val"] & sides["test"]
    largest = np.unique(groups, return_counts=True)[1].max()
    for split in ("val", "test"):
        assert (splits == split).sum() == pytest.approx(0.15 * len(groups), abs=max(3, int(largest)))
    assert len(winners) == len(np.unique(labels[splits == "test"]))
