"""What a person sees of a running sweep."""

import io

import pytest
from rich.console import Console

from arena.logger.journal import Journal
from arena.sweep import table
from arena.sweep.outcome import Outcome
from arena.sweep.table import Watch


@pytest.fixture
def trial(tmp_path):
    """A trial's folder after two validations."""
    journal = Journal(tmp_path / "metrics.csv")
    for step, value in ((5, 0.9), (10, 0.7)):
        journal.log_metrics({"val/log_loss": value, "val/accuracy": 0.1, "epoch": 0}, step)
    return tmp_path


def test_plain_lines_tell_each_start_and_end_and_the_best(capsys):
    with Watch(4, ["minimize"], ["log_loss"], done=1, best=0.6) as watch:
        watch.started(1, {"optim.lr": 0.00123456, "loss": "focal"})
        watch.finished(1, Outcome("complete", [0.5], None, 0, 10.0))
        watch.started(2, {"optim.lr": 0.1})
        watch.finished(2, Outcome("out_of_memory", None, "out of memory: lower it", 77, 20.0))
        watch.note("a word")
    assert capsys.readouterr().out.splitlines() == [
        "trial 1 started: optim.lr=0.001235 loss=focal",
        # Two are left, at 10 seconds each.
        "trial 1 complete in 10 s: 0.5000, best so far; 2 of 4 trials, best 0.5000 (trial 1), about 20 s left",
        "trial 2 started: optim.lr=0.1",
        "trial 2 out of memory in 20 s: out of memory: lower it; 3 of 4 trials, best 0.5000 (trial 1), about 15 s left",
        "a word",
    ]


def test_a_preempted_trial_is_not_counted_and_maximize_is_obeyed(capsys):
    watch = Watch(2, ["maximize"], ["accuracy"])
    watch.started(0, {})
    watch.finished(0, Outcome("preempted", None, "stopped by SIGTERM", 143, 1.0))
    assert watch.done == 0
    for number, value in ((1, 0.4), (2, 0.3)):
        watch.started(number, {})
        watch.finished(number, Outcome("complete", [value], None, 0, 1.0))
    assert (watch.best, watch.best_number) == (0.4, 1)
    assert watch.time_left() is None


def test_progress_follows_the_journal_and_survives_a_torn_line(trial):
    watch = Watch(2, ["minimize"], ["log_loss"], monitor="val/log_loss")
    watch.started(0, {"optim.lr": 0.1})
    watch.progress(0, trial / "not yet")
    assert watch.lines[0].step is None
    watch.progress(0, trial)
    assert (watch.lines[0].step, watch.lines[0].best) == (10, 0.7)
    with open(trial / "metrics.csv", "a") as file:
        file.write("15,0,val,log_loss,0.8\n20,0,val,log_l")
    watch.progress(0, trial)
    assert (watch.lines[0].step, watch.lines[0].best) == (15, 0.7)
    with open(trial / "metrics.csv", "a") as file:
        file.write("oss,0.6\n25,0,val,log_loss,nan\n26,0,val,log_loss,x\n")
    watch.progress(0, trial)
    assert (watch.lines[0].step, watch.lines[0].best) == (26, 0.6)


def test_running_trials_are_mentioned_now_and_then(trial, capsys, monkeypatch):
    monkeypatch.setattr(table, "EVERY", -1.0)
    watch = Watch(2, ["minimize"], ["log_loss"], monitor="val/log_loss")
    watch.started(7, {})
    watch.progress(7, trial)
    assert "running: trial 7 at step 10 with 0.7000; 0 of 2 trials" in capsys.readouterr().out


def test_the_table_shows_values_states_and_markup_as_it_is():
    watch = Watch(None, ["minimize", "maximize"], ["log_loss", "distinct"])
    watch.started(0, {"loss.lambda": 0.25})
    watch.finished(0, Outcome("complete", [0.5, 0.75], None, 0, 200.0))
    watch.started(1, {"data.labels": "[red]a[/]"})
    watch.finished(1, Outcome("diverged", None, "the loss is not finite", 76, 5.0))
    watch.started(2, {"loss.lambda": 1})
    screen = io.StringIO()
    Console(file=screen, width=140).print(watch.table())
    lines = screen.getvalue().splitlines()
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]] for line in lines if "│" in line
    }
    assert rows["0"] == ["loss.lambda=0.25", "complete", "", "0.5000", "0.7500", "3 min"]
    assert rows["1"][:2] == ["data.labels=[red]a[/]", "diverged: the loss is not finite"]
    assert rows["2"][1] == "running"
    assert "2 trials" in lines[-1]


def test_a_terminal_gets_a_live_table(monkeypatch, capsys):
    monkeypatch.setattr(table, "terminal", lambda: True)
    with Watch(1, ["minimize"], ["log_loss"]) as watch:
        watch.started(0, {"optim.lr": 0.5})
        watch.note("a word [bold]as it is")
        watch.finished(0, Outcome("complete", [0.5], None, 0, 1.0))
    shown = capsys.readouterr().out
    assert "a word [bold]as it is" in shown
    assert "trial 0 complete" not in shown
    assert "0.5000" in shown
