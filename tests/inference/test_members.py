"""Which runs `run=` names, and what an ensemble makes of them."""

import pytest
from omegaconf import OmegaConf
from support import compose

from arena.core import stored
from arena.core.errors import InputOutputError, UsageError
from arena.core.run import RunFolder, find_runs
from arena.inference import members


@pytest.fixture
def study(tmp_path):
    """A multirun folder with the runs 0, 2 and 10, and other things."""
    for name in ("10", "2", "0"):
        (tmp_path / "study" / name).mkdir(parents=True)
        values = dict.fromkeys(stored.PARTS) | {"data": {"labels": ["model_a", "model_b"]}}
        stored.write(tmp_path / "study" / name / "config.yaml", values)
    (tmp_path / "study" / "multirun.yaml").write_text("")
    (tmp_path / "study" / "report").mkdir()
    return tmp_path / "study"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("{study}", ["0", "2", "10"]),
        ("{study}/*", ["0", "2", "10"]),
        ("{study}/1*", ["10"]),
        ("{study}/2", ["2"]),
        ("[{study}/10, {study}/0]", ["10", "0"]),
        ("[{study}/1*,{study}/0]", ["10", "0"]),
    ],
)
def test_runs_are_found(study, given, names):
    assert [run.path for run in find_runs(given.format(study=study))] == [study / name for name in names]


def test_what_is_no_run_is_named(study):
    with pytest.raises(InputOutputError, match="no run folder has such a name"):
        find_runs(f"{study}/x*")
    with pytest.raises(InputOutputError, match="it has no config.yaml"):
        find_runs(f"{study}/report")
    with pytest.raises(InputOutputError, match="no such folder"):
        find_runs(f"[{study}/0,{study}/3]")
    with pytest.raises(UsageError, match="is named twice"):
        find_runs(f"[{study}/0,{study}]")


def test_names_are_short_and_different(study):
    assert members.short_names([RunFolder(study / "0")]) == ["0"]
    assert members.short_names([RunFolder(study / "0"), RunFolder(study / "a" / "0")]) == ["0", "a/0"]


def test_a_run_without_weights_is_named_with_its_status(study):
    folder = RunFolder(study / "0")
    OmegaConf.save(compose("run_dir=out"), folder.config, resolve=True)
    folder.write_result({"status": "diverged"})
    with pytest.raises(InputOutputError, match=r"best.ckpt: no such checkpoint \(the run's status is: diverged\)"):
        members.gather([folder], {})
