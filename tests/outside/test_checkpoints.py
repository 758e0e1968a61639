"""Damaged, missing and half-written checkpoints, as typed commands meet them."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


def flip(path: Path) -> None:
    """Change 64 bytes in the middle of a file, where the tensors are; other names of the file keep theirs."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    path.unlink()
    path.write_bytes(content)


def copied(run: Path, tmp_path: Path, status: str = "completed") -> Path:
    """A copy of a shared run named `run`, with another status."""
    copy = shutil.copytree(run, tmp_path / "run")
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"status": status}))
    return copy


def rows(run: Path) -> list[list[str]]:
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("predict", ["run=run", "data.path=rows.csv", "output=o"]),
        ("evaluate", ["run=run", "output=o"]),
        ("calibrate", ["run=run", "output=o"]),
        ("export", ["run=[run,run2]", "average=true", "output=o"]),
    ],
)
def test_damaged_best_weights_are_refused(shell, pairwise_run, tmp_path, command, arguments):
    flip(copied(pairwise_run, tmp_path) / "checkpoints" / "best.ckpt")
    shutil.copytree(tmp_path / "run", tmp_path / "run2")
    (tmp_path / "rows.csv").write_text("id,prompt,response_a,response_b\n1,a,b,c\n")
    shell(command, *arguments).refused(65, "best.ckpt", "damaged")
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_resume_refuses_what_cannot_be_resumed(shell, pairwise_run, tmp_path):
    """Two damaged generations; a damaged, then a missing best.ckpt; nothing is written."""
    run = copied(pairwise_run, tmp_path, "preempted")
    folder, before = run / "checkpoints", (run / "result.json").read_bytes()
    kept = {name: (folder / name).read_bytes() for name in ("best.ckpt", "last.ckpt", "last-1.ckpt")}
    flip(folder / "last.ckpt")
    flip(folder / "last-1.ckpt")
    shell("train", "resume=run").refused(65, "last.ckpt", "damaged")
    (folder / "last.ckpt").write_bytes(kept["last.ckpt"])
    flip(folder / "best.ckpt")
    shell("train", "resume=run").refused(65, "best.ckpt", "damaged")
    (folder / "best.ckpt").unlink()
    shell("train", "resume=run").refused(74, "best.ckpt", "restore it")
    assert (run / "result.json").read_bytes() == before


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(shell, pairwise_run, tmp_path):
    run = copied(pairwise_run, tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "finished" in shell("train", "resume=run").ok().out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_resume_goes_on_from_the_older_generation(shell, pairwise_run, tmp_path):
    """The run was stopped in the test: damaged last.ckpt, files of a killed process, a journal that has its test rows.

    The resumed run trains steps 7 to 12 again and ends with the bits and the journal of the undisturbed one.
    """
    run = copied(pairwise_run, tmp_path, "preempted")
    folder = run / "checkpoints"
    flip(folder / "last.ckpt")
    child = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(child, 0)
    leftovers = [folder / f".last.ckpt.{child}.tmp", run / "predictions" / f".val.parquet.{child}.tmp"]
    for path in leftovers:
        path.write_bytes(b"half")
    answer = shell("train", "resume=run").ok()
    assert "GOING ON FROM THE OLDER last-1.ckpt, OF STEP 6" in answer.out
    assert "last.ckpt: damaged" in answer.out
    assert not any(path.exists() for path in leftovers)
    assert rows(run) == rows(pairwise_run)
    for name in ("best.ckpt", "last.ckpt"):
        entries = [json.loads((each / "checkpoints/manifest.json").read_text()) for each in (run, pairwise_run)]
        assert entries[0][name].get("weights") == entries[1][name].get("weights")
    assert entries[0]["best.ckpt"]["sha256"] == entries[1]["best.ckpt"]["sha256"]


@pytest.mark.slow
def test_a_training_that_diverges_at_once_has_no_checkpoint(shell, tmp_path):
    line = shell("train", "data.limit=300", "optim.lr=1e6", "schedule.warmup=0", "hydra.run.dir=run").refused(
        76, "optim.lr"
    )
    assert "no checkpoint had been written yet" in line
    assert not list(tmp_path.glob("run/checkpoints/*.ckpt"))
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "diverged"


@pytest.mark.slow
def test_weights_that_are_the_best_are_on_the_disk_once(pairwise_run):
    """The last validation was the best: best.ckpt and the weights of last.ckpt are one file, the state is apart."""
    folder = pairwise_run / "checkpoints"
    entries = json.loads((folder / "manifest.json").read_text())
    assert entries["best.ckpt"]["step"] == entries["last.ckpt"]["step"] == 12
    assert os.path.samefile(folder / "best.ckpt", folder / entries["last.ckpt"]["weights"])
    assert "state_dict" not in torch.load(folder / "last.ckpt", weights_only=True)
    files = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert files == entries.keys()
    for name, entry in entries.items():
        assert (folder / name).stat().st_size == entry["bytes"]


@pytest.mark.slow
def test_a_run_without_hashes_still_loads(shell, pairwise_run, tmp_path):
    """A folder of before there were manifests: one last.ckpt with its weights inside, two files."""
    run = copied(pairwise_run, tmp_path, "preempted")
    folder = run / "checkpoints"
    last = torch.load(folder / "last.ckpt", weights_only=True)
    last["state_dict"] = torch.load(folder / last.pop("weights"), weights_only=True)["state_dict"]
    best = (folder / "best.ckpt").read_bytes()
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "best.ckpt").write_bytes(best)
    torch.save(last, folder / "last.ckpt")
    shell("train", "resume=run").ok()
    assert rows(run) == rows(pairwise_run)
