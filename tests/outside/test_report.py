"""`arena.report` counts what is a run, and ranks only what can be ranked."""

import csv
import json

import pytest
import yaml


def write_run(folder, value, seed=0, data="d1", rows="r1", monitor="val/log_loss", mode="min"):
    """The files of a finished run that a report reads."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([f"seed={seed}"]))
    (folder / ".hydra" / "config.yaml").write_text("a: 1\n")
    (folder / "config.yaml").write_text("a: 1\n")
    result = {"status": "completed", "monitor": {"name": monitor, "mode": mode, "value": value}}
    known = {"fingerprint": data, "validation_fingerprint": rows, "formats": {"a.csv": "pairs"}, "splits": {"val": 20}}
    (folder / "result.json").write_text(json.dumps(result | {"data": known}))


@pytest.mark.slow
def test_a_report_of_one_run_is_its_learning_curves(shell, tmp_path):
    run = tmp_path / "outputs" / "default" / "a"
    write_run(run, 0.5)
    shell("report", "outputs/default/a").refused(74, "nothing is logged yet")
    (run / "metrics.csv").write_text("step,epoch,split,name,value\n5,0,train,loss,2.0\n5,0,val,log_loss,0.5\n")
    assert "outputs/default/a/report/curves.png" in shell("report", "outputs/default/a").ok().out
    assert (run / "report" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "report.html").exists()


@pytest.mark.slow
def test_hidden_folders_and_folders_of_anything_else_are_no_runs(shell, tmp_path):
    parent = tmp_path / "outputs" / "default"
    write_run(parent / "a", 0.5)
    write_run(parent / ".trash", 0.1)
    (parent / "notes").mkdir()
    (parent / "notes" / "config.yaml").write_text("a: 1\n")
    (parent / "notes.txt").touch()
    answer = shell("report", "outputs/default").ok()
    assert "default: 1 complete; the best" in answer.out
    (parent / "a" / "config.yaml").unlink()
    for module, key in (("compare", "runs"), ("evaluate", "run"), ("predict", "run")):
        given = [f"{key}=outputs/default/a", *(["by=seed"] if module == "compare" else [])]
        given += ["data.path=x.csv", "output=y.csv"] if module == "predict" else []
        shell(module, *given).refused(74, "config.yaml")


@pytest.mark.slow
def test_runs_on_other_data_splits_or_monitors_are_ranked_apart(shell, tmp_path):
    parent = tmp_path / "outputs" / "default"
    write_run(parent / "a", 0.5, seed=0)
    write_run(parent / "b", 0.4, seed=1)
    write_run(parent / "c", 0.1, data="d2")
    write_run(parent / "d", 0.2, rows="r2")
    write_run(parent / "e", 0.9, monitor="val/accuracy", mode="max")
    (parent / "best.yaml").write_text("of an earlier report\n")
    answer = shell("report", "outputs/default").ok()
    assert "runs on 4 different data, splits or monitors cannot be ranked" in answer.out
    assert not (parent / "best.yaml").exists()
    tables = [(parent / f"groups/{i}/summary.csv").read_text().splitlines() for i in range(4)]
    trials = [list(csv.DictReader(lines)) for lines in tables]
    assert [[trial["trial"] for trial in some] for some in trials] == [["0", "1"], ["2"], ["3"], ["4"]]
    page = (parent / "report.html").read_text()
    assert all(f'href="groups/{i}/report.html"' in page for i in range(4))


@pytest.mark.slow
def test_single_runs_record_what_they_are_judged_on(shell, tmp_path):
    """Two seeds have the same validation rows, another split has others; the folds of one division go together."""
    small = ["data.limit=150", "data.batch_size=16", "trainer.max_steps=2", "resamples=0", "baselines=[]"]
    runs = {"a": [], "b": ["seed=1"], "c": ["data.split_seed=3"]}
    runs |= {f"fold{i}": ["data.folds=3", f"data.fold={i}"] for i in (0, 1)}
    found = {}
    for name, given in runs.items():
        shell("train", *small, *given, f"hydra.run.dir={name}").ok()
        found[name] = json.loads((tmp_path / name / "result.json").read_text())["data"]["validation_fingerprint"]
    assert found["a"] == found["b"] != found["c"]
    assert found["fold0"] == found["fold1"] not in (found["a"], found["c"])
