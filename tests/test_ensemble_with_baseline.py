"""A run of arena.baseline is a member of an ensemble like any other."""

import csv
import json

import numpy as np
import pytest

from arena.data.source.toy import ToyReader

LABELS = ("model_a", "model_b", "tie")


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["id"] for row in rows], np.array([[float(row[f"winner_{label}"]) for label in LABELS] for row in rows])


@pytest.mark.slow
def test_an_ensemble_of_a_model_and_a_baseline(arena, tmp_path):
    """Each alone, then both with weights fitted on validation: the ensemble is their mean with those weights."""
    with open(tmp_path / "rows.jsonl", "w") as file:
        for row in ToyReader(rows=700, seed=4).table().to_pylist():
            row.pop("true_probability", None)
            file.write(json.dumps(row) + "\n")
    common = ["data=pairs", "data.path=rows.jsonl", "data.near_duplicates=null", "data.val_share=0.3"]
    done = arena("baseline", *common, "output=baseline", "models=[prior,length,structure]")
    assert done.returncode == 0, done.stderr
    done = arena(
        "train", *common, "model.formulation=score", "trainer.max_epochs=2", "hydra.run.dir=run", "resamples=0"
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for name, run in (("baseline", "baseline"), ("run", "run"), ("both", "[run,baseline]")):
        more = ["weights=validation"] if name == "both" else []
        done = arena("predict", f"run={run}", "data.path=rows.jsonl", f"output={name}.csv", *more)
        assert done.returncode == 0, done.stderr
        found[name] = read(tmp_path / f"{name}.csv")
    assert found["both"][0] == found["run"][0] == found["baseline"][0]
    run, baseline, both = (found[name][1] for name in ("run", "baseline", "both"))
    assert np.abs(run - baseline).max() > 0.01
    # One weight explains every row and class.
    weight = ((both - baseline) * (run - baseline)).sum() / ((run - baseline) ** 2).sum()
    assert 0 <= weight <= 1
    np.testing.assert_allclose(both, weight * run + (1 - weight) * baseline, atol=1e-9)
    assert both.sum(1) == pytest.approx(1)
