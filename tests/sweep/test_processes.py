"""Trials as processes: what they inherit, how they end, and that they never outlive their sweep."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arena.core.errors import ArenaError, UsageError
from arena.core.run import RunFolder
from arena.sweep import pool, process
from arena.sweep.result import objective, read_trial_result

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
SLEEP = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(60)"]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def started(folder: Path, program: list[str], timeout: float | None = None, variables=None) -> pool.Pool:
    """A pool in which trial 0 runs."""
    crew = pool.Pool([variables or {}], timeout=timeout, program=lambda *_: program)
    crew.submit(0, [], folder)
    return crew


def ended(crew: pool.Pool):
    ((_, outcome),) = crew.finished(wait=20)
    return outcome


def says(folder: Path, word: str) -> None:
    for _ in range(500):
        if word in (folder / "trial.log").read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"the trial never said {word}")


def gone(number: int) -> bool:
    """Whether a process is over; a zombie that nobody has collected is."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


RESULTS = [
    # status, reason, monitor, exit code -> kind, values
    ("completed", None, 0.5, 0, "complete", [0.5]),
    ("stopped_early", None, 0.5, 0, "complete", [0.5]),
    ("completed", None, 0.5, -9, "complete", [0.5]),
    ("completed", None, 0.5, None, "complete", [0.5]),
    ("completed", None, None, 0, "failed", None),
    ("pruned", "by the median", 0.7, 0, "pruned", [0.7]),
    ("diverged", "the loss", 0.7, 76, "diverged", None),
    ("failed", "out of memory: lower", 0.7, 77, "out_of_memory", None),
    ("failed", "out of memory: lower", 0.7, None, "out_of_memory", None),
    ("preempted", "stopped by SIGTERM", 0.7, 143, "preempted", None),
    ("preempted", "stopped by Ctrl-C", None, 130, "preempted", None),
    ("failed", "killed, or its machine went down", 0.7, -15, "preempted", None),
    ("failed", "killed, or its machine went down", 0.7, None, "preempted", None),
    ("failed", "killed, or its machine went down", 0.7, -9, "failed", None),
    ("failed", "no such column", None, 65, "failed", None),
]


@pytest.mark.parametrize(("status", "reason", "value", "code", "kind", "values"), RESULTS)
def test_outcome_is_read_from_result_and_exit_code(tmp_path, status, reason, value, code, kind, values):
    RunFolder(tmp_path).write_result({"status": status, "reason": reason, "monitor": {"value": value}})
    found = read_trial_result(tmp_path, code, ["monitor"])
    assert (found.kind, found.values, found.exit_code) == (kind, values, code)
    assert (found.reason is None) == (kind == "complete")
    if code == -9 and kind == "failed":
        assert "SIGKILL" in str(found.reason)


def test_a_trial_that_another_launcher_ran_has_the_time_of_its_result(tmp_path):
    took = {"setup": 1.5, "fit": 20.0, "test": None, "rows_per_second": 300.0}
    RunFolder(tmp_path).write_result({"status": "completed", "monitor": {"value": 1.0}, "time": took})
    assert read_trial_result(tmp_path, 0, ["monitor"]).seconds == 21.5


def test_a_trial_without_a_result_tells_its_last_words(tmp_path):
    (tmp_path / "trial.log").write_text("step 1\narena: data.path=x.csv: no such file or folder\nbye\n")
    assert read_trial_result(tmp_path, 74, ["monitor"]).reason == "data.path=x.csv: no such file or folder"
    assert read_trial_result(tmp_path / "nothing", 1, ["monitor"]).reason == "exit code 1"


def test_objectives_are_paths_and_never_the_test_split(tmp_path):
    result = {"monitor": {"value": 0.5}, "validation": {"macro_f1": {"value": 0.25}}, "test": {"log_loss": 1.0}}
    assert objective(result, "monitor") == 0.5
    assert objective(result, "validation.macro_f1.value") == 0.25
    assert objective(result, "validation.macro_f1") is None
    assert objective(result, "validation.kappa.value") is None
    for name in ("test.log_loss", "gain_over_prior.test"):
        with pytest.raises(ArenaError, match="test split"):
            objective(result, name)


def test_trials_inherit_no_rank_and_no_identity(monkeypatch, tmp_path):
    ranks = [
        "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
        "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID",
        "TORCHELASTIC_RESTART_COUNT", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS",
        "SLURM_NTASKS_PER_NODE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "PMIX_RANK",
        "MPI_LOCALRANKID", "JSM_NAMESPACE_RANK", "PL_GLOBAL_SEED", "PL_SEED_WORKERS", "WANDB_RUN_ID", "WANDB_RESUME",
        "WANDB_SERVICE", "ARENA_TRIAL",
    ]  # fmt: skip
    kept = ["WANDB_MODE", "WANDB_PROJECT", "SLURM_JOB_ID", "HF_HUB_OFFLINE", "SLURM_MEM_PER_NODE", "RANKING"]
    for name in [*ranks, *kept]:
        monkeypatch.setenv(name, "1")
    code = "import json, os; json.dump(dict(os.environ), open('seen.json', 'w'))"
    monkeypatch.chdir(tmp_path)
    ended(started(tmp_path / "0", python(code), None, process.trial_variables("sqlite://", "s", 3, ["monitor"])))
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert set(ranks) & set(seen) == {"ARENA_TRIAL"}
    assert json.loads(seen["ARENA_TRIAL"])["number"] == 3
    assert seen["WANDB_RUN_GROUP"] == "s"
    assert set(kept) <= set(seen)


@pytest.mark.parametrize(
    "text", ["multirun/a b/0", "it's", "a\\'b", "c=d,{e}", "tail\\", "ünï", "plain/0.1-x", "1", "null", "a\nb"]
)
def test_quoted_values_survive_the_grammar_of_overrides(text):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from arena.config.overrides import quoted

    (parsed,) = OverridesParser.create().parse_overrides([f"hydra.run.dir={quoted(text)}"])
    value = parsed.value()
    assert getattr(value, "text", value) == text


def test_a_folder_that_exists_is_refused(tmp_path):
    (tmp_path / "0").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        started(tmp_path / "0", SLEEP)


def test_a_timeout_ends_a_trial_and_is_told_apart(tmp_path):
    outcome = ended(started(tmp_path / "0", SLEEP, timeout=0.5))
    assert outcome.kind == "timeout"
    assert "timeout=0.5" in str(outcome.reason)
    assert outcome.seconds >= 0.5
    with pytest.raises(UsageError, match="greater than 0"):
        pool.Pool([{}], timeout=0)


def test_stop_ends_the_whole_group_even_where_it_does_not_listen(tmp_path):
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print('child', child.pid, flush=True); time.sleep(60)"
    )
    crew = started(tmp_path / "0", python(code))
    says(tmp_path / "0", "child ")
    child = int((tmp_path / "0" / "trial.log").read_text().split()[1])
    trial = crew.running[0][0].process.pid
    ((_, outcome),) = crew.stop(grace=0.3)
    assert outcome.exit_code == -signal.SIGKILL
    assert gone(trial)
    for _ in range(100):
        if gone(child):
            break
        time.sleep(0.02)
    assert gone(child)


def test_sigkill_of_a_trial_is_a_failure_with_its_signal(tmp_path):
    crew = started(tmp_path / "0", SLEEP)
    says(tmp_path / "0", "awake")
    os.kill(crew.running[0][0].process.pid, signal.SIGKILL)
    outcome = ended(crew)
    assert (outcome.kind, outcome.exit_code) == ("failed", -9)
    assert "SIGKILL" in str(outcome.reason)


CHILD = """
import os, subprocess, sys, time
from arena.sweep import parent
parent.die_with_parent()
if len(sys.argv) < 2:  # as Lightning starts the processes of further devices
    subprocess.Popen([sys.executable, __file__, "second"])
print("here", os.getpid(), flush=True)
time.sleep(60)
"""
CONTROLLER = """
import sys, time
from pathlib import Path
from arena.sweep import process
trial = process.Process([], Path(sys.argv[1]), {}, program=[sys.executable, sys.argv[2]])
time.sleep(60)
"""


def test_sigkill_of_the_sweep_leaves_nothing_running(tmp_path):
    """Neither the trial, nor the second process that it started in a group that nobody can name any more."""
    child, controller = tmp_path / "child.py", tmp_path / "controller.py"
    child.write_text(CHILD)
    controller.write_text(CONTROLLER)
    output = tmp_path / "0" / "trial.log"
    environment = os.environ | {"PYTHONPATH": SOURCE}
    with subprocess.Popen([sys.executable, controller, tmp_path / "0", child], env=environment) as sweep:
        numbers: list[int] = []
        for _ in range(1000):
            numbers = [int(line.split()[1]) for line in output.read_text().splitlines()] if output.is_file() else []
            if len(numbers) == 2:
                break
            time.sleep(0.02)
        assert len(numbers) == 2
        assert not any(gone(number) for number in numbers)
        sweep.kill()
    for _ in range(250):
        if all(gone(number) for number in numbers):
            return
        time.sleep(0.02)
    raise AssertionError(f"still there: {numbers}")


def test_a_pool_runs_trials_side_by_side_and_reuses_its_slots(tmp_path):
    code = "import os, time; print(os.environ['OMP_NUM_THREADS'], os.environ.get('N'), flush=True); time.sleep({})"
    crew = pool.Pool(
        [{"OMP_NUM_THREADS": "3"}, {"OMP_NUM_THREADS": "4"}],
        variables=lambda number: {"N": str(number)},
        program=lambda overrides, folder: python(code.format(60 if folder.name == "0" else 0)),
    )
    crew.submit(0, [], tmp_path / "0")
    crew.submit(1, [], tmp_path / "1")
    assert crew.free() == 0
    assert [number for number, _ in crew.finished(wait=20)] == [1]
    assert crew.free() == 1
    crew.submit(2, [], tmp_path / "2")
    assert [number for number, _ in crew.finished(wait=20)] == [2]
    assert (tmp_path / "2" / "trial.log").read_text() == "4 2\n"  # the slot of the trial that ended
    assert crew.finished() == []
    ((number, outcome),) = crew.stop()
    assert (number, outcome.kind) == (0, "preempted")
    assert crew.free() == 2


def test_gpus_are_dealt_out_and_those_that_are_not_there_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5f,7,9")
    assert pool.visible_gpus() == ["2", "GPU-5f", "7", "9"]
    assert pool.gpu_slots([2, 7]) == [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "7"}]
    assert pool.gpu_slots(["2", "GPU-5f", "7"], 2) == [{"CUDA_VISIBLE_DEVICES": "2,GPU-5f"}]
    with pytest.raises(UsageError, match="there is no GPU 0, 1; this machine has 2, GPU-5f, 7, 9"):
        pool.gpu_slots([0, 1, 2])
    with pytest.raises(UsageError, match="named twice"):
        pool.gpu_slots([2, 2])
    with pytest.raises(UsageError, match="gpus_per_trial=3"):
        pool.gpu_slots([2, 7], 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert pool.visible_gpus() == []


def test_cores_are_shared(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert pool.core_slots(1) == [{}]
    assert pool.core_slots(3) == [{"OMP_NUM_THREADS": "2"}] * 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert pool.core_slots(2) == [{"OMP_NUM_THREADS": "1"}] * 2
