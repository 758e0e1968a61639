"""Samplers: shares as announced, mirrored targets, easy before hard, and every epoch a function of its number."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import built

from arena.core.errors import DataError, InputOutputError, UsageError
from arena.data.loading.collate import Collate
from arena.data.loading.loader import BucketLoader, epoch_batches
from arena.data.loading.sampling import SMALLEST_LOSS, Sampler, balanced_copies, capped_copies, hard_copies, systematic
from arena.data.module.pairwise import PairData
from arena.data.source.rows import Rows
from arena.data.source.toy import ToyReader
from arena.data.target.hardness import row_losses
from arena.data.text.tokenizer import ByteTokenizer

LABELS = ["model_a", "model_b", "tie"]


def make_data(**options):
    data = built(PairData, ToyReader(rows=300), ByteTokenizer(), LABELS, **{"batch_size": 16, "window": 4, **options})
    data.setup("fit")
    return data


def epoch_of(data):
    return list(data.train_dataloader())


def test_balanced_copies_by_hand():
    """Six, three and one rows of 10: 10/3 of each class, so 5/9, 10/9 and 10/3 copies."""
    classes = np.array([0] * 6 + [1] * 3 + [2])
    assert balanced_copies(classes) == pytest.approx([5 / 9] * 6 + [10 / 9] * 3 + [10 / 3])
    assert balanced_copies(classes, power=0) == pytest.approx(np.ones(10))
    # At most two copies: the other nine share 8 rows, 4 for each class.
    assert balanced_copies(classes, max_copies=2) == pytest.approx([4 / 6] * 6 + [4 / 3] * 3 + [2])
    root = balanced_copies(classes, power=0.5)
    shares = [root[:6].sum(), root[6:9].sum(), root[9]]
    assert np.array(shares) / shares[2] == pytest.approx(np.sqrt([6, 3, 1]))


def test_hard_copies_by_hand():
    """Mean loss 1, so the row without loss counts as 0.1: 0.1 + 0.5 + 1 + 2.5 = 4.1 for 4 rows."""
    assert hard_copies(np.array([0.0, 0.5, 1.0, 2.5])) == pytest.approx(np.array([0.1, 0.5, 1.0, 2.5]) * 4 / 4.1)
    assert SMALLEST_LOSS == 0.1


@settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=60), most=st.integers(1, 5))
def test_capped_copies_keep_the_mean_and_the_cap(weights, most):
    copies = capped_copies(np.array(weights), most)
    assert copies.mean() == pytest.approx(1, abs=1e-6)
    assert copies.max() <= most + 1e-9
    order = np.argsort(weights, kind="stable")
    assert (np.diff(copies[order]) >= -1e-9).all()


@settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=60), seed=st.integers(0, 1000))
def test_systematic_draws_are_exact_to_one_row(weights, seed):
    copies = capped_copies(np.array(weights))
    drawn = systematic(copies, np.random.default_rng(seed))
    assert len(drawn) == len(copies)
    counts = np.bincount(drawn, minlength=len(copies))
    assert (np.abs(counts - copies) < 1 + 1e-6).all()


def test_equal_weights_draw_every_row_once():
    assert systematic(np.ones(50), np.random.default_rng(0)).tolist() == list(range(50))


def test_draws_depend_on_seed_and_epoch_alone():
    sampler = Sampler(np.arange(40), 60, "random", balanced_copies(np.arange(40) % 7 // 5), seed=3)
    first = [sampler.draw(epoch).tolist() for epoch in range(3)]
    np.random.default_rng().random()
    assert [sampler.draw(epoch).tolist() for epoch in range(3)] == first
    assert first[0] != first[1]
    assert {position // 60 for position in first[0]} == {0, 1}
    assert all(len(draw) == sampler.size == 40 for draw in first)


def test_both_orders_with_mirrored_labels():
    """Twice the rows; wins change sides, ties stay; the exchanged row is the row of the exchanged table."""
    plain, both = make_data(), make_data(swap="both")
    wins = plain.class_counts("train")
    seen = [int(i) for batch in epoch_of(both) for i in batch.target]
    assert np.bincount(seen).tolist() == [wins[0] + wins[1], wins[0] + wins[1], 2 * wins[2]]
    assert both.summary()["splits"] == plain.summary()["splits"]
    table = ToyReader(rows=300).table()
    other = {"response_a": "response_b", "response_b": "response_a"}
    exchanged = table.rename_columns([other.get(name, name) for name in table.column_names])
    mirrored, _ = make_data().predict_loader(Rows.from_table(exchanged, "mirrored"))
    expected = {
        int(r): ids[m.bool()].tolist()
        for b in mirrored
        for r, ids, m in zip(b.row, b.input_ids, b.attention_mask, strict=True)
    }
    times = {}
    for batch in epoch_of(both):
        for row, ids, mask, target in zip(batch.row, batch.input_ids, batch.attention_mask, batch.target, strict=True):
            own = plain.sequences.row(int(row))[0].tolist()
            shown = ids[mask.bool()].tolist()
            label = int(plain._target[int(row)])
            assert (shown, int(target)) in [(own, label), (expected[int(row)], [1, 0, 2][label])]
            times[int(row)] = times.get(int(row), 0) + 1
    assert set(times.values()) == {2}


def test_a_coin_for_every_row_and_epoch():
    data = make_data(swap="random")
    first, second = epoch_of(data), epoch_of(data)
    for epoch in (first, second):
        assert sorted(int(row) for batch in epoch for row in batch.row) == data.rows("train").tolist()
    shown = [
        {
            int(r): ids[m.bool()].tolist()
            for b in epoch
            for r, ids, m in zip(b.row, b.input_ids, b.attention_mask, strict=True)
        }
        for epoch in (first, second)
    ]
    swapped = np.mean([shown[0][r] != data.sequences.row(r)[0].tolist() for r in shown[0]])
    assert 0.35 < swapped < 0.65  # 210 coins: five standard deviations are 0.17
    assert shown[0] != shown[1]


def test_soft_targets_are_mirrored_too():
    class Two:
        number = 1
        lengths = np.array([1, 1])

        def row(self, row, swapped=False):
            return [np.array([row * 10 + swapped])]

    soft = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], np.float32)
    store: Any = Two()
    collate = Collate(store, soft, np.ones(2, np.float32), 0, swap_permutation=np.array([1, 0, 2]))
    batch = collate(np.array([0, 3]))
    assert batch.input_ids.ravel().tolist() == [0, 11]
    assert batch.row.tolist() == [0, 1]
    assert batch.target.numpy() == pytest.approx(np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]]))


def test_balanced_epochs():
    data = make_data(sampling="balanced")
    seen = np.bincount([int(i) for batch in epoch_of(data) for i in batch.target])
    rows = len(data.rows("train"))
    assert seen.sum() == rows
    assert np.abs(seen - rows / 3).max() <= 4
    # Nothing but training is resampled.
    assert data.class_counts("val").tolist() == make_data().class_counts("val").tolist()


@pytest.fixture
def losses(tmp_path):
    """Predictions of a baseline for all 300 rows: the loss is the row's number."""
    ids = ToyReader(rows=300).table()["id"].to_pylist()
    path = tmp_path / "losses.csv"
    path.write_text("id,loss\n" + "".join(f"{name},{number / 100}\n" for number, name in enumerate(ids)))
    return str(path)


def test_hard_rows_come_more_often(losses):
    data = make_data(sampling="hard", hardness=losses, max_copies=2)
    seen = np.bincount(np.concatenate([b.row.numpy() for b in epoch_of(data)]), minlength=300)
    train = data.rows("train")
    third = len(train) // 3
    assert seen[train[-third:]].sum() > 2 * seen[train[:third]].sum()
    assert seen.max() <= 2


def test_a_curriculum_goes_from_easy_to_hard_and_then_anywhere(losses):
    data = make_data(hardness=losses, curriculum_epochs=1, batch_size=4)
    first, second = ([b.row.numpy() for b in epoch_of(data)] for _ in range(2))
    train = data.rows("train").tolist()
    assert sorted(np.concatenate(first).tolist()) == sorted(np.concatenate(second).tolist()) == train
    # Windows of a twentieth of the epoch: 2 batches of 4 rows.
    served = np.concatenate(first)
    for start in range(0, len(train), 8):
        assert sorted(served[start : start + 8].tolist()) == train[start : start + 8]
    assert np.corrcoef(np.arange(len(train)), np.concatenate(second))[0, 1] < 0.3


def test_a_resumed_sampler_goes_on(losses):
    options = {"sampling": "hard", "hardness": losses, "swap": "random", "curriculum_epochs": 1}
    whole = [b.row.tolist() for data in [make_data(**options)] for _ in range(3) for b in data.train_dataloader()]
    stopped = make_data(**options)
    iterator = iter(stopped.train_dataloader())
    begun = [next(iterator).row.tolist() for _ in range(5)]
    again = make_data(**options)
    again.load_state_dict(stopped.state_dict())
    rest = [b.row.tolist() for _ in range(3) for b in again.train_dataloader()]
    assert begun + rest == whole


def test_ordered_epochs_have_as_many_batches():
    lengths = np.random.default_rng(0).integers(1, 50, 103)
    ordered, free = (epoch_batches(lengths, 8, 100, 0, 0, ordered=flag) for flag in (True, False))
    assert len(ordered) == len(free) == 13
    assert sorted(np.concatenate(ordered).tolist()) == list(range(103))


def test_two_processes_share_an_epoch():
    rows, total = np.arange(30), 40

    class Store:
        number = 1
        lengths = np.arange(40) % 5 + 1

        def row(self, row, swapped=False):
            return [np.full(self.lengths[row], row)]

    store: Any = Store()
    collate = Collate(
        store, np.zeros(total, np.int64), np.ones(total, np.float32), 0, swap_permutation=np.array([1, 0])
    )
    sampler = Sampler(rows, total, "both", seed=1)
    loaders = [BucketLoader(sampler, collate, 4, rank=rank, world_size=2) for rank in range(2)]
    served = [int(r) for loader in loaders for batch in loader for r in batch.row]
    assert sorted(set(served)) == rows.tolist()
    assert len(loaders[0]) == len(loaders[1]) == 8


# --- hardness files -------------------------------------------------------------------------------------------------


def test_losses_from_probabilities(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id,winner_model_a,winner_model_b,winner_tie\nx,0.5,0.25,0.25\ny,0.1,0.8,0.1\n")
    assert row_losses(path, ["y", "x"], ["model_b", "tie"]) == pytest.approx(-np.log([0.8, 0.25]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,loss\nx,1\n", "1 of 2 training rows have no prediction there .first: id y."),
        ("id,loss\nx,1\ny,high\n", "the prediction of id y is not a number"),
        ("id,loss\nx,1\ny,nan\n", "the loss of id y is nan"),
        ("id,score\nx,1\ny,2\n", "there is none for the class model_a"),
        ("name,loss\nx,1\n", "it needs the columns id and loss"),
    ],
)
def test_wrong_hardness_files(tmp_path, text, message):
    path = tmp_path / "h.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        row_losses(path, ["x", "y"], ["model_a", "model_a"])


def test_settings_that_need_a_file_or_both_answers(tmp_path):
    with pytest.raises(InputOutputError, match="no such file"):
        row_losses(tmp_path / "none.csv", [], [])
    with pytest.raises(UsageError, match=r"data\.sampling=hard needs data\.hardness=FILE"):
        make_data(sampling="hard")
    with pytest.raises(UsageError, match=r"data\.curriculum_epochs=2 needs data\.hardness=FILE"):
        make_data(curriculum_epochs=2)
    with pytest.raises(UsageError, match=r"data\.swap=both: .* must hold both model_a and model_b"):
        built(PairData, ToyReader(rows=60), ByteTokenizer(), ["model_a", "tie"], swap="both")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [5, 3, 2]),
        ({"swap": "both"}, [4, 4, 2]),
        ({"swap": "random"}, [4, 4, 2]),
        ({"copies": balanced_copies(np.repeat([0, 1, 2], [5, 3, 2]))}, [10 / 3] * 3),
    ],
)
def test_classes_as_an_epoch_serves_them(options, expected):
    """Five, three and two rows of 10; exchanged, five wins of A are wins of B half of the time."""
    target = np.repeat([0, 1, 2, 1], [5, 3, 2, 6])  # the last six rows are not for training
    sampler = Sampler(np.arange(10), 16, **options)
    assert sampler.class_counts(target, np.array([1, 0, 2]), 3) == pytest.approx(expected)


def test_the_start_is_told_what_is_served():
    data = make_data()
    assert data.sampled_class_counts() == pytest.approx(data.class_counts("train"))
    data = make_data(sampling="balanced")
    assert data.sampled_class_counts() == pytest.approx([len(data.rows("train")) / 3] * 3)
