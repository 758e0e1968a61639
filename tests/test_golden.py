"""Twenty steps of training, number by number, against curves that were looked at once.

A change that is not meant to change numbers must not. One that is meant to rewrites the curves, and says why in its
commit: `ARENA_GOLDEN=write python -m pytest tests/test_golden.py`.

fp32. Other processors add in another order. With the kernels of older ones (ATEN_CPU_CAPABILITY=default
MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=SSE41, and the same for AVX2) and with two threads no value moved by more than
5e-7 of itself (R-Drop, a difference, by 2e-6), and no mean of the losses by more than 2e-7: the tolerances are 50
times that and more. Replies are sampled at two steps only: a rounding that turns one token into another would be
another curve.
"""

import json
import os
from pathlib import Path

import pytest
from support import head_settings, write_head_rows

from arena.core.run import versions
from arena.logger import journal

FOLDER = Path(__file__).parent / "golden"
REPLIES = [
    "task=sft", "toy_rows=150", "model.architecture.hidden_size=16",
    "model.architecture.num_hidden_layers=1",
]  # fmt: skip
CURVES = {
    "toy_cross_entropy": [],
    "toy_focal": ["loss=focal", "loss.gamma=2", "loss.label_smoothing=0.05"],
    "qwen2_linear_schedule": [
        "model=qwen05b", "model.pretrained=false", "model.architecture.num_hidden_layers=2", "optim.lr=1e-3",
        "model.architecture.hidden_size=32", "model.architecture.num_attention_heads=2", "data.max_length=96",
        "model.architecture.num_key_value_heads=1", "model.architecture.intermediate_size=48",
        "model.architecture.vocab_size=300", "trainer.accumulate_grad_batches=2",
    ],
    "heads": [
        "loss@loss.head=focal", "loss.head.alpha=sqrt", "loss.weighting=uncertainty", "loss.rdrop.alpha=0.5",
        "data.copies=2",
    ],
    "replies": [*REPLIES, "loss.label_smoothing=0.1"],
    "polychromic": [
        *REPLIES, "loss=polychromic", "loss.compute_every_n_steps=10", "loss.n_generations=3",
        "loss.max_examples_for_diversity=2", "loss.max_new_tokens=4",
    ],
}  # fmt: skip
NAMES = ["loss", "gradient_norm", "learning_rate"]
MORE = {"heads": ["loss_stance", "loss_sentiment", "rdrop"], "polychromic": ["diversity", "gradient_ratio"]}


@pytest.mark.parametrize("name", CURVES)
def test_curve(name, train_run, tmp_path):
    chosen = CURVES[name]
    if name == "heads":
        chosen = head_settings(write_head_rows(tmp_path / "heads.csv", 120), *chosen)
    common = ["trainer.max_steps=20", "trainer.max_epochs=50", "trainer.log_every_n_steps=1", "test=false"]
    run = train_run(name, *chosen, *common, "baselines=[]")
    rows = [row for row in journal.read(run.metrics) if row["split"] == "train"]
    curve = {n: [row["value"] for row in rows if row["name"] == n] for n in NAMES + MORE.get(name, [])}
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
        assert curve[key] == pytest.approx(values, rel=1e-4, abs=1e-6), key
    # Errors that all lean to one side are a change, however small; rounding leans to none.
    drift = sum(a - b for a, b in zip(curve["loss"], golden["loss"], strict=True)) / 20
    assert abs(drift) < 1e-5
