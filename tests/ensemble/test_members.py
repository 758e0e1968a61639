"""Which runs `run=` names, and what an ensemble makes of them."""

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from omegaconf import OmegaConf
from support import compose

from arena.data.rows import Rows
from arena.ensemble import members
from arena.ensemble.partial import Partial
from arena.errors import InputOutputError, UsageError
from arena.run import RunFolder, find_runs


@pytest.fixture
def study(tmp_path):
    """A multirun folder with the runs 0, 2 and 10, and other things."""
    for name in ("10", "2", "0"):
        (tmp_path / "study" / name).mkdir(parents=True)
        (tmp_path / "study" / name / "config.yaml").write_text("data: {labels: [model_a, model_b]}")
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


@pytest.mark.skipif(importlib.util.find_spec("arena.reference") is not None, reason="arena.reference is there itself")
def test_a_baseline_is_asked_in_both_orders_and_its_columns_put_in_order(tmp_path, monkeypatch):
    """Stands in for `arena.reference.members`: the share of each answer in the characters of both."""

    def predict(path, rows):
        a, b = (rows.facts[f"response_{side}_characters"].to_numpy() for side in "ab")
        return ["model_b", "model_a"], np.stack([b / (a + b + 1), (a + 1) / (a + b + 1)], axis=1)

    module = ModuleType("arena.reference.members")
    module.predict = predict  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "arena.reference", ModuleType("arena.reference"))
    monkeypatch.setitem(sys.modules, "arena.reference.members", module)
    run = RunFolder(tmp_path / "baseline")
    run.write_result({"kind": "baseline", "labels": ["model_a", "model_b"]})
    [member] = members.gather(find_runs(str(run.path)), {"path": "rows.csv"})
    texts = {"id": ["1"], "prompt": [["p"]], "response_a": [["aaa"]], "response_b": [["b"]]}
    rows = Rows.from_table(pa.table(texts), "test")
    straight, exchanged = members.predict(member, ["model_a", "model_b"], rows, True, Partial(tmp_path / "x.csv"))
    assert straight == pytest.approx(np.array([[4 / 5, 1 / 5]]))
    # Exchanged, A has one character and B three: 2/5 and 3/5, mirrored back.
    assert exchanged == pytest.approx(np.array([[3 / 5, 2 / 5]]))
