"""`resume=FOLDER`, typed: what it starts from, what it refuses, and what stays as it is."""

import json
import shutil
from pathlib import Path

import pytest


def digests(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.slow
def test_resume_leaves_a_finished_run_as_it_is(shell, pairwise_run, tmp_path):
    run = shutil.copytree(pairwise_run, tmp_path / "run")
    before = digests(run)
    refused = {
        "trainer.max_steps=12": "has 12 steps behind it",
        "trainer.max_steps=3": "has 12 steps behind it",
        "seed=3": "is finished, so this would change nothing",
        "loss=focal": "a run goes on with the loss that it has",
        "optim.lr=abc": "a number greater than 0 is needed",
        "optim.lrr=1": "did you mean 'lr'?",
        "run_dir=elsewhere": "a run goes on in its own folder",
        "-m": "a run that goes on takes keys only",
    }
    for given, words in refused.items():
        shell("train", "resume=run", given).refused(2, given.partition("=")[0], words)
    assert "is finished (completed) and stays as it is" in shell("train", "resume=run").ok().out
    assert digests(run) == before


@pytest.mark.slow
def test_resume_with_other_versions_is_accepted_by_name(shell, pairwise_run, tmp_path):
    run = shutil.copytree(pairwise_run, tmp_path / "a run (x)")
    result = json.loads((run / "result.json").read_text())
    result["versions"] |= {"torch": "2.0.1", "python": "3.9.1"}
    result["git"]["commit"] = "0" * 40
    (run / "result.json").write_text(json.dumps(result))
    shutil.rmtree(run / ".hydra")  # the command line that began the run is not needed
    more = ["resume=a run (x)", "trainer.max_steps=13"]
    line = shell("train", *more).refused(2, "torch 2.0.1, now", "python 3.9.1, now", "accept_versions=true")
    assert json.loads((run / "result.json").read_text()) == result, line
    answer = shell("train", *more, "accept_versions=true").ok()
    assert "its numbers may change from here on" in answer.out + answer.err
    done = json.loads((run / "result.json").read_text())
    assert (done["status"], done["steps"]) == ("completed", 13)
    assert "accept_versions: false" not in (run / "config.yaml").read_text()


@pytest.mark.slow
def test_run_typed_again_after_a_kill_before_its_first_checkpoint_has_one_journal(shell, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "metrics.csv").write_text("step,epoch,split,name,value\n1,0,train,loss,9.5\n")
    shell("train", "trainer=debug", "test=false", "baselines=[]", "resamples=0", "hydra.run.dir=r").ok()
    lines = (tmp_path / "r" / "metrics.csv").read_text().splitlines()
    assert lines.count("step,epoch,split,name,value") == 1
    assert "1,0,train,loss,9.5" not in lines
