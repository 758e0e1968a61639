"""`python -m arena.evaluate`, typed."""

import json

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pairwise", "heads", "replies"])
def test_evaluate_reproduces_the_recorded_loss(shell, trained, tmp_path, kind):
    import shutil

    run = shutil.copytree(trained(kind), tmp_path / "run")
    recorded = json.loads((run / "result.json").read_text())["validation"]["loss"]["value"]
    answer = shell("evaluate", "run=run").ok()
    assert f"{recorded:.4f}"[:6] in answer.out + answer.err
