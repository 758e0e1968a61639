"""Whole groups, the promised shares, and an answer that depends on the rows and the seed only."""

import numpy as np
import pytest

from arena.data.pairs import PairReader
from arena.data.split import SPLITS, assign_splits, group_key
from arena.data.table import group_keys
from arena.errors import DataError, UsageError

SETS = ["lmsys_kaggle_sample", "pandalm_human", "qa_feedback_dev", "hh_harmless_test", "llmbar", "arena_bench_judged"]
SETS += ["ja_vicuna_judged"]


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


@pytest.mark.parametrize("name", SETS)
def test_real_prompts_stay_on_one_side(shared, name):
    path = shared / "data" / name / "data.parquet"
    if not path.exists():
        pytest.skip(f"no {name} here")
    table = PairReader()(str(path))
    groups = np.array(group_keys(table))
    winners, labels = np.unique(table["winner"].to_pylist(), return_inverse=True)
    splits = assign_splits(groups, labels, 0.15, 0.15, seed=0)
    sides = {split: set(groups[splits == split]) for split in SPLITS}
    assert not sides["train"] & sides["val"]
    assert not sides["train"] & sides["test"]
    assert not sides["val"] & sides["test"]
    largest = np.unique(groups, return_counts=True)[1].max()
    for split in ("val", "test"):
        assert (splits == split).sum() == pytest.approx(0.15 * len(groups), abs=max(3, int(largest)))
    assert len(winners) == len(np.unique(labels[splits == "test"]))
