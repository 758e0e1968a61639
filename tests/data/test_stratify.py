"""The joint division over several heads: shares kept, groups whole, nothing depends on the order of the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.data.split.assignment import assign_splits
from arena.data.split.stratify import class_counts, place_jointly

SHARES = (0.7, 0.15, 0.15)


def made(rows: int, seed: int = 0, per_group: int = 1):
    """Groups and classes of three heads, one of them very uneven and one half missing."""
    draw = np.random.default_rng(seed)
    even = draw.integers(0, 3, rows)
    rare = (draw.random(rows) < 0.06).astype(np.int64)
    missing = np.where(draw.random(rows) < 0.5, draw.integers(0, 2, rows), -100)
    groups = np.array([f"group {i // per_group}" for i in range(rows)])
    return groups, np.stack([even, rare, missing], axis=1)


@pytest.mark.parametrize("rows", [400, 1001])
def test_every_class_of_every_head_has_its_share_of_each_split(rows):
    groups, classes = made(rows)
    splits = assign_splits(groups, classes, 0.15, 0.15, seed=0)
    for head in classes.T:
        for label in np.unique(head[head >= 0]):
            total = (head == label).sum()
            for split, share in zip(("train", "val", "test"), SHARES, strict=True):
                found = ((head == label) & (splits == split)).sum()
                assert abs(found - share * total) <= 3, (label, split, found, share * total)
    sizes = [(splits == split).sum() for split in ("train", "val", "test")]
    assert np.allclose(sizes, np.array(SHARES) * rows, atol=0.01 * rows + 2)


def test_groups_are_never_divided_and_the_order_of_the_rows_does_not_matter():
    groups, classes = made(600, per_group=4)
    splits = assign_splits(groups, classes, 0.15, 0.15, seed=3)
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1
    order = np.random.default_rng(1).permutation(600)
    assert (assign_splits(groups[order], classes[order], 0.15, 0.15, seed=3) == splits[order]).all()
    other = assign_splits(groups, classes, 0.15, 0.15, seed=4)
    assert (other != splits).any()


def test_a_class_of_one_or_two_rows_trains():
    groups, classes = made(300)
    classes[7, 0] = 5
    classes[[11, 12], 1] = 2
    splits = assign_splits(groups, classes, 0.15, 0.15, seed=0)
    assert set(splits[[7, 11, 12]]) == {"train"}


def test_folds_cover_every_row_that_is_not_test_once():
    groups, classes = made(500)
    found = [assign_splits(groups, classes, 0.15, 0.2, seed=0, fold=fold, folds=4) for fold in range(4)]
    test = found[0] == "test"
    assert all(((splits == "test") == test).all() for splits in found)
    assert (np.stack([splits == "val" for splits in found]).sum(axis=0) == ~test).all()
    rare = classes[:, 1] == 1
    held = [(rare & (splits == "val")).sum() for splits in found]
    assert max(held) - min(held) <= 2


def test_counts_of_groups_have_the_classes_side_by_side_and_then_the_rows():
    classes = np.array([[0, 1], [2, -100], [0, 0]])
    counts = class_counts(classes, 2, np.array([0, 0, 1]))
    assert counts.tolist() == [[1, 0, 1, 0, 1, 2], [1, 0, 0, 1, 0, 1]]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000), st.lists(st.floats(0, 1), min_size=2, max_size=4))
def test_parts_with_share_zero_stay_empty_and_every_group_has_a_part(groups, seed, raw):
    shares = np.array([*raw, 1.0])
    shares = shares / shares.sum()
    shares[0] = 0.0
    shares = shares / shares.sum()
    draw = np.random.default_rng(seed)
    counts = np.concatenate([draw.integers(0, 3, (groups, 4)), np.ones((groups, 1), np.int64)], axis=1)
    part = place_jointly(counts, draw.permutation(groups), shares)
    assert ((part >= 0) & (part < len(shares))).all()
    assert (part != 0).all()
