"""`python -m arena.baseline` end to end, and the reference models beside a trained one."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import compose

from arena import baseline
from arena.config import build
from arena.config import compose as config
from arena.config.options import read
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.heads import LOG_PROBABILITY
from arena.core.run import RunFolder
from arena.evaluation.baselines import model
from arena.evaluation.predictions import evaluate_predictions, match_change
from arena.stats.intervals import expanded
from arena.stats.scores import log_loss


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on 600 toy rows."""
    folder = tmp_path_factory.mktemp("baseline") / "run"
    given = [f"output={folder}", "data.limit=600", "toy_rows=700", "resamples=50"]
    baseline.baseline(read(baseline.BaselineOptions, given))
    return RunFolder(folder)


def test_the_folder_is_complete_and_agrees_with_itself(run):
    result = run.read_result()
    assert (result["status"], result["kind"]) == ("completed", "baseline")
    assert result["labels"] == ["model_a", "model_b", "tie"]
    assert {"fingerprint", "splits", "rows_kept"} <= set(result["data"])
    losses = {name: values["val"]["log_loss"]["value"] for name, values in result["members"].items()}
    assert list(losses) == ["prior", "length", "structure", "tfidf"]
    assert result["best_member"] == min(losses, key=lambda name: losses[name])
    assert result["monitor"]["value"] == pytest.approx(min(losses.values()))
    best = result["best_member"]
    for split, key in (("val", "validation"), ("test", "test")):
        for name in losses:
            table = pq.read_table(run.path / "predictions" / name / f"{split}.parquet")
            mean = table["loss"].to_numpy().astype(np.float64).mean()
            assert mean == pytest.approx(result["members"][name][split]["log_loss"]["value"], abs=1e-6)
        assert run.predictions(split).read_bytes() == (run.path / f"predictions/{best}/{split}.parquet").read_bytes()
        # The same draws in the comparison and in the judgement.
        for end in ("value", "low", "high"):
            compared = result["members"][best][split]
            assert result[key]["log_loss"][end] == pytest.approx(compared["log_loss"][end], abs=1e-5)
            assert result[key]["accuracy"][end] == pytest.approx(compared["accuracy"][end], abs=1e-6)
    header, *lines = [line.split("\t") for line in (run.path / "baselines.tsv").read_text().splitlines()]
    assert [line[:2] for line in lines] == [[split, name] for split in ("val", "test") for name in losses]
    assert float(lines[1][header.index("log_loss")]) == pytest.approx(losses["length"], abs=1e-6)


def test_the_splits_are_those_of_training(run, train_run):
    trained = train_run("trained", "data.limit=600", "toy_rows=700", "trainer.max_steps=1", "test=false")
    assert pq.read_table(run.splits).equals(pq.read_table(trained.splits))
    first, second = (pq.read_table(place.predictions("val")) for place in (run, trained))
    assert first.column_names == [name for name in second.column_names if not name.startswith(LOG_PROBABILITY)]
    assert first.schema.field("probability_tie").type == second.schema.field("probability_tie").type


def test_the_run_can_be_used_as_a_model(run):
    settings = config.resolved(compose("data.limit=600", "toy_rows=700", "run_dir=out"))
    rows = build.data(settings).read()
    labels, found = model.predict(run.path, rows)
    ids = rows.metadata["id"].to_pylist()
    known = pq.read_table(run.predictions("val"))
    place = [ids.index(name) for name in known["id"].to_pylist()]
    for k, label in enumerate(labels):
        np.testing.assert_allclose(found[place, k], known[f"probability_{label}"].to_numpy(), atol=1e-6)
    _, shares = model.predict(run.path, rows, "prior")
    assert (shares == shares[0]).all()
    with pytest.raises(InputOutputError, match="no baseline 'tfdif'; did you mean 'tfidf'"):
        model.predict(run.path, rows, "tfdif")


@pytest.mark.slow
def test_which_member_of_a_trained_run_has_to_be_said(train_run):
    run = train_run("two", "trainer.max_steps=1", "baselines=[length,structure]", "test=false")
    rows = build.data(config.resolved(compose("data.limit=20", "run_dir=out"))).read()
    with pytest.raises(DataError, match="which of length, structure is best"):
        model.predict(run.path, rows)
    assert model.predict(run.path, rows, "length")[1].shape == (rows.num_rows, 3)


def test_a_used_folder_is_refused(run):
    with pytest.raises(UsageError, match="holds a run already"):
        baseline.baseline(read(baseline.BaselineOptions, [f"output={run.path}", "data.limit=100"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optim.lr=1"], "optim.lr: no such key"),
        (["modles=[length]"], "did you mean 'models'"),
        (["models=[lenght]"], "did you mean 'length'"),
        (["models=[]"], "name at least one"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        baseline.baseline(read(baseline.BaselineOptions, arguments))


@pytest.mark.slow
def test_the_command_line(arena, tmp_path):
    done = arena("baseline", "data.limit=200", "models=[prior,length]", "output=out", "resamples=0", "metric=binary",
                 "data.labels=[model_a,model_b]", "data.on_tie=drop")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "gain over prior" in done.stdout
    assert json.loads((tmp_path / "out" / "result.json").read_text())["labels"] == ["model_a", "model_b"]
    assert arena("baseline", "--help").stdout.startswith("python -m arena.baseline")
    wrong = arena("baseline", "data.lmit=3")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "data.lmit: no such key; did you mean 'limit'?" in wrong.stderr


@pytest.mark.slow
def test_a_trained_model_is_shown_beside_the_lengths(train_run, capsys):
    run = train_run("run", "trainer.max_steps=2", "resamples=30")
    result = run.read_result()
    assert model.names(run.path / model.FOLDER) == ["length"]
    assert "length" in result["baselines"]["test"]
    skill = result["skill"]["test"]["length"]
    gain = result["baselines"]["test"]["length"]["log_loss"] - result["test"]["log_loss"]["value"]
    assert skill["gain"]["value"] == pytest.approx(gain, abs=1e-6)
    assert skill["skill"] == pytest.approx(gain / result["baselines"]["test"]["length"]["log_loss"], abs=1e-6)
    assert skill["gain"]["low"] < gain < skill["gain"]["high"]
    assert f"gain over length: {gain:.4f} nats a row (" in capsys.readouterr().out


def test_the_judge_pairs_rows_with_those_of_the_baseline(run):
    """The interval of a paired gain, once more with a bootstrap written out; a baseline equal to the model gains 0."""
    metrics = build.instantiate(config.resolved(compose("run_dir=out"))["metric"])
    table = pq.read_table(run.path / "predictions/length/val.parquet")
    labels = ["model_a", "model_b", "tie"]
    own = np.stack([table[f"probability_{label}"].to_numpy() for label in labels], axis=1)
    target = np.array([labels.index(name) for name in table["target"].to_pylist()])
    other = np.roll(own, 1, axis=1)
    path, counts = run.path / "predictions/length/val.parquet", np.array([5, 5, 5])
    judged = evaluate_predictions(path, metrics, counts, 100, 3, {"same": own, "rolled": other})
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    accuracy = nothing | {"only_model": 0, "only_baseline": 0, "p": 1.0}
    assert judged["skill"]["same"] == {"skill": 0.0, "gain": nothing, "accuracy": accuracy}
    difference = log_loss(other, target) - log_loss(own, target)
    _, member = np.unique(table["group"].to_pylist(), return_inverse=True)
    number = member.max() + 1
    draws = np.random.default_rng(3).multinomial(number, np.full(number, 1 / number), size=1000)[:, member]
    means = (draws * difference).sum(axis=1) / draws.sum(axis=1)
    gain = judged["skill"]["rolled"]["gain"]
    assert [gain[end] for end in ("value", "low", "high")] == pytest.approx(
        [difference.mean(), *np.quantile(means, [expanded(number), 1 - expanded(number)])]
    )
    assert judged["baselines"]["rolled"]["log_loss"] == pytest.approx(log_loss(other, target).mean(), abs=1e-6)
    assert "skill" not in judged["gain_over_prior"]


def test_no_reference_model_is_allowed_and_an_unknown_one_is_not(train_run):
    run = train_run("none", "trainer.max_steps=1", "baselines=[]", "test=false")
    assert run.read_result()["skill"] == {"val": {}}
    with pytest.raises(UsageError, match="baselines=.*one of length, structure, tfidf"):
        config.resolved(compose("baselines=[lenght]", "run_dir=out"))


def test_a_change_of_accuracy_is_counted_and_tested():
    """20 rows: 7 that only the model has right, 2 only the baseline, 6 both, 5 none: +5/20, and of 9 tosses of a fair
    coin 2 or fewer, or 7 or more, are heads with probability 2 (1 + 9 + 36) / 2^9."""
    model = np.array([True] * 7 + [False] * 2 + [True] * 6 + [False] * 5)
    baseline = np.array([False] * 7 + [True] * 2 + [True] * 6 + [False] * 5)
    found = match_change(baseline, model, np.arange(20), 2000, seed=0)
    assert found["value"] == pytest.approx(0.25)
    assert (found["only_model"], found["only_baseline"]) == (7, 2)
    assert found["p"] == pytest.approx(2 * (1 + 9 + 36) / 2**9)
    # A mean of 20 values in {-1, 0, 1} with variance 9/20 - 1/16: two standard errors are 0.28.
    assert found["high"] - found["low"] == pytest.approx(0.55, abs=0.1)
