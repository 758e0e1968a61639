"""`arena.calibrate` from the command line to the file, and what `arena.predict` makes of it, on a trained model."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support import ROOT, compose, replace_best

from arena import calibrate, predict
from arena.calibrate import CalibrateOptions
from arena.config import restore
from arena.config.options import read
from arena.core.errors import DataError, UsageError
from arena.core.run import RunFolder
from arena.evaluation.calibration import scaling
from arena.inference.options import PredictOptions

LABELS = ["model_a", "model_b", "tie"]


def write_rows(path, rows=900):
    """Answers that say which of them wins; a quarter of the labels is drawn by lot."""
    draw = np.random.default_rng(0)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "response_a", "response_b", "winner"])
        for i in range(rows):
            k = draw.choice(3, p=[0.45, 0.4, 0.15])
            answers = [("yes", "no"), ("no", "yes"), ("yes", "yes")][k]
            writer.writerow([i, f"q {i}", *answers, LABELS[draw.choice(3) if draw.random() < 0.25 else k]])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model with skill, in two seconds; tests work on copies."""
    from arena import train

    place = tmp_path_factory.mktemp("trained")
    data = ["data=pairs", f"data.path={write_rows(place / 'rows.csv')}", "data.near_duplicates=null", "data.cache=null"]
    data += ["data.batch_size=16", "data.max_length=32", "data.val_share=0.25", "data.test_share=0.2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("WANDB_API_KEY", raising=False)
        chosen = ["resamples=0", "baselines=[]", "trainer.max_epochs=2", f"run_dir={place / 'run'}"]
        train.train(compose(*data, *chosen))
    return RunFolder(place / "run")


@pytest.fixture
def own(trained, tmp_path):
    return RunFolder(shutil.copytree(trained.path, tmp_path / "own"))


def run(folder, *arguments):
    given = [f"run={folder.path}", "resamples=20", *arguments]
    return calibrate.calibrate(read(CalibrateOptions, given))


def asked(folders, tmp_path, *arguments):
    """Header, numbers and the class by the decision rule, if any, of what `arena.predict` writes."""
    source = tmp_path / "some.csv"
    if not source.exists():
        write_rows(source, 40)
    runs = "[" + ",".join(str(folder.path) for folder in folders) + "]"
    given = [f"run={runs}", f"data.path={source}", f"output={tmp_path / 'x.csv'}", *arguments]
    predict.predict(read(PredictOptions, given))
    with open(tmp_path / "x.csv", newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    called = [line[header.index("predicted")] for line in lines] if "predicted" in header else []
    return header, np.array([list(map(float, line[1:4])) for line in lines]), called


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_predictions_are_calibrated_once_the_run_is(own, tmp_path, capsys):
    _, raw, _ = asked([own], tmp_path)
    before = files(own.path)
    found = run(own)
    report = ["report/calibration/calibration.tsv", "report/calibration/reliability.png"]
    assert set(files(own.path)) == {*before, "calibration.json", *report}
    said = capsys.readouterr().out
    assert "the model reproduces the recorded validation loss: 0." in said
    table = pq.read_table(own.predictions("val"))
    z = np.log(np.stack([table[f"probability_{label}"].to_numpy() for label in LABELS], axis=1).astype(float))
    target = np.array([LABELS.index(label) for label in table["target"].to_pylist()])
    temperature = scaling.fit_temperature(z, target)
    assert found["heads"][""]["weight"] == pytest.approx([1 / temperature] * 3, rel=1e-5)
    recorded = own.read_result()
    for name in ("log_loss", "brier_score", "calibration_error", "accuracy", "macro_f1"):
        value = recorded["test"][name if name in recorded["test"] else "brier"]["value"]
        assert found["compared"][""][name]["before"]["value"] == pytest.approx(value, abs=1e-6)
    assert json.loads((own.path / "calibration.json").read_text()) == found
    header, calibrated, _ = asked([own], tmp_path)
    assert header == ["id", *(f"winner_{label}" for label in LABELS), "in_sample"]
    expected = raw ** (1 / temperature)
    assert calibrated == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-6)
    assert abs(calibrated - raw).max() > 0.01
    assert f"own: calibrated by temperature {temperature:.4f}" in capsys.readouterr().out
    assert (asked([own], tmp_path, "calibrated=false")[1] == raw).all()
    assert "calibrated" not in capsys.readouterr().out


@pytest.mark.slow
def test_both_orders_are_calibrated_as_the_model_saw_them(own, trained, tmp_path):
    """The file with exchanged answers must give the mirrored result also with a bias for each class."""
    run(own, "method=vector")
    with open(write_rows(tmp_path / "some.csv", 40), newline="") as file:
        header, *lines = csv.reader(file)
    with open(tmp_path / "other.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *([i, q, b, a, w] for i, q, a, b, w in lines)])
    _, straight, _ = asked([own], tmp_path, "swap=true")
    _, mirrored, _ = asked([own], tmp_path, "swap=true", f"data.path={tmp_path / 'other.csv'}")
    assert straight == pytest.approx(mirrored[:, [1, 0, 2]], abs=1e-6)
    assert abs(straight - asked([trained], tmp_path, "swap=true")[1]).max() > 0.01


@pytest.mark.slow
def test_each_member_is_calibrated_before_the_average(own, trained, tmp_path, capsys):
    run(own, "decision=bias")
    capsys.readouterr()
    _, one, _ = asked([own], tmp_path)
    _, other, _ = asked([trained], tmp_path)
    header, both, _ = asked([own, trained], tmp_path)
    assert both == pytest.approx((one + other) / 2, abs=1e-12)
    assert "predicted" not in header


@pytest.mark.slow
def test_weights_of_an_ensemble_are_fitted_to_what_is_averaged(own, trained, tmp_path, capsys):
    """A calibrated and an uncalibrated copy: their printed losses are those of the validation rows."""
    found = run(own)
    other = RunFolder(shutil.copytree(trained.path, tmp_path / "other"))
    text = other.config.read_text()
    other.config.write_text(text.replace("seed: 0\n", "seed: 1\n", 1))  # another recipe
    assert text != other.config.read_text()
    capsys.readouterr()
    asked([own, other], tmp_path, "weights=validation")
    said = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    losses = {line[0]: float(line[1]) for line in said}
    fitted = found["heads"][""]["log_loss"]
    assert losses["own"] == pytest.approx(fitted["after"], abs=6e-5)
    assert losses["other"] == pytest.approx(fitted["before"], abs=6e-5)


def test_a_decision_rule_adds_a_column(own, tmp_path):
    """The rule is written by hand, so that the test does not rest on a gain in these few rows."""
    run(own)
    path = own.path / "calibration.json"
    known = json.loads(path.read_text())
    known["heads"][""]["decision"] = [0.0, 0.0, 3.0]
    path.write_text(json.dumps(known))
    header, calibrated, said = asked([own], tmp_path)
    assert header[4:] == ["predicted", "in_sample"]
    expected = (np.log(calibrated) + [0, 0, 3]).argmax(axis=1)
    assert said == [LABELS[k] for k in expected]
    assert (expected != calibrated.argmax(axis=1)).any()
    assert len(asked([own], tmp_path, "format=kaggle")[0]) == 4


def test_other_weights_than_those_of_the_calibration_are_refused(own, tmp_path):
    run(own)
    checkpoint = torch.load(own.best, weights_only=True)
    checkpoint["epoch"] = 99
    replace_best(own, checkpoint)
    with pytest.raises(
        DataError, match=r"calibration.json: it was fitted for other weights than .*best.ckpt; calibrate"
    ):
        asked([own], tmp_path)
    assert not (tmp_path / "x.csv").exists()
    asked([own], tmp_path, "calibrated=false")


def exchange(folder):
    """Weights as they are before training."""
    settings = restore.settings_of(folder)
    from arena.config import build

    checkpoint = torch.load(folder.best, weights_only=True)
    torch.manual_seed(1)
    checkpoint["state_dict"] = build.task(settings).own_state()
    replace_best(folder, checkpoint)


def shift(folder, split):
    """The predictions of another model."""
    table = pq.read_table(folder.predictions(split))
    loss = pa.array(table["loss"].to_numpy() * np.float32(1.1))
    both = table["probability_model_a"], table["probability_model_b"]
    for name, column in zip(("probability_model_b", "probability_model_a", "loss"), (*both, loss), strict=True):
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, folder.predictions(split))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda own: own.best.unlink(), r"best.ckpt: no such checkpoint \(the run's status is: completed\)"),
        (exchange, r"these weights give a validation loss of .*, the run recorded .* kind of machine of that run$"),
        (lambda own: shift(own, "val"), r"val.parquet: its probabilities are up to 0\.\d+ from what the weights say"),
        (lambda own: shift(own, "test"), "test.parquet: its mean loss is"),
        (lambda own: own.predictions("test").unlink(), "test.parquet: no such predictions"),
    ],
)
def test_a_run_that_is_not_as_it_was_is_refused(own, spoil, message):
    spoil(own)
    before = files(own.path)
    with pytest.raises(DataError, match=message):
        run(own)
    assert files(own.path) == before


@pytest.mark.slow
def test_a_run_that_learned_nothing_is_refused(folds, tmp_path):
    """Eight steps: it reproduces its validation loss, which is that of the prior."""
    before = files(folds["0"].path)
    with pytest.raises(DataError, match=r"(no skill|collapsed): .*; a model that knows nothing is refused"):
        run(folds["0"], f"output={tmp_path / 'out'}")
    assert files(folds["0"].path) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_without_test_rows_is_measured_on_validation(own, tmp_path):
    result = own.read_result()
    own.write_result(result | {"test": None})
    own.predictions("test").unlink()
    found = run(own, f"output={tmp_path / 'out'}", "decision=thresholds", "method=bias", "bins=5")
    assert found["judged_on"]["split"] == "val, cross-fitted"
    report = ["report/calibration/calibration.tsv", "report/calibration/reliability.png"]
    assert files(tmp_path / "out") == ["calibration.json", *report]
    assert not (own.path / "calibration.json").exists()


@pytest.mark.slow
def test_a_second_calibration_replaces_the_first(own):
    run(own)
    stale = own.path / "report" / "calibration" / "old.png"
    stale.write_bytes(b"")
    assert run(own, "method=bias")["heads"][""]["method"] == "bias"
    assert not stale.exists()
    # Nothing half-written beside the tables of the training.
    assert {path.name for path in stale.parent.parent.iterdir()} == {"calibration", "curves.png", "test", "val"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["method=platt"], "method=platt: one of temperature, vector, bias, auto is needed"),
        (["decision=best"], "decision=best: one of none, bias, thresholds is needed"),
        (["bins=0"], "bins=0: a whole number, 1 or more is needed"),
        (["resamples=true"], "resamples=True: a whole number, 0 or more is needed"),
        (["heads=stance"], r"heads=stance: a list or null is needed"),
        (["heads=[stance]"], "there is no head 'stance'"),
        (["data.path=x.csv"], "data.path: a run is calibrated on its own validation rows"),
        (["bin=3"], "bin: no such key; did you mean 'bins'"),
    ],
)
def test_what_cannot_work_is_refused_in_words(own, arguments, message):
    with pytest.raises(UsageError, match=message):
        run(own, *arguments)


def test_refusals_need_no_heavy_import(trained, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(trained.config, folder)
    cases = [(2, [f"run={folder}", "method=platt"]), (74, ["run=nothing"]), (65, [f"run={folder}"]), (0, ["--help"])]
    code = (
        "import sys\n"
        "from arena import calibrate\n"
        f"for code, arguments in {cases!r}:\n"
        "    sys.argv = ['calibrate', *arguments]\n"
        "    try: calibrate.main()\n"
        "    except SystemExit as end: assert end.code == code, (end.code, arguments)\n"
        "heavy = {'torch', 'lightning', 'transformers', 'pyarrow', 'numpy', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")})
