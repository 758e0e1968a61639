"""Each optimiser against formulas written out, or another implementation; what a run with it leaves behind."""

import math
import sys
from typing import Any

import pytest
import torch
from torch import nn

from arena.core.errors import UsageError
from arena.optim.adamw import AdamW, AdamW8bit
from arena.optim.optional import Lion, Muon, ScheduleFree
from arena.optim.schedule import Constant, Wsd

NONE = nn.Identity()


class Model(nn.Module):
    """An embedding of 100 x 64, two layers of 128 x 64 and 64 x 128, a norm, a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(100, 64)
        self.layers: Any = nn.ModuleList([nn.Linear(64, 128), nn.Linear(128, 64)])
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.words(ids).mean(1)
        return self.head(self.norm(self.layers[1](torch.tanh(self.layers[0](hidden)))))


def gradients(number: int) -> list[list[torch.Tensor]]:
    """The same made-up gradients for each optimiser, one list a step."""
    made = torch.Generator().manual_seed(1)
    return [[torch.randn(p.shape, generator=made) for p in Model().parameters()] for _ in range(number)]


def trained(recipe, steps: int = 5) -> tuple[Model, torch.optim.Optimizer]:
    model = Model()
    optimizer = recipe.build(model, NONE, steps, fused=False)["optimizer"]
    for step in gradients(steps):
        for parameter, gradient in zip(model.parameters(), step, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return model, optimizer


def same(a: nn.Module, b: nn.Module, **tolerance: Any) -> None:
    for (name, mine), theirs in zip(a.named_parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


def test_lion_is_its_formula():
    """w ← w (1 - lr decay) - lr sign(.9 m + .1 g), m ← .99 m + .01 g; no decay of vectors."""
    model, _ = trained(Lion(lr=1e-3, weight_decay=0.1, schedule=Constant(warmup=0)))
    expected = Model()
    moments = [torch.zeros_like(p) for p in expected.parameters()]
    with torch.no_grad():
        for step in gradients(5):
            for w, m, g in zip(expected.parameters(), moments, step, strict=True):
                w *= 1 - 1e-3 * (0.1 if w.ndim >= 2 else 0.0)
                w -= 1e-3 * (0.9 * m + 0.1 * g).sign()
                m.mul_(0.99).add_(0.01 * g)
    same(model, expected, atol=1e-6, rtol=0)


def test_schedule_free_is_its_formula():
    """y = b1 x + (1 - b1) z; z moves by the normalised gradient and the decay at y; x is the mean of the zs."""
    lr, b1, b2, decay = 1e-2, 0.9, 0.999, 0.1
    model, optimizer = trained(ScheduleFree(lr=lr, weight_decay=decay, betas=[b1, b2], schedule=Constant(warmup=0)))
    x = [p.detach().clone().double() for p in Model().parameters()]
    z, v = [p.clone() for p in x], [torch.zeros_like(p) for p in x]
    y = [p.clone() for p in x]
    for t, step in enumerate(gradients(5), start=1):
        for k, g in enumerate(step):
            g = g.double()
            v[k] = b2 * v[k] + (1 - b2) * g * g
            z[k] = z[k] - lr * (g / ((v[k] / (1 - b2**t)).sqrt() + 1e-8) + (decay if g.ndim >= 2 else 0.0) * y[k])
            x[k] = x[k] + (z[k] - x[k]) / t
            y[k] = b1 * x[k] + (1 - b1) * z[k]
    for mine, theirs in zip(model.parameters(), y, strict=True):
        torch.testing.assert_close(mine.double(), theirs, atol=2e-6, rtol=0)
    optimizer.eval()  # pyright: ignore[reportAttributeAccessIssue]
    for mine, theirs in zip(model.parameters(), x, strict=True):
        torch.testing.assert_close(mine.double(), theirs, atol=2e-6, rtol=0)


def test_muon_is_torchs_muon_inside_the_layers_and_torchs_adamw_elsewhere():
    """Newton-Schulz runs in bfloat16, so its steps agree to about 1 %: a step's entries are about .2 lr."""
    lr = 1e-2
    model, _ = trained(Muon(lr=lr, weight_decay=0.1, schedule=Constant(warmup=0)))
    expected = Model()
    inside = [layer.weight for layer in expected.layers]
    vectors = [p for p in expected.parameters() if p.ndim < 2]
    others = [expected.words.weight, expected.head.weight]
    optimizers = [
        torch.optim.Muon(inside, lr=lr, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([{"params": others}, {"params": vectors, "weight_decay": 0.0}], lr=lr, weight_decay=0.1),
    ]
    for step in gradients(5):
        for parameter, gradient in zip(expected.parameters(), step, strict=True):
            parameter.grad = gradient
        for optimizer in optimizers:
            optimizer.step()
    for mine, theirs in zip(model.layers, expected.layers, strict=True):
        torch.testing.assert_close(mine.weight, theirs.weight, atol=0.05 * lr, rtol=0)
        torch.testing.assert_close(mine.bias, theirs.bias, atol=1e-6, rtol=0)
    torch.testing.assert_close(model.words.weight, expected.words.weight, atol=1e-6, rtol=0)
    torch.testing.assert_close(model.head.weight, expected.head.weight, atol=1e-6, rtol=0)


def test_a_step_of_muon_is_as_large_as_one_of_adamw():
    """.2 lr in the root mean square (AdamW's are .2 to .4 lr in practice), for a wide and a high matrix."""
    before, (model, _) = Model(), trained(Muon(lr=1e-2, weight_decay=0, schedule=Constant(warmup=0)), steps=1)
    for old, new in zip(before.layers, model.layers, strict=True):
        step = (new.weight - old.weight).detach()
        assert float(step.square().mean().sqrt()) == pytest.approx(0.2e-2 * math.sqrt(128 / 128), rel=0.2)
        values = torch.linalg.svdvals(step / (0.2e-2 * math.sqrt(128)))
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.3, "nearly orthogonal"


def test_eight_bits_follow_thirty_two():
    """Moments of 8 bits (64 x 128 values and more), 32 in the embeddings and in what is small: AdamW, but for the
    rounding of the moments, which is largest where they are small."""
    settings: Any = {"lr": 1e-3, "weight_decay": 0.1, "schedule": Constant(warmup=0)}
    model, optimizer = trained(AdamW8bit(**settings))
    expected, _ = trained(AdamW(**settings))
    kinds = {name: optimizer.state[p]["state1"].dtype for name, p in model.named_parameters()}
    assert {name for name, kind in kinds.items() if kind == torch.uint8} == {"layers.0.weight", "layers.1.weight"}
    torch.testing.assert_close(model.words.weight, expected.words.weight, atol=1e-6, rtol=0)
    for mine, theirs, start in zip(model.layers, expected.layers, Model().layers, strict=True):
        moved, apart = ((w - theirs.weight).detach().norm() for w in (start.weight, mine.weight))
        assert 0 < float(apart / moved) < 0.1


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    for recipe in (Lion, ScheduleFree, Muon):
        with pytest.raises(UsageError, match=r"pip install 'arena\[optimizers\]'"):
            recipe(lr=1e-3).build(Model(), NONE, 10, fused=False)


def test_schedule_free_has_no_falling_rate():
    with pytest.raises(UsageError, match="give schedule=constant"):
        ScheduleFree(lr=1e-3, schedule=Wsd())


def test_eight_bits_that_do_not_work_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim.adamw", None)
    with pytest.raises(UsageError, match="8-bit AdamW does not work on this machine"):
        AdamW8bit(lr=1e-3).build(Model(), NONE, 10, fused=False)


@pytest.mark.parametrize("recipe", [AdamW, AdamW8bit, Lion, Muon, ScheduleFree])
def test_each_learns_and_is_restored_bit_for_bit(recipe):
    """Ten steps on one batch lower its loss; five, a state through `state_dict`, five more end with the same bits."""
    ids, target = torch.arange(60).reshape(12, 5), torch.arange(12) % 3
    schedule: Any = {} if recipe is ScheduleFree else {"schedule": Wsd()}

    def steps(model, built, number) -> list[float]:
        losses = []
        for _ in range(number):
            loss = nn.functional.cross_entropy(model(ids), target)
            built["optimizer"].zero_grad()
            loss.backward()
            built["optimizer"].step()
            built["lr_scheduler"]["scheduler"].step()
            losses.append(loss.item())
        return losses

    whole, first, second = Model(), Model(), Model()
    make = recipe(lr=3e-3, layer_decay=0.9, **schedule)
    losses = steps(whole, make.build(whole, NONE, 10, fused=False), 10)
    assert losses[-1] < 0.9 * losses[0]
    built = make.build(first, NONE, 10, fused=False)
    steps(first, built, 5)
    second.load_state_dict(first.state_dict())
    again = make.build(second, NONE, 10, fused=False)
    again["optimizer"].load_state_dict(built["optimizer"].state_dict())
    again["lr_scheduler"]["scheduler"].load_state_dict(built["lr_scheduler"]["scheduler"].state_dict())
    steps(second, again, 5)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))
