"""Twenty steps of training, number by number, against curves that were looked at once.

A change that is not meant to change numbers must not. One that is meant to rewrites the curves, and says why in its
commit: `ARENA_GOLDEN=write python -m pytest tests/test_golden.py`. fp32; other processors add in another order, hence
the tolerance.
"""

import json
import os
from pathlib import Path

import pytest

from arena.callback import journal
from arena.run import versions

FOLDER = Path(__file__).parent / "golden"
CURVES = {
    "toy_cross_entropy": [],
    "toy_focal": ["loss=focal", "loss.gamma=2", "loss.label_smoothing=0.05"],
    "qwen2_linear_schedule": [
        "model=qwen05b", "model.pretrained=false", "model.architecture.num_hidden_layers=2", "optim.lr=1e-3",
        "model.architecture.hidden_size=32", "model.architecture.num_attention_heads=2", "data.max_length=96",
        "model.architecture.num_key_value_heads=1", "model.architecture.intermediate_size=48",
        "model.architecture.vocab_size=300", "trainer.accumulate_grad_batches=2",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
def test_curve(name, train_run):
    run = train_run(name, *CURVES[name], "trainer.max_steps=20", "trainer.max_epochs=50", "trainer.log_every_n_steps=1")
    rows = [row for row in journal.read(run.metrics) if row["split"] == "train"]
    curve = {n: [row["value"] for row in rows if row["name"] == n] for n in ("loss", "gradient_norm", "learning_rate")}
    curve["validation"] = [
        row["value"] for row in journal.read(run.metrics) if (row["split"], row["name"]) == ("val", "log_loss")
    ]
    path = FOLDER / f"{name}.json"
    if os.environ.get("ARENA_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"versions": versions(), "curve": curve}, indent=1) + "\n")
    golden = json.loads(path.read_text())["curve"]
    assert len(curve["loss"]) == 20
    for key, values in golden.items():
        assert curve[key] == pytest.approx(values, rel=2e-3, abs=1e-5), key
    # Errors that all lean to one side are a change, however small; rounding leans to none.
    drift = sum(a - b for a, b in zip(curve["loss"], golden["loss"], strict=True)) / 20
    assert abs(drift) < 5e-4
