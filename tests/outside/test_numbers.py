"""Numbers that several commands print are the same number, and an interval holds its estimate."""

import json
import random

import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score
from support import head_settings

CLASSES = {"stance": ["AGAINST", "FAVOR", "NONE"], "sentiment": ["negative", "positive"]}
SIGNS = {"AGAINST": "xxxx", "FAVOR": "yyyy", "negative": "----", "positive": "++++"}


@pytest.fixture
def rows_without_a_class(tmp_path):
    """Texts of two heads; the class NONE, which the command line names, occurs in no row."""
    draw = random.Random(0)
    lines = ["id,text,stance,sentiment"]
    for i in range(300):
        true = [draw.choice(CLASSES["stance"][:2]), draw.choice(CLASSES["sentiment"])]
        labels = [
            label if draw.random() < 0.85 else other for label, other in zip(true, ("FAVOR", "negative"), strict=True)
        ]
        lines.append(f"r{i},{' '.join(SIGNS[each] for each in true)} {i:03d},{','.join(labels)}")
    (tmp_path / "heads.csv").write_text("\n".join(lines) + "\n")
    return "heads.csv"


@pytest.mark.slow
def test_every_command_gives_the_macro_f1_of_scikit_learn_where_a_class_is_absent(
    shell, tmp_path, rows_without_a_class
):
    settings = head_settings(rows_without_a_class, "trainer.max_steps=40", "resamples=20", "data.split_seed=0")
    settings += ["data.classes={stance: [AGAINST,FAVOR,NONE]}", "validate_every=20"]
    for seed in (0, 1):
        answer = shell("train", *settings, f"seed={seed}", f"hydra.run.dir=run{seed}").ok()
    said = "macro_f1 leaves out a class that occurs neither in the targets nor in the predictions: stance/NONE"
    assert said in answer.out
    assert said in shell("calibrate", "run=run0", "resamples=20").ok().out
    assert said in shell("compare", "base=run0", "other=run1", "resamples=100", "output=c").ok().out

    trained = json.loads((tmp_path / "run0/result.json").read_text())["test"]
    calibrated = json.loads((tmp_path / "run0/calibration.json").read_text())["compared"]
    compared = json.loads((tmp_path / "c/comparison.json").read_text())["measures"]
    table = pq.read_table(tmp_path / "run0/predictions/test.parquet").to_pydict()
    for head, classes in CLASSES.items():
        rows = [i for i, target in enumerate(table[f"target_{head}"]) if target]
        predicted = [max(classes, key=lambda c, i=i, h=head: table[f"probability_{h}_{c}"][i]) for i in rows]
        expected = f1_score([table[f"target_{head}"][i] for i in rows], predicted, average="macro")
        assert trained[f"{head}/macro_f1"]["value"] == pytest.approx(expected, abs=1e-6)
        assert calibrated[head]["macro_f1"]["before"]["value"] == pytest.approx(expected, abs=1e-6)
        assert compared[f"{head}/macro_f1"]["base"] == pytest.approx(expected, abs=1e-6)
    assert trained["stance/macro_f1"]["denominator"] == 2

    # Every interval holds its estimate, in files and tables; the change of a calibration error has none.
    for name, entry in trained.items():
        known = entry.get("low") is not None
        assert not known or entry["low"] <= entry["value"] <= entry["high"], name
        assert known == ("debiased" in entry) or "calibration_error" not in name, name
    for name, sides in calibrated["stance"].items():
        assert (sides["change"]["low"] is None) == ("calibration_error" in name), name
    assert any(
        line.split()[0] == "calibration_error" and "debiased" in line for line in answer.out.splitlines() if line
    )
