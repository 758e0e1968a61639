"""Perturbed weights come back bit for bit, and gradients are those worked out by hand."""

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

from arena.callback.adversarial import Adversarial, perturbed
from arena.core.errors import UsageError
from arena.core.types import LossOutput
from arena.task.module import Task

quiet = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*", "ignore:.*no `val_dataloader`.*"
)


class Batch:
    """Ids `[N, L]` and class indices `[N]`."""

    supervised = 1

    def __init__(self, ids: torch.Tensor, target: torch.Tensor) -> None:
        self.ids, self.target = ids, target

    def __len__(self) -> int:
        return len(self.ids)


class Words(nn.Module):
    """Mean of word vectors -> hidden layer -> logits; no dropout, so that two passes see the same function."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.words = nn.Embedding(20, 6)
        self.hidden = nn.Linear(6, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.head(torch.tanh(self.hidden(self.words(batch.ids).mean(1))))


class CrossEntropy(nn.Module):
    def forward(self, logits: torch.Tensor, batch: Batch) -> LossOutput:
        return LossOutput(nn.functional.cross_entropy(logits, batch.target), len(batch), {})


class Still:
    """An optimiser that changes nothing."""

    def build(self, model: nn.Module, loss: nn.Module, steps: int | None, fused: bool) -> dict[str, Any]:
        return {"optimizer": torch.optim.SGD(model.parameters(), lr=0.0)}


class PairSearch(Callback):
    """Keeps the gradients of each optimiser step."""

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        self.seen.append([p.grad.clone() for p in pl_module.model.parameters()])


def batches(number: int) -> list[Batch]:
    made = torch.Generator().manual_seed(0)
    return [
        Batch(torch.randint(20, (4, 7), generator=made), torch.randint(3, (4,), generator=made)) for _ in range(number)
    ]


def gradients_of_a_run(callback: Adversarial | None, tmp_path, accumulate: int = 1) -> tuple[Words, list[torch.Tensor]]:
    """The model after one step that changes nothing, and the gradients of that step."""
    look = PairSearch()
    task = Task(Words(), CrossEntropy(), metrics=None, optimizer=Still())
    trainer = Trainer(
        accelerator="cpu", max_steps=1, callbacks=[callback, look] if callback else [look], logger=False,
        default_root_dir=tmp_path, enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
        accumulate_grad_batches=accumulate,
    )  # fmt: skip
    loader: Any = torch.utils.data.DataLoader(batches(accumulate), batch_size=None, collate_fn=lambda item: item)  # pyright: ignore
    trainer.fit(task, loader)
    return task.model, look.seen[0]


def gradient(model: Words, batch: Batch) -> list[torch.Tensor]:
    return list(torch.autograd.grad(CrossEntropy()(model(batch), batch).loss, list(model.parameters())))


@quiet
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("method", ["fgm", "awp"])
def test_the_gradient_is_the_clean_one_and_the_adversarial_one(method, accumulate, tmp_path):
    """By hand: for each batch, move the weights along its own gradient, take the gradient there, add both; the sum over
    the batches of a step divided by their number. The weights are those of before, bit for bit."""
    epsilon = {"fgm": 0.7, "awp": 0.05}[method]
    model, found = gradients_of_a_run(Adversarial(method, epsilon=epsilon, lr=0.3), tmp_path, accumulate)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), Words().parameters(), strict=True))
    expected = [torch.zeros_like(p) for p in model.parameters()]
    for batch in batches(accumulate):
        clean = gradient(Words(), batch)
        moved = Words()
        with torch.no_grad():
            for (name, w), g in zip(moved.named_parameters(), clean, strict=True):
                if method == "fgm" and name == "words.weight":
                    w += epsilon * g / g.norm()
                elif method == "awp" and name.endswith("weight"):
                    most = epsilon * w.abs()
                    w += (0.3 * w.norm() * g / g.norm()).maximum(-most).minimum(most)
        for total, a, b in zip(expected, clean, gradient(moved, batch), strict=True):
            total += (a + b) / accumulate
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)
    _, plain = gradients_of_a_run(None, tmp_path, accumulate)
    assert not torch.allclose(found[0], 2 * plain[0], atol=1e-4), "the perturbation makes a difference"


def test_perturbed_weights_come_back_after_an_error():
    """Adding and subtracting would not do: 1e8 + 1 - 1e8 is 0 in float32."""
    weight = nn.Parameter(torch.tensor([1e8, 1.0, -0.0, 3e-45]))
    before = weight.detach().clone()

    def use() -> None:
        with perturbed([weight], [torch.tensor([1.0, 1e8, 1.0, 1.0])]):
            assert not torch.equal(weight, before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert torch.equal(weight.detach().view(torch.int32), before.view(torch.int32))


@quiet
@pytest.mark.parametrize("method", ["fgm", "awp"])
def test_an_error_in_the_second_pass_leaves_the_weights(method, tmp_path, monkeypatch):
    calls: list[Words] = []
    original = Words.forward

    def forward(self, batch):
        calls.append(self)
        if len(calls) == 2:
            raise ZeroDivisionError
        return original(self, batch)

    monkeypatch.setattr(Words, "forward", forward)
    with pytest.raises(ZeroDivisionError):
        gradients_of_a_run(Adversarial(method), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(calls[1].parameters(), Words().parameters(), strict=True))


def test_no_gradient_means_no_perturbation():
    weight = torch.ones(3, 2)
    for method in ("fgm", "awp"):
        assert torch.equal(Adversarial(method).perturbation(weight, torch.zeros(3, 2)), torch.zeros(3, 2))


@pytest.mark.slow
def test_a_small_run_starts_late_and_differs_from_then_on(train_run):
    """Start at half of 6 steps: the same losses for 4 batches (the step before the 4th is the last common one)."""
    from arena.logger import journal

    common = ["trainer.max_steps=6", "trainer.log_every_n_steps=1", "test=false"]
    common += ["model.dropout=0", "model.input_dropout=0"]
    plain = train_run("plain", *common)
    run = train_run("run", *common, "callback=adversarial", "callback.adversarial.start=0.5")
    losses = [
        {r["step"]: r["value"] for r in journal.read(one.metrics) if (r["split"], r["name"]) == ("train", "loss")}
        for one in (plain, run)
    ]
    assert [step for step in losses[0] if losses[0][step] != losses[1][step]] == [5, 6]
    found = [r["step"] for r in journal.read(run.metrics) if r["name"] == "adversarial_loss"]
    assert found == [4, 5, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plugins": [MixedPrecision("16-mixed", "cpu")]}, "16-mixed"),
        ({"strategy": "ddp", "devices": 1}, "one device only"),
    ],
    ids=["16-mixed", "ddp"],
)
def test_what_cannot_work_is_refused(options, message):
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, **options)
    with pytest.raises(UsageError, match=message):
        Adversarial().setup(trainer, Task(Words(), CrossEntropy(), None), "fit")


def test_frozen_word_embeddings_are_refused():
    task = Task(Words(), CrossEntropy(), None)
    task.model.words.requires_grad_(False)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    with pytest.raises(UsageError, match="no word embeddings that train"):
        Adversarial("fgm").setup(trainer, task, "fit")
    Adversarial("awp").setup(trainer, task, "fit")
