"""The loop of a sweep: totals, resuming, seeds, failures, several objectives, many workers and controllers."""

import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeps import Instant, Stand, kinds, numbers, plan_of, run, valley

from arena.core.errors import ArenaError, UsageError
from arena.sweep.result import TrialResult
from arena.sweep.study import Study

LR = "optim.lr=tag(log,interval(1e-5,1e-1))"
GAMMA = ["loss=focal", "loss.gamma=interval(0,4)"]


def trials(n: int) -> str:
    return f"hydra.sweeper.n_trials={n}"


@pytest.mark.slow
def test_the_same_command_goes_on_to_the_total(tmp_path):
    folder = tmp_path / "study"
    first = run(plan_of(folder, LR, trials(3)))
    assert numbers(first) == [0, 1, 2]
    before = [trial.params for trial in first.trials()]
    stand = Stand()
    second = run(plan_of(folder, LR, trials(5)), stand)
    assert numbers(second) == list(range(5))
    assert sorted(stand.given) == [3, 4]
    assert [trial.params for trial in second.trials()][:3] == before
    assert kinds(second) == ["complete"] * 5
    for trial in second.trials():
        assert math.isclose(trial.value, valley(trial.params))
        assert (folder / str(trial.number) / "result.json").is_file()
        assert trial.user_attrs["folder"] == str(trial.number)
        assert trial.user_attrs["exit_code"] == 0
    idle = Stand()
    assert numbers(run(plan_of(folder, LR, trials(5)), idle)) == list(range(5))
    assert not idle.given


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tpe", "random", "cmaes", "qmc", "nsgaii", "nsgaiii", "gp"])
def test_the_next_suggestion_depends_on_seed_and_history_alone(tmp_path, name):
    """Stopped after 4 and never: the same trials (TPE and GP leave their random start after 10)."""
    chosen = [LR, *GAMMA, f"hydra/sweeper/sampler={name}"]
    wanted = 12 if name in ("tpe", "gp") else 7
    whole = run(plan_of(tmp_path / "whole", *chosen, trials(wanted)), Instant())
    for total in (4, wanted):
        parts = run(plan_of(tmp_path / "parts", *chosen, trials(total)), Instant())
    assert [t.params for t in parts.trials()] == [t.params for t in whole.trials()]  # pyright: ignore
    assert len({str(t.params) for t in whole.trials()}) == wanted
    if name == "random":
        other = run(plan_of(tmp_path / "other", *chosen, "seed=1", trials(1)), Instant())
        assert other.trials()[0].params != whole.trials()[0].params


@pytest.mark.slow
def test_tpe_finds_the_valley(tmp_path):
    study = run(plan_of(tmp_path / "study", LR, trials(30)), Instant())
    assert study.study.best_value < 0.05
    assert len([t for t in study.trials()[10:] if t.value < 0.5]) > 10


ENDS = {
    0: ({"status": "failed", "reason": "broken"}, 1),
    1: ({"status": "diverged", "reason": "the loss is not finite"}, 76),
    2: ({"status": "failed", "reason": "out of memory: lower it"}, 77),
    3: ({"monitor": {"value": None}}, 0),
    5: ({"status": "pruned", "reason": "worse"}, 0),
}


@pytest.mark.slow
def test_a_bad_trial_does_not_end_the_sweep(tmp_path):
    study = run(plan_of(tmp_path / "study", LR, trials(8)), Stand(ENDS))
    expected = ["failed", "diverged", "out_of_memory", "failed", "complete", "pruned", "complete", "complete"]
    assert kinds(study) == expected
    states = [trial.state.name for trial in study.trials()]
    assert states == ["FAIL"] * 4 + ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE"]
    assert "broken" in study.trials()[0].user_attrs["reason"]


@pytest.mark.slow
def test_too_many_failures_end_it_and_can_be_tried_again(tmp_path):
    folder = tmp_path / "study"
    with pytest.raises(ArenaError, match="3 of 8 trials failed, more than hydra.sweeper.max_failure_rate=0.25") as end:
        run(plan_of(folder, LR, trials(8), "hydra.sweeper.max_failure_rate=0.25"), Stand(ENDS))
    assert end.value.code == 1
    again = plan_of(folder, LR, trials(8), "hydra.sweeper.max_failure_rate=0.25", "hydra.sweeper.retry_failed=true")
    study = run(again, Stand({}))
    assert len(study.counted()) == 8
    assert {t.user_attrs["kind"] for t in study.counted()} == {"complete"}
    retries = {t.user_attrs["retry_of"]: t.params for t in study.trials() if "retry_of" in t.user_attrs}
    assert retries == {n: study.trials()[n].params for n in (0, 1, 2)}


@pytest.mark.slow
def test_preempted_trials_are_tried_again_with_the_same_values(tmp_path):
    gone = ({"status": "preempted", "reason": "stopped by SIGTERM"}, 143)
    study = run(plan_of(tmp_path / "study", LR, trials(3)), Stand({1: gone}))
    assert kinds(study) == ["complete", "preempted", "complete", "complete"]
    assert study.trials()[2].params == study.trials()[1].params
    assert study.trials()[2].user_attrs["retry_of"] == 1
    always = run(plan_of(tmp_path / "always", LR, trials(2)), Stand(dict.fromkeys(range(4), gone)))
    assert kinds(always) == ["preempted"] * 3 + ["failed", "complete"]


@pytest.mark.slow
def test_trials_that_nobody_runs_any_more_are_settled(tmp_path):
    """As after kill -9 of the controller: one had just finished, one ran, one had not begun."""
    folder = tmp_path / "study"
    plan = plan_of(folder, LR, trials(4))
    folder.mkdir()
    left = Study(plan)
    for _ in range(2):
        assert left.ask()
    left.study.ask()
    (folder / "0").mkdir()
    (folder / "0" / "result.json").write_text('{"status": "completed", "monitor": {"value": 0.25}}')
    (folder / "1").mkdir()
    study = run(plan, Stand())
    assert kinds(study)[:3] == ["complete", "preempted", "preempted"]
    assert study.trials()[0].value == 0.25
    assert study.trials()[3].params == study.trials()[1].params
    assert len(study.counted()) == 4
    assert {t.state.name for t in study.trials()} == {"COMPLETE", "FAIL"}


def test_a_late_word_about_a_settled_trial_changes_nothing(tmp_path):
    study = run(plan_of(tmp_path / "study", LR, trials(1)))
    study.record(0, TrialResult("complete", [-5.0]))
    assert study.trials()[0].value == valley(study.trials()[0].params)


@pytest.mark.slow
def test_starting_points_come_first(tmp_path):
    starts = "hydra.sweeper.enqueue=[{optim.lr: 1e-4},{optim.lr: 1e-2, loss.gamma: 1}]"
    study = run(plan_of(tmp_path / "study", LR, *GAMMA, starts, trials(4)))
    assert study.trials()[0].params["optim.lr"] == 1e-4
    assert study.trials()[1].params == {"optim.lr": 1e-2, "loss.gamma": 1.0}
    again = run(plan_of(tmp_path / "study", LR, *GAMMA, starts, trials(6)))
    assert [t.params["optim.lr"] for t in again.trials()].count(1e-4) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nsgaii", "tpe"])
def test_several_objectives(tmp_path, name):
    both = [
        "hydra.sweeper.objectives=[monitor,validation.entropy.value]",
        "hydra.sweeper.direction=[minimize,maximize]",
    ]
    study = run(plan_of(tmp_path / "study", LR, *both, f"hydra/sweeper/sampler={name}", trials(6)))
    for trial in study.trials():
        assert trial.values == pytest.approx([valley(trial.params), valley(trial.params) ** 0.5])
    assert [d.name for d in study.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert len(study.study.best_trials) == 6  # one rises with the other: nothing is dominated


def test_a_grid_runs_every_combination_once_and_stops(tmp_path):
    chosen = ["hydra/sweeper/sampler=grid", "seed=range(0,2)", "loss=choice(focal,cross_entropy)"]
    stand = Stand()
    plan = plan_of(tmp_path / "study", *chosen, "hydra.sweeper.n_trials=null")
    assert plan.total == 4
    study = run(plan, stand)
    there = [tuple(o for o in stand.given[n] if o.startswith(("seed=", "loss="))) for n in range(4)]
    assert there == [(f"seed={s}", f"loss={loss}") for s in range(2) for loss in ("focal", "cross_entropy")]
    assert numbers(run(plan, Stand())) == numbers(study)
    some = run(plan_of(tmp_path / "some", *chosen, trials(2)))
    assert len(some.trials()) == 2


@pytest.mark.slow
def test_the_time_is_over(tmp_path):
    """No trial begins after the timeout; the one that runs is waited for."""
    plan = plan_of(tmp_path / "study", LR, "hydra.sweeper.n_trials=null", "hydra.sweeper.timeout=1.5")
    study = run(plan)
    assert set(kinds(study)) == {"complete"}
    assert len(study.trials()) < 200


@pytest.mark.slow
def test_a_slow_trial_holds_up_nobody(tmp_path):
    """Trial 0 ends only after trial 3 has: possible only where the other worker goes on meanwhile."""
    folder = tmp_path / "study"
    study = run(plan_of(folder, LR, trials(4), "hydra.sweeper.n_jobs=2"), Stand(after={0: 3}))
    assert kinds(study) == ["complete"] * 4
    ended = [(folder / str(n) / "result.json").stat().st_mtime_ns for n in range(4)]
    assert ended[0] > ended[3]


CONTROLLER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from sweeps import plan_of, run
run(plan_of(Path(sys.argv[2]), *sys.argv[3:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["random", "grid"])
def test_several_controllers_of_one_database_keep_to_the_total(tmp_path, choice):
    url = f"hydra.sweeper.storage=sqlite:///{tmp_path / 'all.db'}"
    space = [LR] if choice == "random" else ["seed=range(0,12)"]
    chosen = [*space, f"hydra/sweeper/sampler={choice}", url, trials(12)]
    program = [sys.executable, "-c", CONTROLLER, str(Path(__file__).parent), str(tmp_path / "study"), *chosen]
    controllers = [subprocess.Popen(program, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for each in controllers:
        said = each.communicate(timeout=120)[1]
        assert each.returncode == 0, said
    study = run(plan_of(tmp_path / "study", *chosen))
    counted = study.counted()
    assert len(counted) == 12
    assert {t.user_attrs["kind"] for t in counted} == {"complete"}
    assert len({str(t.params) for t in counted}) == 12
    assert set(kinds(study)) <= {"complete", "withdrawn"}


def test_one_controller_at_a_time_in_a_folder(tmp_path):
    """The second one has to be another process: the kernel's lock belongs to a process."""
    plan = plan_of(tmp_path / "study", LR, trials(1))
    holder = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER.replace("run(plan", "from arena.core.run import RunFolder\nwith RunFolder("
         "Path(sys.argv[2])).locked(): print('held', flush=True); sys.stdin.read()\n#"),
         str(Path(__file__).parent), str(tmp_path / "study")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(UsageError, match="another process"):
            run(plan)
    finally:
        holder.communicate("")
    assert numbers(run(plan)) == [0]


@pytest.mark.slow
def test_lost_trials_of_a_database_are_known_by_their_heartbeats(tmp_path, monkeypatch):
    url = f"hydra.sweeper.storage=sqlite:///{tmp_path / 'all.db'}"
    plan = plan_of(tmp_path / "study", LR, trials(2), url, "hydra.sweeper.heartbeat=1")
    with monkeypatch.context() as killed:
        killed.setattr(Study, "_beat", lambda self: None)
        lost = Study(plan)
    values = lost.ask()
    assert values
    study = Study(plan)
    assert study.ask()
    assert study.ask() is None  # both count as long as they may be alive
    deadline = time.monotonic() + 20
    while not (retry := study.ask()):
        assert time.monotonic() < deadline, "silence was not noticed"
        time.sleep(0.2)
    assert [trial.state.name for trial in study.trials()] == ["FAIL", "RUNNING", "RUNNING"]
    assert retry == (2, values[1])
    assert study.trials()[2].user_attrs["retry_of"] == 0
    assert len(study.counted()) == 2


OTHER = [
    (["optim.lr=tag(log,interval(1e-5,1e-2))"], r"it searches optim.lr=tag\(log,interval\(1e-5,1e-1\)\), not"),
    ([LR, *GAMMA[1:], "loss=focal"], "it does not search loss.gamma"),
    (["seed=range(0,4)"], "it also searches optim.lr"),
    ([LR, "monitor.mode=max"], "it was begun to minimize, now it is maximize"),
    ([LR, "hydra.sweeper.objectives=[validation.macro_f1.value]", "hydra.sweeper.direction=minimize"], "objectives"),
    ([LR, "data.limit=50"], r"other settings \(data.limit=50\)"),
    ([LR, "hydra.sweeper.resume=false"], "it exists"),
]


@pytest.mark.slow
def test_a_study_of_something_else_is_refused(tmp_path):
    folder = tmp_path / "study"
    run(plan_of(folder, LR, trials(1)))
    for overrides, words in OTHER:
        with pytest.raises(UsageError, match=words) as end:
            Study(plan_of(folder, *overrides, trials(2)))
        assert "\n" not in str(end.value)
    # Another way of writing the same, and what no value depends on, is no difference.
    Study(plan_of(folder, "optim.lr=tag(log,interval(0.00001,0.1))", "tags=[a]", trials(2)))


def test_folders_of_a_study_that_is_gone_are_not_mixed_up(tmp_path):
    folder = tmp_path / "study"
    run(plan_of(folder, LR, trials(1)))
    (folder / "study.db").unlink()
    with pytest.raises(UsageError, match="knows nothing"):
        run(plan_of(folder, LR, trials(1)))
