"""The choice of rows to look at in W&B."""

import numpy as np

from arena.reporting.wandb_tables import worst_and_random


def test_half_the_samples_are_the_worst_and_none_comes_twice():
    loss = np.array([0.1, 3.0, np.nan, 2.0, 0.5, 5.0, 0.2])
    chosen = worst_and_random(loss, 4)
    assert chosen[:2].tolist() == [5, 1]
    assert len(set(chosen.tolist())) == 4
    assert sorted(worst_and_random(loss, 100).tolist()) == list(range(7))
    assert worst_and_random(loss, 4).tolist() == chosen.tolist()
