"""What is validated is what is saved, what trains is put back bit for bit, and frozen weights are left alone."""

from typing import Any

import pytest
import torch
from support import small_folder
from torch import nn

from arena.callback.averaging import ExponentialAverage, TrainedAverage
from arena.config import restore
from arena.config.weights import read_checkpoint
from arena.core.run import RunFolder
from arena.logger import journal

RUN = ["data.limit=160", "trainer.max_steps=12", "validate_every=4", "test=false"]
EMA = ["callback=ema", "callback.ema.decay=0.8"]
CHOICES = {"ema": EMA, "ema-late": [*EMA, "callback.ema.update_starting_at_step=6"], "free": ["optim=schedule_free"]}


def weights(path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)["state_dict"]


def verified(run: RunFolder) -> tuple[float, float]:
    """The recorded validation loss and the one that `arena.evaluate` finds (it insists on 1e-6 itself)."""
    from arena.config import build

    settings = restore.settings_of(run)
    task = restore.rebuild(run, settings)
    found = restore.verify(run, settings, task, build.evaluation_trainer(settings, run), build.data(settings))
    return run.read_result()["validation"]["loss"]["value"], found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("ema", 12),
        ("free", 12),
        pytest.param("ema-late", 12, marks=pytest.mark.slow),
        pytest.param("ema", 14, marks=pytest.mark.slow),
        pytest.param("free", 14, marks=pytest.mark.slow),
    ],
)
def test_the_best_weights_are_those_that_were_validated(name, steps, train_run):
    """Of a validation within the fit (after 4, 8 and 12 steps), and of one after its end (after 14)."""
    run = train_run("run", *RUN, *CHOICES[name], f"trainer.max_steps={steps}")
    recorded, found = verified(run)
    assert found == pytest.approx(recorded, abs=1e-7)
    values = [r["value"] for r in journal.read(run.metrics) if (r["split"], r["name"]) == ("val", "log_loss")]
    assert len(values) == (3 if steps == 12 else 4)
    assert min(values) == run.read_result()["monitor"]["value"]
    if name != "ema-late":  # whose best may lie before the first average
        best, last = weights(run.best), weights(run.last)
        assert not torch.equal(best["model.head.weight"], last["model.head.weight"])


@pytest.mark.slow
def test_validation_does_not_touch_what_trains(train_run):
    """With one validation or four the trained weights end with the same bits; so they do without an average."""
    common = ["data.limit=160", "trainer.max_steps=12", "test=false"]
    for choice in (EMA, CHOICES["free"]):
        once = train_run(f"once-{len(choice)}", *common, *choice, "validate_every=12")
        often = train_run(f"often-{len(choice)}", *common, *choice, "validate_every=3")
        first, second = weights(once.last), weights(often.last)
        assert all(torch.equal(first[key], second[key]) for key in first)
    plain = weights(train_run("plain", *common, "validate_every=12").last)
    averaged = weights(RunFolder(once.path.parent / f"once-{len(EMA)}").last)
    assert all(torch.equal(plain[key], averaged[key]) for key in plain)


def test_the_average_is_its_formula():
    """a = w1, then a ← .8 a + .2 w: 1, .8 + .4 = 1.2, .96 + .6 = 1.56; a frozen weight is no part of it."""
    model: Any = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1).requires_grad_(False))
    average = TrainedAverage(model, 0.8)
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            model[0].weight.fill_(value)
        average.update_parameters(model)
    assert [p.item() for p in average.parameters()] == pytest.approx([1.56])
    assert average.n_averaged.device.type == "cpu", "read at every step"


@pytest.mark.slow
def test_before_the_first_average_the_weights_themselves_are_validated(train_run):
    """Averaging starts after the end: the run is the one without it."""
    late = train_run("late", *RUN, "callback=ema", "callback.ema.update_starting_at_step=100")
    plain = train_run("plain", *RUN)
    assert late.read_result()["monitor"] == plain.read_result()["monitor"]
    first, second = weights(late.best), weights(plain.best)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["ema", "free"])
def test_under_adapters_only_they_are_averaged(choice, train_run, tmp_path):
    """The backbone in bfloat16 is in no checkpoint, and is not changed by averaging it with itself."""
    folder = small_folder("qwen2", tmp_path / "qwen2")
    model = ["model=qwen05b", f"model.path={folder}", "adapter=lora", "adapter.base_precision=bfloat16"]
    run = train_run("run", *RUN, *model, *CHOICES[choice], "data.max_length=48", "optim.lr=1e-3", "toy_rows=600")
    for path in (run.best, run.last):
        names = set(weights(path))
        assert not [name for name in names if name.startswith("model.backbone.") and ".lora_" not in name]
    recorded, found = verified(run)
    assert found == pytest.approx(recorded, abs=1e-6)
    if choice == "ema":
        state = torch.load(run.last, weights_only=True)["callbacks"]["ExponentialAverage"]["average"]
        trained = [name for name in weights(run.last) if ".lora_" in name or name.startswith("model.head.")]
        assert len(state) == len(trained) + 1, "the number of averages besides"


def test_the_default_spans_a_hundred_steps():
    assert ExponentialAverage().decay == 0.99
