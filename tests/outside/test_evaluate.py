"""`python -m arena.evaluate`, typed."""

import json
import shutil

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pairwise", "heads", "replies"])
def test_evaluate_reproduces_the_recorded_loss(shell, trained, tmp_path, kind):
    run = shutil.copytree(trained(kind), tmp_path / "run")
    recorded = json.loads((run / "result.json").read_text())["validation"]["loss"]["value"]
    answer = shell("evaluate", "run=run").ok()
    assert f"{recorded:.4f}"[:6] in answer.out + answer.err


@pytest.mark.slow
def test_evaluate_reproduces_the_loss_of_a_few_validation_batches(shell):
    """A run that validates on part of the split (`trainer=debug`) is held against the same part."""
    shell("train", "trainer=debug", "hydra.run.dir=e").ok()
    assert "reproduces the recorded validation loss" in shell("evaluate", "run=e").ok().out


@pytest.mark.slow
def test_an_unknown_data_key_is_named_before_a_file_is_asked_for(shell, pairwise_run):
    shell("evaluate", f"run={pairwise_run}", "data.pth=x").refused(2, "data.pth: no such key; did you mean 'path'?")
