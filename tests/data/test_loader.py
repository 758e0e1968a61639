"""What comes next depends on seed, epoch and position only; no row is lost; nothing touches the global random state."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from arena.core.types import UNLABELLED
from arena.data.loading.collate import Collate
from arena.data.loading.loader import BucketLoader, EvaluationLoader, epoch_batches

PAD = 0


class Tokens:
    """Rows of these lengths; every token of row r is r + 1."""

    number = 1

    def __init__(self, lengths):
        self.lengths = lengths

    def row(self, row, swapped=False):
        return [np.full(self.lengths[row], row + 1, np.int32)]


def make_collate(rows=103, seed=0):
    """Rows of 1 to 30 tokens; every token of row r is r + 1."""
    store: Any = Tokens(np.random.default_rng(seed).integers(1, 31, rows))
    return Collate(store, np.arange(rows) % 3, np.full(rows, 0.5, np.float32), PAD)


def make_loader(rows=103, batch_size=8, **options):
    return BucketLoader(np.arange(rows), make_collate(rows), batch_size, **{"window": 4, "seed": 7, **options})


def served(batches):
    return [batch.row.tolist() for batch in batches]


def first_batches(iterator, count):
    return [next(iterator).row.tolist() for _ in range(count)]


def test_collate_pads_to_the_longest_row():
    collate = make_collate()
    rows = np.array([3, 50, 7])
    batch = collate(rows)
    lengths = collate.store.lengths[rows]
    assert batch.input_ids.shape == (3, lengths.max())
    assert batch.input_ids.dtype == batch.attention_mask.dtype == batch.target.dtype == batch.row.dtype == torch.int64
    for i, row in enumerate(rows):
        assert batch.input_ids[i].tolist() == [row + 1] * lengths[i] + [PAD] * (lengths.max() - lengths[i])
        assert batch.attention_mask[i].tolist() == [1] * lengths[i] + [0] * (lengths.max() - lengths[i])
    assert batch.target.tolist() == [0, 2, 1]
    assert batch.weight.tolist() == [0.5] * 3
    assert batch.row.tolist() == [3, 50, 7]
    assert batch.supervised == 3


def test_rows_without_a_target_carry_no_weight():
    whole = make_collate()
    collate = Collate(whole.store, np.where(np.arange(103) == 4, UNLABELLED, whole.target), whole.weight, PAD)
    batch = collate(np.array([3, 4, 5]))
    assert batch.weight.tolist() == [0.5, 0.0, 0.5]
    assert batch.supervised == 2


def test_targets_may_be_probabilities():
    whole = make_collate()
    soft = np.full((103, 3), 1 / 3, np.float32)
    batch = Collate(whole.store, soft, whole.weight, PAD)(np.array([3, 4]))
    assert batch.target.shape == (2, 3)
    assert batch.supervised == 2


@pytest.mark.parametrize("window", [1, 4, 100])
def test_an_epoch_is_a_permutation(window):
    lengths = make_collate().store.lengths
    for epoch in range(3):
        batches = epoch_batches(lengths, 8, window, seed=7, epoch=epoch)
        assert sorted(np.concatenate(batches).tolist()) == list(range(103))
        assert len(batches) == 13
        assert sorted(map(len, batches)) == [7] + [8] * 12


def test_sorting_within_windows_saves_padding():
    """With lengths uniform on 1..30, a batch of 8 random rows pads to about 27 for a mean of 15.5; sorted rows pad
    by the spread of 8 neighbours among 800, which is far below one token."""
    lengths = np.random.default_rng(0).integers(1, 31, 8000)

    def padding(window):
        batches = epoch_batches(lengths, 8, window, seed=0, epoch=0)
        return 1 - lengths.sum() / sum(len(batch) * lengths[batch].max() for batch in batches)

    assert padding(1) > 0.35
    assert padding(100) < 0.03


def test_epochs_and_seeds_differ():
    assert served(make_loader()) == served(make_loader())
    assert served(make_loader()) != served(make_loader(seed=8))
    loader = make_loader()
    assert served(loader) != served(loader)


@pytest.mark.slow
@pytest.mark.parametrize("stops", [[0], [1], [5], [12], [13], [3, 7, 9], [13, 13], [12, 1, 13, 5]])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_order_equals_undisturbed_order(stops, num_workers):
    """Interrupt after each of the given numbers of batches (13 make an epoch), each time in a new loader."""
    loader = make_loader()
    expected = [batch for _ in range(5) for batch in served(loader)]
    seen, state = [], {"epoch": 0, "position": 0}
    for stop in [*stops, 14]:
        loader = make_loader(num_workers=num_workers, endless=True)
        loader.load_state_dict(state)
        seen += first_batches(iter(loader), stop)
        state = loader.state_dict()
    assert seen == expected[: len(seen)]
    assert len(seen) == sum(stops) + 14


def test_the_state_counts_batches_handed_out():
    loader = make_loader()
    assert loader.state_dict() == {"epoch": 0, "position": 0}
    iterator = iter(loader)
    assert loader.state_dict() == {"epoch": 0, "position": 0}  # an iterator that is not used changes nothing
    next(iterator)
    assert loader.state_dict() == {"epoch": 0, "position": 1}
    assert len(list(iterator)) == 12
    assert loader.state_dict() == {"epoch": 1, "position": 0}
    assert all(type(value) is int for value in loader.state_dict().values())


def test_a_trainer_that_never_asks_for_the_end():
    """Lightning counts to len(loader) and then makes a new iterator."""
    expected = make_loader()
    epochs = [served(expected), served(expected)]
    loader = make_loader()
    first = first_batches(iter(loader), len(loader))
    assert loader.state_dict() == {"epoch": 0, "position": 13}
    assert [first, first_batches(iter(loader), len(loader))] == epochs


def test_epochs_cut_short_by_the_trainer_go_on_where_they_stopped():
    loader = make_loader(endless=True)
    taken = [batch for _ in range(4) for batch in first_batches(iter(loader), 4)]
    plain = make_loader()
    assert taken == [*served(plain), *served(plain)][:16]


def test_the_same_few_batches_again_and_again():
    """For a trainer that overfits on purpose: 4 batches, here seen 2.5 times, cut at 7 and resumed."""
    loader = make_loader(endless=True, repeat=4)
    seen = first_batches(iter(loader), 7)
    resumed = make_loader(endless=True, repeat=4)
    resumed.load_state_dict(loader.state_dict())
    seen += first_batches(iter(resumed), 3)
    assert seen == (served(make_loader())[:4] * 3)[:10]
    assert len(loader) == 13  # the trainer takes its own share of this


def test_the_global_random_state_is_left_alone():
    loaders = [make_loader(num_workers=n) for n in (0, 2)]
    loaders += [EvaluationLoader(np.arange(103), make_collate(), 8, num_workers=n) for n in (0, 2)]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - it is the global state that is watched
    random.seed(0)
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].tolist(), random.getstate()  # noqa: NPY002
    for loader in loaders:
        list(loader)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before[1]  # noqa: NPY002
    assert random.getstate() == before[2]


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_processes_share_an_epoch(world_size):
    """13 batches for 2, 3 or 5 processes: everyone gets 7, 5 or 3, and the surplus repeats the first ones."""
    loaders = [make_loader(rank=rank, world_size=world_size) for rank in range(world_size)]
    parts = [served(loader) for loader in loaders]
    assert {len(part) for part in parts} == {len(loaders[0])} == {-(-13 // world_size)}
    together = [part[i] for i in range(len(parts[0])) for part in parts]
    whole = served(make_loader())
    assert together == whole + whole[: len(together) - 13]


def test_evaluation_is_longest_first_and_always_the_same():
    collate = make_collate()
    loader = EvaluationLoader(np.arange(20, 80), collate, 8)
    batches = list(loader)
    assert len(batches) == len(loader) == 8
    order = [row for batch in batches for row in batch.row.tolist()]
    assert sorted(order) == list(range(20, 80))
    lengths = collate.store.lengths[order]
    assert (np.diff(lengths) <= 0).all()
    assert served(loader) == served(batches)
    assert not hasattr(loader, "state_dict")


def test_evaluation_by_several_processes_counts_every_row_once():
    """13 batches for 2 processes: the second's last batch repeats the first one, without targets."""
    loaders = [EvaluationLoader(np.arange(103), make_collate(), 8, rank=rank, world_size=2) for rank in (0, 1)]
    batches = [list(loader) for loader in loaders]
    assert [len(part) for part in batches] == [7, 7]
    assert sum(batch.supervised for part in batches for batch in part) == 103
    last = batches[1][-1]
    assert last.row.tolist() == batches[0][0].row.tolist()
    assert last.target.tolist() == [UNLABELLED] * 8
    assert last.weight.tolist() == [0.0] * 8


def test_no_rows_make_no_batches():
    assert list(make_loader(rows=0, endless=True)) == []
    assert len(make_loader(rows=0)) == 0
