"""`arena.export average=true`: the mean of weights as a run that everything else accepts."""

import json

import numpy as np
import pytest
import torch

from arena import evaluate, export, predict
from arena.config import restore
from arena.config.options import read
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.run import RunFolder
from arena.evaluate import EvaluateOptions
from arena.export import ExportOptions
from arena.inference.options import PredictOptions

pytestmark = pytest.mark.slow  # two runs are trained for it


def mean_of(runs, output, *arguments):
    names = ",".join(str(run.path) for run in runs)
    given = [f"run=[{names}]", "average=true", f"output={output}", *arguments]
    return RunFolder(export.export(read(ExportOptions, given)))


@pytest.fixture
def averaged(folds, tmp_path) -> RunFolder:
    return mean_of([folds["0"], folds["1"]], tmp_path / "mean")


def test_the_checkpoint_holds_the_mean(folds, averaged):
    first, second, mean = (torch.load(run.best, weights_only=True) for run in (folds["0"], folds["1"], averaged))
    assert mean.keys() == first.keys()
    assert list(mean["state_dict"]) == list(first["state_dict"])
    moved = 0.0
    for name, value in mean["state_dict"].items():
        one, other = first["state_dict"][name].double(), second["state_dict"][name].double()
        assert value.dtype == first["state_dict"][name].dtype
        assert torch.equal(value, ((one + other) / 2).to(value.dtype))
        moved = max(moved, float((one - other).abs().max()))
    assert moved > 1e-4, "the two runs differ at all"


def test_the_folder_says_where_it_comes_from(folds, averaged):
    result = json.loads(averaged.result.read_text())
    assert result["status"] == "completed"
    assert result["averaged_from"] == [str(folds["0"].path), str(folds["1"].path)]
    text = averaged.config.read_text()
    assert str(averaged.path) in text
    assert str(folds["0"].path) not in text


def test_predict_and_evaluate_accept_it(folds, averaged, tmp_path):
    rows = "".join(
        json.dumps({"id": str(i), "prompt": ["q"], "response_a": ["a" * (i % 9 + 1)], "response_b": ["b" * (i % 7 + 1)],
                    "winner": ["model_a", "model_b", "tie"][i % 3], "source": "x"}) + "\n"
        for i in range(60)
    )  # fmt: skip
    (tmp_path / "rows.jsonl").write_text(rows)
    common = [f"run={averaged.path}", f"data.path={tmp_path / 'rows.jsonl'}", "data.cache=null"]
    output = tmp_path / "x.csv"
    predict.predict(read(PredictOptions, [*common, f"output={output}"]))
    found = np.loadtxt(output, delimiter=",", skiprows=1)[:, 1:]
    task = restore.rebuild(folds["0"], restore.settings_of(folds["0"]))
    state = torch.load(averaged.best, weights_only=True)["state_dict"]
    task.load_state_dict(state)
    from arena.config import build

    data = build.data(restore.settings_of(folds["0"], {"path": str(tmp_path / "rows.jsonl"), "cache": None}))
    expected = np.zeros((60, 3))
    with torch.inference_mode():
        for batch in data.predict_loader(data.read())[0]:
            expected[batch.row.numpy()] = task.loss.predict(task.model(batch)).numpy()
    assert found == pytest.approx(expected, abs=1e-5)
    given = [*common, "verify=false", "resamples=0", f"output={tmp_path / 'evaluation'}"]
    judged = evaluate.evaluate(read(EvaluateOptions, given)).details
    target = np.arange(60) % 3
    assert judged["metrics"]["log_loss"]["value"] == pytest.approx(
        -np.log(found[np.arange(60), target]).mean(), abs=1e-5
    )


@pytest.mark.slow
def test_the_mean_of_folds_has_no_validation_rows_left(folds, averaged):
    """Every fold's validation rows trained the others, so none of them can judge the mean."""
    from arena.config import build

    data = build.data(restore.settings_of(averaged))
    data.setup()
    before = build.data(restore.settings_of(folds["0"]))
    before.setup()
    assert len(data.rows("val")) == 0
    assert data.table["id"].take(data.rows("test")).equals(before.table["id"].take(before.rows("test")))
    with pytest.raises(UsageError, match=r"no validation rows; give data.path=FILE"):
        evaluate.evaluate(read(EvaluateOptions, [f"run={averaged.path}", "verify=false"]))


def test_runs_that_differ_are_refused_by_the_first_key(folds, tmp_path):
    with pytest.raises(UsageError, match=r"loss\._target_: .*/0 has arena.loss.classification.CrossEntropy"):
        mean_of([folds["0"], folds["focal"]], tmp_path / "mean")
    with pytest.raises(UsageError, match="two runs or more"):
        mean_of([folds["0"]], tmp_path / "mean")
    with pytest.raises(UsageError, match="data.path: the data of finished runs cannot be changed"):
        mean_of([folds["0"], folds["1"]], tmp_path / "mean", "data.path=x")
    for given in ("merge=false", "checkpoint=.", "name=x"):
        with pytest.raises(UsageError, match="the mean of several runs has no use for it"):
            mean_of([folds["0"], folds["1"]], tmp_path / "mean", given)
    with pytest.raises(UsageError, match="run: it names 2 runs; give one, or average=true"):
        mean_of([folds["0"], folds["1"]], tmp_path / "mean", "average=false")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_a_run_is_not_written_over(folds, tmp_path, averaged):
    before = averaged.best.read_bytes()
    with pytest.raises(UsageError, match="it holds a run already"):
        mean_of([folds["1"], folds["0"]], averaged.path)
    assert averaged.best.read_bytes() == before


@pytest.fixture
def altered(folds, tmp_path):
    """A copy of fold 1 whose checkpoint gets another state."""

    def make(change) -> RunFolder:
        copy = RunFolder(tmp_path / "copy")
        copy.checkpoints.mkdir(parents=True)
        copy.config.write_text(folds["1"].config.read_text().replace(str(folds["1"].path), str(copy.path)))
        checkpoint = torch.load(folds["1"].best, weights_only=True)
        change(checkpoint["state_dict"])
        torch.save(checkpoint, copy.best)
        return copy

    return make


def test_weights_that_have_no_mean_are_refused(folds, altered, tmp_path):
    copy = altered(lambda state: state.pop("model.head.bias"))
    with pytest.raises(DataError, match=r"it lacks 1 weights \(model.head.bias\)"):
        mean_of([folds["0"], copy], tmp_path / "mean")
    copy.best.unlink()
    with pytest.raises(InputOutputError, match="no such checkpoint"):
        mean_of([folds["0"], copy], tmp_path / "mean")


def test_whole_numbers_must_agree(altered, tmp_path, folds):
    one = altered(lambda state: state.update({"model.count": torch.tensor([1, 2])}))
    other = RunFolder(tmp_path / "other")
    other.checkpoints.mkdir(parents=True)
    other.config.write_text(one.config.read_text().replace(str(one.path), str(other.path)))
    checkpoint = torch.load(one.best, weights_only=True)
    torch.save(checkpoint, other.best)
    mean = mean_of([one, other], tmp_path / "mean")
    assert torch.load(mean.best, weights_only=True)["state_dict"]["model.count"].tolist() == [1, 2]
    checkpoint["state_dict"]["model.count"] = torch.tensor([1, 3])
    torch.save(checkpoint, other.best)
    with pytest.raises(DataError, match="model.count: whole numbers that differ"):
        mean_of([one, other], tmp_path / "mean2")
