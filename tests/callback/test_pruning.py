"""A trial of a sweep that does worse than the others is stopped; trouble with the sweep's storage stops nothing."""

import csv
import json
import logging
import sqlite3
import subprocess
import sys
from typing import Literal

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution

from arena.callback.pruning import Pruning
from arena.logger.journal import read
from arena.sweep import process
from arena.sweep.pool import Pool
from arena.sweep.result import read_trial_result

FOUR = ["trainer.max_steps=8", "validate_every=2", "schedule.warmup=0", "data.limit=60", "baselines=[]"]
"""Four validations."""
MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 2, "n_warmup_steps": 1}


@pytest.fixture
def study(tmp_path):
    """`study(value)` gives the storage of a study with three finished trials that had this value at each of their four
    validations, and a running trial, number 3."""

    def make(value: float, direction: Literal["minimize", "maximize"] = "minimize") -> tuple[str, optuna.Study]:
        storage = f"sqlite:///{tmp_path / 'study.db'}"
        made = optuna.create_study(study_name="s", storage=storage, direction=direction)
        space: dict[str, BaseDistribution] = {"optim.lr": FloatDistribution(0, 1)}
        for _ in range(3):
            steps = dict.fromkeys(range(4), value)
            made.add_trial(
                optuna.trial.create_trial(
                    params={"optim.lr": 0.5}, distributions=space, value=value, intermediate_values=steps
                )
            )
        assert made.ask(space).number == 3
        return storage, made

    return make


@pytest.fixture
def told(monkeypatch):
    """Make this process a trial."""

    def tell(storage: str, objectives: tuple[str, ...] = ("monitor",), pruner: dict | None = None) -> None:
        variables = process.trial_variables(storage, "s", 3, list(objectives), MEDIAN if pruner is None else pruner)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return tell


@pytest.mark.slow
def test_a_trial_worse_than_the_median_is_pruned_with_its_best_value_kept(train_run, study, told, capsys):
    storage, made = study(0.01)
    told(storage)
    run = train_run("worse", *FOUR)
    result = run.read_result()
    rows = [row for row in read(run.metrics) if (row["split"], row["name"]) == ("val", "log_loss")]
    # The first validation is warm-up: the second is the first at which the median is asked.
    assert [row["step"] for row in rows] == [2, 4]
    assert result["status"] == "pruned"
    assert result["reason"] == "pruned by MedianPruner at validation 2"
    assert result["steps"] == 4
    assert result["test"] is None
    assert "validation" not in result
    assert result["monitor"]["value"] == min(row["value"] for row in rows)
    lines = [line for line in capsys.readouterr().out.splitlines() if "pruned by" in line]
    assert len(lines) == 1
    assert made.trials[3].intermediate_values == pytest.approx({0: rows[0]["value"], 1: rows[1]["value"]}, rel=1e-6)
    found = read_trial_result(run.path, 0, ["monitor"])
    assert (found.kind, found.values) == ("pruned", [result["monitor"]["value"]])


@pytest.mark.slow
def test_a_trial_better_than_the_median_runs_to_its_end(train_run, study, told):
    storage, made = study(5.0)
    told(storage)
    run = train_run("better", *FOUR, "test=false")
    assert run.read_result()["status"] == "completed"
    assert sorted(made.trials[3].intermediate_values) == [0, 1, 2, 3]


@pytest.mark.slow
def test_the_last_validation_never_prunes(train_run, study, told):
    """Four validations, the first three of them warm-up: the trial is over when it could be pruned, so it counts."""
    storage, made = study(0.01)
    told(storage, pruner=MEDIAN | {"n_warmup_steps": 3})
    assert train_run("last", *FOUR, "test=false").read_result()["status"] == "completed"
    assert sorted(made.trials[3].intermediate_values) == [0, 1, 2, 3]


@pytest.mark.slow
def test_another_validation_value_may_be_the_objective(train_run, study, told):
    storage, made = study(1.0, "maximize")
    told(storage, ("validation.accuracy.value",))
    run = train_run("accuracy", *FOUR)
    assert run.read_result()["status"] == "pruned"
    rows = [row["value"] for row in read(run.metrics) if (row["split"], row["name"]) == ("val", "accuracy")]
    assert list(made.trials[3].intermediate_values.values()) == pytest.approx(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objectives", "choice", "words"),
    [
        (("monitor", "validation.accuracy.value"), MEDIAN, "several objectives cannot prune"),
        (("generations.val.measures.distinct_2.value",), MEDIAN, "known at the end only"),
        (("monitor",), {"_target_": "optuna.pruners.NopPruner"}, None),
    ],
)
def test_where_nothing_can_be_pruned_it_is_said_once(train_run, study, told, caplog, objectives, choice, words):
    storage, made = study(0.01)
    told(storage, objectives, choice)
    logging.getLogger("arena").propagate = True
    with caplog.at_level(logging.INFO, "arena"):
        run = train_run("all", *FOUR, "test=false")
    assert run.read_result()["status"] == "completed"
    assert made.trials[3].intermediate_values == {}
    assert sum(str(words) in message for message in caplog.messages) == (words is not None)


@pytest.mark.slow
def test_optuna_is_not_imported_outside_of_a_sweep(tmp_path):
    code = (
        "import sys; from lightning.pytorch import Trainer; from arena.callback.pruning import Pruning;"
        "callback = Pruning('val/log_loss'); callback.on_fit_start(Trainer(logger=False, accelerator='cpu'), None);"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('optuna', 'sqlalchemy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["gone", "foreign", "locked"])
def test_trouble_with_the_storage_is_told_and_changes_nothing(train_run, study, told, caplog, tmp_path, trouble):
    storage, _ = study(0.01)
    lock = sqlite3.connect(tmp_path / "study.db")
    if trouble == "gone":
        storage = f"sqlite:///{tmp_path / 'nowhere' / 'study.db'}"
    elif trouble == "foreign":
        (tmp_path / "foreign.db").write_bytes(b"no database" * 100)
        storage = f"sqlite:///{tmp_path / 'foreign.db'}"
    else:
        lock.execute("BEGIN EXCLUSIVE")
    told(storage)
    logging.getLogger("arena").propagate = True
    with caplog.at_level(logging.WARNING, "arena"):
        # A wait of 0.2 seconds in all: SQLite alone would wait 5 seconds for the lock at every report.
        run = train_run("trouble", *FOUR, "test=false", "callback.pruning.patience=0.2")
    lock.close()
    assert run.read_result()["status"] == "completed"
    told_of = [message for message in caplog.messages if "storage" in message]
    assert len(told_of) in (1, 2)
    assert all("the training goes on" in message for message in told_of)


def test_the_count_of_validations_survives_a_resume():
    callback = Pruning("val/log_loss")
    assert callback.state_dict() == {}
    callback.load_state_dict({"validations": 4})
    assert callback.state_dict() == {"validations": 4}


@pytest.mark.slow
def test_two_processes_stop_together_and_train_with_the_same_settings(tmp_path, study):
    """DDP x 2 inside a trial: the second process is told nothing by the sweep and stops at the same step."""
    storage, made = study(0.01)
    variables = process.trial_variables(storage, "s", 3, ["monitor"], MEDIAN)
    overrides = ["data.batch_size=8", "resamples=0", "evaluate.figures=false", "optim.lr=0.0017"]
    overrides += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "logger=wandb", *FOUR]
    crew = Pool([{"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}], variables=lambda _: variables)
    crew.submit(3, overrides, tmp_path / "3")
    ((_, outcome),) = crew.finished(wait=300)
    text = (tmp_path / "3" / "trial.log").read_text()
    assert outcome.kind == "pruned", text
    assert json.loads((tmp_path / "3" / "result.json").read_text())["steps"] == 4
    assert sorted(made.trials[3].intermediate_values) == [0, 1]
    assert text.count("rows are truncated") == 1  # the first process alone speaks
    # What each process saw, as it wrote it into the log itself.
    lines = [line.partition("settings ")[2] for line in (tmp_path / "3" / "run.log").read_text().splitlines()]
    seen = [line for line in lines if line]
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert len(list((tmp_path / "3").glob("wandb/offline-run-*"))) == 1
    with open(tmp_path / "3" / "metrics.csv") as file:
        names = [(row["step"], row["name"]) for row in csv.DictReader(file) if row["split"] == "val"]
    assert len(names) == len(set(names))  # one process writes
