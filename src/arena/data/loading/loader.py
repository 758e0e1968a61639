"""Loaders: rows of token ids to padded batches of similar length, resumable in the middle of an epoch.

What comes next is a function of (seed, epoch, position) and of nothing else: not of the global random state, which is
left untouched, and not of the number of workers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from arena.core.types import UNLABELLED, ReplyBatch, TextBatch
from arena.data.loading.reply_collate import Batches
from arena.data.loading.sampling import Sampler
from arena.data.loading.worker import PATIENCE, answers

Batch = TypeVar("Batch", TextBatch, ReplyBatch)


def epoch_batches(
    lengths: np.ndarray, batch_size: int, window: int, seed: int, epoch: int, ordered: bool = False
) -> list[np.ndarray]:
    """All batches of one epoch, as positions in `lengths`.

    The rows are shuffled and cut into windows of `window * batch_size` rows; each window is sorted by length and cut
    into batches; the batches are shuffled. Every row comes once, and the number of batches is the same in every epoch.
    Where the rows are `ordered`, the windows are cut in that order, a twentieth of the epoch each at most, and come in
    it; the batches are shuffled within their window.
    """
    draw = np.random.default_rng([seed, epoch])
    order = np.arange(len(lengths)) if ordered else draw.permutation(len(lengths))
    if ordered:
        window = min(window, max(1, len(lengths) // (20 * batch_size)))
    windows = []
    for start in range(0, len(order), window * batch_size):
        rows = order[start : start + window * batch_size]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        windows.append([rows[i : i + batch_size] for i in range(0, len(rows), batch_size)])
    if ordered:
        return [some[i] for some in windows for i in draw.permutation(len(some))]
    batches = [batch for some in windows for batch in some]
    return [batches[i] for i in draw.permutation(len(batches))]


def deal(batches: Sequence[np.ndarray], rank: int, world_size: int) -> list[np.ndarray]:
    """Every `world_size`-th batch from `rank` on, the first ones repeated where some rank would have one less.

    Ranks of unequal length would wait for each other for ever.
    """
    missing = -len(batches) % world_size if batches else 0
    filled = [*batches, *(batches[i % len(batches)] for i in range(missing))]
    return filled[rank::world_size]


class BucketLoader:
    """Endless epochs of training batches; `state_dict` says where it stands.

    A new iterator goes on from where the last one stopped, to the end of that epoch. So does a loader that was given
    the state of another one.

    Args:
        rows: positions in the table, `[R]`; or a sampler that chooses them for each epoch.
        collate: makes the batches.
        batch_size, window, seed, num_workers: see `arena.data.loading.sampling.LoaderSettings`.
        pin_memory: copy batches to page-locked memory.
        rank: which of the `world_size` processes this is; all count the same steps.
        endless: an iterator runs on into the next epoch. For a trainer that stops epochs early by its own count
            (`limit_train_batches`).
        repeat: give this many batches of the first epoch again and again; 0 for all batches of every epoch. For a
            trainer that overfits on purpose (`overfit_batches`).
    """

    def __init__(
        self,
        rows: np.ndarray | Sampler,
        collate: Batches,
        batch_size: int,
        window: int = 100,
        seed: int = 0,
        num_workers: int = 0,
        pin_memory: bool = False,
        rank: int = 0,
        world_size: int = 1,
        endless: bool = False,
        repeat: int = 0,
    ) -> None:
        # Not "sampler": Lightning looks for that attribute.
        self.plan = rows if isinstance(rows, Sampler) else Sampler(np.asarray(rows), len(collate.weight))
        self.collate, self.batch_size, self.window, self.seed = collate, batch_size, window, seed
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.rank, self.world_size = rank, world_size
        self.endless, self.repeat = endless, repeat
        self.epoch = 0
        self.position = 0

    def __len__(self) -> int:
        """Batches of an epoch for this process."""
        return -(-self.plan.size // (self.batch_size * self.world_size))

    def batches(self, epoch: int) -> list[np.ndarray]:
        """This process's batches of an epoch, as positions in the table."""
        epoch = 0 if self.repeat else epoch
        chosen = self.plan.draw(epoch)
        lengths = self.collate.store.lengths[chosen % self.plan.total]
        ordered = self.plan.ordered(epoch)
        batches = epoch_batches(lengths, self.batch_size, self.window, self.seed, epoch, ordered)
        return [chosen[batch] for batch in deal(batches, self.rank, self.world_size)[: self.repeat or None]]

    def __iter__(self) -> Iterator[Any]:
        size = min(len(self), self.repeat or len(self))
        while size > 0:
            # A trainer that counts batches never asks for the one after the last, so the epoch may still have to turn.
            if self.position >= size:
                self.epoch, self.position = self.epoch + 1, 0
            batches = self.batches(self.epoch)[self.position :]
            # The same batches again with `repeat`, but not the same augmentation.
            collate = replace(self.collate, epoch=self.epoch)
            for batch in answers(inner_loader(batches, collate, self.num_workers, self.pin_memory, self.seed)):
                # Before the batch is used: a checkpoint written while it is in use must not give it again.
                self.position += 1
                yield batch
            self.epoch, self.position = self.epoch + 1, 0
            if not self.endless:
                return

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches have been handed out."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from there with the next iterator."""
        self.epoch = int(state_dict["epoch"])
        self.position = int(state_dict["position"])


class EvaluationLoader:
    """The same batches every time, the longest rows first, so that too little memory shows in the first second.

    With several processes, batches that only fill up the last round come without targets, so that no row counts twice.
    """

    def __init__(
        self,
        rows: np.ndarray,
        collate: Batches,
        batch_size: int,
        num_workers: int = 0,
        pin_memory: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        rows = np.asarray(rows)
        rows = rows[np.argsort(-collate.store.lengths[rows % len(collate.weight)], kind="stable")]
        batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        self.own = len(batches[rank::world_size])
        self.batches = deal(batches, rank, world_size)
        self.collate, self.num_workers, self.pin_memory = collate, num_workers, pin_memory

    def __len__(self) -> int:
        """Batches for this process."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        loader = inner_loader(self.batches, self.collate, self.num_workers, self.pin_memory, seed=0)
        for index, batch in enumerate(answers(loader)):
            yield batch if index < self.own else without_targets(batch)


def without_targets(batch: Batch) -> Batch:
    """The same batch with unknown labels."""
    target = torch.full_like(batch.target, UNLABELLED)
    return replace(batch, target=target, weight=torch.zeros_like(batch.weight), supervised=0)


class _Batches(Dataset):
    """Batch number -> collated batch."""

    def __init__(self, batches: list[np.ndarray], collate: Batches) -> None:
        self.batches = batches
        self.collate = collate

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        return self.collate(self.batches[index])


def inner_loader(
    batches: list[np.ndarray], collate: Batches, num_workers: int, pin_memory: bool, seed: int
) -> DataLoader:
    """torch's loader over ready-made batches, for its worker processes and pinned memory.

    It draws a seed for its workers from the generator, which is therefore not the global one.
    """
    return DataLoader(
        _Batches(batches, collate),
        batch_size=None,
        num_workers=num_workers,
        pin_memory=pin_memory,
        timeout=PATIENCE + 10 if num_workers else 0,
        generator=torch.Generator().manual_seed(seed),
    )
