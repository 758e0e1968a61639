"""What the corrections for rare classes add up to, and how the loss hears of the training's progress."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from support import head_settings, write_head_rows
from torch.utils.data import DataLoader

from arena.callback.diagnostics import ImbalanceReport, effective_prior, prior_reversed
from arena.callback.progress import LossSchedule
from arena.config.weights import read_checkpoint
from arena.loss.class_weight import class_weights
from arena.loss.classification import CrossEntropy
from arena.loss.multi_head import MultiHead
from arena.loss.rare_classes import LogitAdjustment

LABELS = {"stance": ["AGAINST", "FAVOR", "NONE"], "sentiment": ["negative", "positive"]}
NATURAL = np.array([470, 470, 60, 500, 500])


def reported(caplog, loss: torch.nn.Module, served, labels: Any = None, natural=NATURAL) -> list[logging.LogRecord]:
    """What the callback says of a data set with these counts; only the counts of the data set are asked for."""
    served = np.asarray(served, dtype=np.float64)
    data = SimpleNamespace(class_counts=lambda split: natural, sampled_class_counts=lambda: served)
    if hasattr(loss, "set_class_counts"):
        cast(Any, loss).set_class_counts(torch.from_numpy(served), torch.from_numpy(natural))
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="arena"):
        trainer, module = SimpleNamespace(datamodule=data, global_rank=0), SimpleNamespace(loss=loss)
        ImbalanceReport(labels or LABELS).on_fit_start(cast(Trainer, trainer), cast(LightningModule, module))
    return list(caplog.records)


def test_effective_prior_fixture() -> None:
    """A sampler that balances and weights of the inverse frequency: .06 becomes (1 / .06) / (2 / .47 + 1 / .06)."""
    weights = class_weights(torch.tensor([470, 470, 60]), "balanced")
    found = effective_prior(torch.full((3,), 1000 / 3), weights)
    assert found[2].item() == pytest.approx(0.797, abs=5e-4)
    assert found[2].item() == pytest.approx((1 / 0.06) / (2 / 0.47 + 1 / 0.06))
    assert prior_reversed(torch.tensor([0.47, 0.47, 0.06]), found)
    assert not prior_reversed(torch.tensor([0.47, 0.47, 0.06]), torch.ones(3) / 3)


def test_two_corrections_at_once_are_warned_of(caplog) -> None:
    loss = MultiHead(LABELS, overrides={"stance": {"class_weight": "balanced"}})
    (record,) = reported(caplog, loss, [1000 / 3, 1000 / 3, 1000 / 3, 500, 500])
    assert record.levelno == logging.WARNING
    text = record.getMessage()
    assert text.startswith(
        "head stance: the sampler (data.sampling) and class weights (loss.class_weight) both correct"
    )
    assert "make rarer classes the commoner ones" in text
    assert "natural prior AGAINST 47.0%, FAVOR 47.0%, NONE 6.0%" in text
    assert "effective prior AGAINST 10.2%, FAVOR 10.2%, NONE 79.7%" in text
    assert "data.sampling=uniform" in text


def test_a_sampler_beside_logit_adjustment_is_warned_of_too(caplog) -> None:
    """The adjustment sees the shares that the sampler leaves, so nothing is turned round; but one is enough."""
    loss = LogitAdjustment(LABELS["stance"])
    (record,) = reported(caplog, loss, [400, 400, 200], LABELS["stance"], NATURAL[:3])
    assert record.levelno == logging.WARNING
    assert "logit adjustment (loss.tau) both correct for rare classes: natural" in record.getMessage()
    assert "effective prior AGAINST 33.3%, FAVOR 33.3%, NONE 33.3%" in record.getMessage()


@pytest.mark.parametrize(
    ("options", "served", "text"),
    [
        ({}, [400, 400, 200], "effective prior AGAINST 40.0%, FAVOR 40.0%, NONE 20.0% (by the sampler)"),
        (
            {"class_weight": "balanced"},
            NATURAL[:3],
            "effective prior AGAINST 33.3%, FAVOR 33.3%, NONE 33.3% (by class weights (loss.class_weight))",
        ),
        (
            {"class_weight": [1.0, 1.0, 2.0], "class_weight_from_epoch": 3},
            NATURAL[:3],
            "effective prior AGAINST 44.3%, FAVOR 44.3%, NONE 11.3%",  # .47, .47, .12 over 1.06
        ),
    ],
)
def test_one_correction_is_a_line_of_information(caplog, options: dict, served, text: str) -> None:
    (record,) = reported(caplog, CrossEntropy(LABELS["stance"], **options), served, LABELS["stance"], NATURAL[:3])
    assert record.levelno == logging.INFO
    assert text in record.getMessage()


def test_no_correction_and_exchanged_answers_are_silence(caplog) -> None:
    """Serving both orders of two answers evens out 36% and 33%, which is nobody's correction."""
    plain = CrossEntropy(LABELS["stance"])
    assert not reported(caplog, plain, NATURAL[:3], LABELS["stance"], NATURAL[:3])
    natural = np.array([360, 330, 310])
    weighted = CrossEntropy(LABELS["stance"], class_weight=[1.0, 1.0, 2.0])
    (record,) = reported(caplog, weighted, [345, 345, 310], LABELS["stance"], natural)
    assert record.levelno == logging.INFO


@pytest.mark.slow
def test_a_real_run_says_it(train_run, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="arena"):
        train_run("run", "trainer.max_steps=1", "test=false", "data.sampling=balanced", "loss.class_weight=balanced")
    assert "the sampler (data.sampling) and class weights (loss.class_weight) both correct" in caplog.text


class LabelledPredictions(torch.nn.Module):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, float]] = []

    def at(self, epoch: int, progress: float) -> None:
        self.heard.append((epoch, progress))


class Small(LightningModule):
    """Two numbers to learn, and a loss that may have the hook."""

    def __init__(self, loss: torch.nn.Module) -> None:
        super().__init__()
        self.loss, self.layer = loss, torch.nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor, batch_index: int) -> torch.Tensor:
        return self.layer(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fitted(loss: torch.nn.Module) -> None:
    """Two epochs of two steps, by Lightning itself."""
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[LossSchedule()], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Small(loss), DataLoader(torch.randn(4, 2), batch_size=2))  # pyright: ignore[reportArgumentType]


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
def test_the_loss_hears_of_every_epoch_and_every_batch() -> None:
    loss = LabelledPredictions()
    fitted(loss)
    assert loss.heard == [(0, 0.0), (0, 0.0), (0, 0.25), (1, 0.5), (1, 0.5), (1, 0.75)]
    fitted(torch.nn.Identity())  # has no such method


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        ["loss.class_weight=balanced", "loss.class_weight_from_epoch=2"],
        ["loss.weighting=dynamic", "loss.head.class_weight=sqrt", "loss.head.class_weight_from_epoch=1"],
    ],
    ids=["deferred", "dynamic"],
)
def test_a_resumed_run_ends_with_the_same_bits(train_run, monkeypatch, tmp_path, extra: list[str]) -> None:
    """Stopped in the middle of the epochs 1 and 2 (about ten batches each), before and after the factors set in."""
    import os
    import signal

    from arena.callback.diagnostics import FiniteLoss
    from arena.core.errors import Interrupted

    if "loss.weighting=dynamic" in extra:
        extra = head_settings(write_head_rows(tmp_path / "heads.csv", 120), "data.batch_size=6", *extra)
    settings = [*extra, "data.limit=100", "trainer.max_steps=32", "validate_every=8", "test=false"]
    whole = train_run("whole", *settings)
    original = FiniteLoss.on_train_batch_end
    resume: list[str] = []
    for step in (13, 26):

        def hook(self, trainer, *rest, step=step):
            original(self, trainer, *rest)
            if trainer.global_step == step:
                os.kill(os.getpid(), signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr(FiniteLoss, "on_train_batch_end", hook)
            with pytest.raises(Interrupted):
                train_run("parts", *settings, *resume)
        resume = [f"resume={whole.path.parent / 'parts'}"]
    parts = train_run("parts", *settings, *resume)
    one, other = (read_checkpoint(run.last)["state_dict"] for run in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert any("acting_weight" in name for name in one)
