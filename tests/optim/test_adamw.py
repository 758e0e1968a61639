"""Parameter groups and schedules, against torch and transformers."""

import pytest
import torch
from torch import nn

from arena.core.errors import UsageError
from arena.optim.adamw import AdamW
from arena.optim.schedule import Constant, Cosine, Linear, Polynomial, Schedule, WarmupPlateau, Wsd


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.head = nn.Linear(4, 2)


def rates(chosen: Schedule, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = chosen.build(optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        (Linear(), "linear"),
        (Cosine(), "cosine"),
        (Constant(), "constant_with_warmup"),
        (Polynomial(power=3.0), "polynomial"),
        (Wsd(cooldown=0.3), "warmup_stable_decay"),
    ],
)
def test_schedules_are_those_of_transformers(schedule, theirs, warmup):
    """With a power of 3, and a cool-down over the last .3 * 30 = 9 steps."""
    from transformers.optimization import get_scheduler

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    more: dict[str, dict] = {"polynomial": {"power": 3.0, "lr_end": 0.0}}
    more["warmup_stable_decay"] = {"num_decay_steps": 9, "decay_type": "linear"}
    reference = get_scheduler(
        theirs, optimizer, num_warmup_steps=warmup, num_training_steps=30, scheduler_specific_kwargs=more.get(theirs)
    )
    expected = []
    for _ in range(30):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    schedule.warmup_steps = warmup
    assert rates(schedule, 30) == pytest.approx(expected, abs=1e-12)


def test_plateau_warms_up_and_falls_when_the_value_stalls():
    """lr 2, warm-up 4: 0, .5, 1, 1.5, 2; after the second validation without improvement (patience 1) half of it."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupPlateau(optimizer, warmup=4, mode="min", factor=0.5, patience=1)
    found = []
    for value in [1.0, 0.9, 0.95, None, 0.91, 0.92, 0.93]:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if value is not None:
            schedule.observe(value)
        schedule.step()
    assert found == pytest.approx([0, 0.5, 1.0, 1.5, 2.0, 1.0, 1.0])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5)


def test_plateau_survives_a_restart():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupPlateau(optimizer, 0, "max", 0.1, 0)
    for value in (0.5, 0.4):
        schedule.observe(value)
    other = WarmupPlateau(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0), 0, "max", 0.1, 0)
    other.load_state_dict(schedule.state_dict())
    assert (other.scale, other.best, other.stalled) == (pytest.approx(0.1), 0.5, 0)


def test_biases_norms_and_frozen_parameters():
    """Decayed: the two matrices that train. Not decayed: their biases and the norm. Head: ten times the rate."""
    model = Model()
    groups = {(g["lr"], g["weight_decay"]): g["params"] for g in AdamW(1e-3, 0.1, 10).groups(model, nn.Identity())}
    assert {key: len(group) for key, group in groups.items()} == {
        (1e-3, 0.1): 1, (1e-3, 0.0): 3, (1e-2, 0.1): 1, (1e-2, 0.0): 1,
    }  # fmt: skip
    assert groups[(1e-2, 0.1)][0] is model.head.weight


def test_parameters_of_the_loss_train_without_decay():
    loss = nn.Linear(1, 1, bias=False)
    built = AdamW(lr=1e-3, weight_decay=0.1).build(Model(), loss, 10, fused=False)
    group = next(g for g in built["optimizer"].param_groups if any(p is loss.weight for p in g["params"]))
    assert group["weight_decay"] == 0


def test_a_step_is_torchs_adamw():
    torch.manual_seed(0)
    model, other = Model(), Model()
    other.load_state_dict(model.state_dict())
    mine = AdamW(lr=1e-2, weight_decay=0.1, schedule=Constant(warmup=0)).build(model, nn.Identity(), 10, fused=True)
    theirs = torch.optim.AdamW(other.parameters(), lr=1e-2, weight_decay=0.1, foreach=False)
    x = torch.randn(5, 3)
    for m, optimizer in ((model, mine["optimizer"]), (other, theirs)):
        m.head(m.norm(m.body(x))).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(model.head.weight, other.head.weight)


def test_stages_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="cooldown=0.6: 6 steps and a warm-up of 5 are more than 10"):
        AdamW(lr=1.0, schedule=Wsd(cooldown=0.6, warmup=0.5)).build(Model(), nn.Identity(), 10, fused=False)


def test_a_moment_that_never_learns_is_refused():
    with pytest.raises(UsageError, match="betas"):
        AdamW(lr=1.0, betas=[0.9, 1.0]).build(Model(), nn.Identity(), 10, fused=False)


def test_a_schedule_without_an_end_is_refused():
    with pytest.raises(UsageError, match="needs an end"):
        AdamW(lr=1.0, schedule=Cosine()).build(Model(), nn.Identity(), None, fused=False)
