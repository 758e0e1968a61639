"""Several heads from the command line to the files: train, judge, predict, calibrate and average, on a small csv."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as reference
from support import HEADS, compose, head_settings, replace_best, write_head_rows
from test_resume import equal, stop_at

from arena import baseline, calibrate, evaluate, export, predict
from arena.calibrate import CalibrateOptions
from arena.config import build, restore
from arena.config import compose as config
from arena.config.options import read
from arena.config.weights import read_checkpoint
from arena.core.errors import DataError, Interrupted, UsageError
from arena.core.heads import Heads
from arena.core.run import RunFolder
from arena.evaluate import EvaluateOptions
from arena.export import ExportOptions
from arena.inference.options import PredictOptions
from arena.logger import journal

LABELS = HEADS
HEAD = Heads(LABELS)


QUICK = ("trainer.max_steps=3", "test=false", "evaluate.figures=false", "data.limit=100")


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    return write_head_rows(tmp_path_factory.mktemp("rows") / "rows.csv")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def trained(folder: Path, rows: Path, *overrides: str) -> RunFolder:
    from arena import train

    train.train(compose(*head_settings(rows), *overrides, f"run_dir={folder}"))
    return RunFolder(folder)


@pytest.fixture(scope="module")
def good(rows, tmp_path_factory) -> RunFolder:
    """A model with skill, and the reference beside it; tests work on copies."""
    place = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("WANDB_API_KEY", raising=False)
        return trained(place / "run", rows, "trainer.max_epochs=5", "baselines=[tfidf]")


@pytest.fixture
def own(good, tmp_path) -> RunFolder:
    return RunFolder(shutil.copytree(good.path, tmp_path / "own"))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def table_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(cell: str) -> float:
    return float(cell) if cell else math.nan


class LabelledPredictions:
    """The labelled rows of one head in a predictions file."""

    def __init__(self, path: Path, head: str) -> None:
        table = pq.read_table(path)
        target = table[HEAD.target_column(head)].to_pylist()
        known = [i for i, label in enumerate(target) if label is not None]
        self.known = np.isin(np.arange(len(target)), known)
        self.true = np.array([LABELS[head].index(target[i]) for i in known])
        columns = [table[name].to_numpy() for name in HEAD.probability_columns(head)]
        found = np.stack(columns, axis=1).astype(float)[known]
        self.probabilities = found / found.sum(axis=1, keepdims=True)  # the file has float32
        self.said = self.probabilities.argmax(axis=1)
        self.classes = list(range(len(LABELS[head])))


# --- what a training leaves -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_training_leaves_every_table(good):
    tables = ["confusion.png", "confusion_sentiment.csv", "confusion_stance.csv", "heads.csv", "joint.csv"]
    tables += ["per_class_sentiment.csv", "per_class_stance.csv"]
    tables += ["sentiment_given_stance.csv", "stance_given_sentiment.csv"]
    assert files(good.path / "report" / "test") == files(good.path / "report" / "val") == tables
    assert {"classes.tsv", "splits.parquet", "reference/tfidf.npz"} <= set(files(good.path))


def test_the_splits_have_every_labelled_row_once(good, rows):
    labelled = {row["id"]: row for row in table_of(rows) if row["stance"] or row["sentiment"]}
    splits = pq.read_table(good.splits).to_pylist()
    assert sorted(row["id"] for row in splits) == sorted(labelled)
    lines = [line.split("\t") for line in (good.path / "classes.tsv").read_text().splitlines()]
    assert lines[0][:5] == ["head", "class", "train", "val", "test"]
    assert [(line[0], line[1]) for line in lines[1:]] == [(h, label) for h in LABELS for label in LABELS[h]]
    for head, label, *cells in lines[1:]:
        counts = [sum(labelled[r["id"]][head] == label for r in splits if r["split"] == s) for s in lines[0][2:5]]
        assert list(map(int, cells[:3])) == counts


@pytest.mark.parametrize("head", LABELS)
def test_the_tables_agree_with_scikit_learn(good, head):
    told, report = LabelledPredictions(good.predictions("test"), head), good.path / "report" / "test"
    assert not told.known.all(), "some labels are missing"
    scored: Any = reference.precision_recall_fscore_support(told.true, told.said, labels=told.classes)
    precision, recall, f1, rows = scored
    assert len(np.unique(told.said)) == len(told.classes), "every class is predicted, so that no rate is undefined"
    lines = table_of(report / f"per_class_{head}.csv")
    assert [line["class"] for line in lines] == LABELS[head]
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("n_true", rows)):
        assert [number(line[name]) for line in lines] == pytest.approx(list(expected), abs=1e-6), name
    counts = reference.confusion_matrix(told.true, told.said, labels=told.classes)
    lines = table_of(report / f"confusion_{head}.csv")
    assert [(line["true"], line["predicted"]) for line in lines] == [(a, b) for a in LABELS[head] for b in LABELS[head]]
    assert [int(line["rows"]) for line in lines] == counts.ravel().tolist()
    [line] = [line for line in table_of(report / "heads.csv") if line["head"] == head]
    metrics = good.read_result()["test"]
    macro = reference.f1_score(told.true, told.said, labels=told.classes, average="macro")
    loss = reference.log_loss(told.true, told.probabilities, labels=told.classes)
    for name, expected in (("macro_f1", macro), ("log_loss", loss), ("accuracy", np.mean(told.true == told.said))):
        assert float(line[name]) == pytest.approx(expected, abs=2e-6), name
        assert metrics[f"{head}/{name}"]["value"] == pytest.approx(expected, abs=1e-6), name
    assert metrics[f"{head}/recall/{LABELS[head][0]}"]["value"] == pytest.approx(recall[0], abs=1e-6)


def test_the_heads_together_agree_with_counts(good):
    report = good.path / "report" / "test"
    told = {head: LabelledPredictions(good.predictions("test"), head) for head in LABELS}
    both = told["stance"].known & told["sentiment"].known
    right = [(each.true == each.said)[both[each.known]] for each in told.values()]
    everything, pair = table_of(report / "joint.csv")
    for line in (everything, pair):
        assert (int(line["rows"]), int(line["all_right"])) == (both.sum(), (right[0] & right[1]).sum())
    assert (everything["head"], pair["head"], pair["other"]) == ("all", "stance", "sentiment")
    by = [line for line in table_of(report / "stance_given_sentiment.csv") if line["by"] == "true"]
    assert [line["given"] for line in by] == LABELS["sentiment"]
    other = told["sentiment"].true[both[told["sentiment"].known]]
    for k, line in enumerate(by):
        assert (int(line["rows"]), int(line["right"])) == ((other == k).sum(), right[0][other == k].sum())


def test_the_result_has_every_head_beside_its_baselines(good):
    result = good.read_result()
    assert result["status"] == "completed"
    test, counts = result["test"], result["data"]["labelled"]
    for name in ("log_loss", "accuracy", "macro_f1"):
        assert test[name]["value"] == pytest.approx(np.mean([test[f"{head}/{name}"]["value"] for head in LABELS]))
        weights = [counts["test"][head] for head in LABELS]
        weighted = np.average([test[f"{head}/{name}"]["value"] for head in LABELS], weights=weights)
        assert test[f"weighted/{name}"]["value"] == pytest.approx(weighted)
    assert set(result["baselines"]["test"]) == {"prior", "tfidf"}
    for head in LABELS:
        told = LabelledPredictions(good.predictions("test"), head)
        shares = np.array([result["data"]["class_shares"]["train"][name] for name in HEAD.columns_of(head)])
        prior = -np.log(shares[told.true]).mean()
        assert result["baselines"]["test"]["prior"][f"{head}/log_loss"] == pytest.approx(prior, abs=0.01)
        gain = result["baselines"]["test"]["prior"][f"{head}/log_loss"] - test[f"{head}/log_loss"]["value"]
        assert result["heads"]["test"][head]["gain_over_prior"]["value"] == pytest.approx(gain, abs=1e-6)
        assert gain > 0.2, "the fixture has skill"
        assert result["heads"]["test"][head]["rows"] == len(told.true)


# --- evaluate and predict -------------------------------------------------------------------------------------------


def evaluated(run: RunFolder, *arguments: str) -> dict:
    return evaluate.evaluate(read(EvaluateOptions, [f"run={run.path}", "resamples=0", *arguments])).details


def predicted(runs: list[RunFolder], source: Path, output: Path, *arguments: str) -> tuple[list[dict], np.ndarray]:
    """The lines of the file, and their probabilities `[N, C]`."""
    names = ",".join(str(run.path) for run in runs)
    given = [f"run=[{names}]", f"data.path={source}", f"output={output}", *arguments]
    predict.predict(read(PredictOptions, given))
    lines = table_of(output)
    columns = [name for head in LABELS for name in HEAD.probability_columns(head)]
    return lines, np.array([[float(line[name]) for name in columns] for line in lines])


def test_evaluate_reproduces_the_run(own, capsys):
    judged = evaluated(own)
    recorded = own.read_result()["validation"]
    assert judged["metrics"]["stance/log_loss"]["value"] == pytest.approx(recorded["stance/log_loss"]["value"])
    assert judged["metrics"]["macro_f1"]["value"] == pytest.approx(recorded["macro_f1"]["value"])
    assert f"recorded validation loss: {recorded['loss']['value']:.7f}" in capsys.readouterr().out
    assert (own.path / "evaluation" / "val" / "heads.csv").is_file()


def test_evaluate_judges_every_row_of_another_file(own, tmp_path):
    source = write_head_rows(tmp_path / "other.csv", 90, seed=5)
    judged = evaluated(own, f"data.path={source}", "verify=false", f"output={tmp_path / 'out'}")
    told = {head: LabelledPredictions(tmp_path / "out" / "predictions.parquet", head) for head in LABELS}
    for head, each in told.items():
        assert len(each.true) == sum(bool(row[head]) for row in table_of(source))
        expected = reference.log_loss(each.true, each.probabilities, labels=each.classes)
        assert judged["metrics"][f"{head}/log_loss"]["value"] == pytest.approx(expected, abs=1e-6)
        before = own.read_result()["baselines"]["test"]["prior"][f"{head}/log_loss"]
        assert judged["baselines"]["prior"][f"{head}/log_loss"] == pytest.approx(before, abs=0.1)


def test_predict_needs_no_labels(good, rows, tmp_path):
    """The rows of the training file without their labels: what the run said of its test rows, and all others too."""
    bare = write_head_rows(tmp_path / "bare.csv", labelled=False)
    lines, probabilities = predicted([good], bare, tmp_path / "x.csv")
    assert list(lines[0]) == [
        "id",
        *(name for head in LABELS for name in HEAD.probability_columns(head)),
        *(f"predicted_{head}" for head in LABELS),
        "in_sample",
    ]
    assert [line["id"] for line in lines] == [row["id"] for row in table_of(rows)]
    for head, where in HEAD.slices.items():
        assert probabilities[:, where].sum(axis=1) == pytest.approx(1, abs=1e-6)
        said = [LABELS[head][k] for k in probabilities[:, where].argmax(axis=1)]
        assert [line[f"predicted_{head}"] for line in lines] == said
    place = {line["id"]: i for i, line in enumerate(lines)}
    stored = pq.read_table(good.predictions("test"))
    chosen = probabilities[[place[name] for name in stored["id"].to_pylist()]]
    split = dict(zip(*pq.read_table(good.splits, columns=["id", "split"]).to_pydict().values(), strict=True))
    assert [line["in_sample"] for line in lines] == [str(split.get(line["id"]) == "train").lower() for line in lines]
    columns = [name for head in LABELS for name in HEAD.probability_columns(head)]
    assert chosen == pytest.approx(np.stack([stored[name].to_numpy() for name in columns], axis=1), abs=1e-5)


@pytest.mark.slow
def test_ensembles_are_means(good, rows, tmp_path):
    """Of two seeds; and of a model and a run of reference models."""
    second = trained(tmp_path / "second", rows, "seed=1", "test=false", "trainer.max_steps=20")
    output = tmp_path / "reference"
    given = [*head_settings(rows)[:-2], "resamples=0", f"output={output}"]
    baseline.baseline(read(baseline.BaselineOptions, given))
    reference_run = RunFolder(output)
    bare = write_head_rows(tmp_path / "bare.csv", 60, seed=3, labelled=False)
    alone = {run.path: predicted([run], bare, tmp_path / "x.csv")[1] for run in (good, second, reference_run)}
    for other in (second, reference_run):
        _, both = predicted([good, other], bare, tmp_path / "x.csv")
        assert both == pytest.approx((alone[good.path] + alone[other.path]) / 2, abs=1e-9)
        assert abs(alone[good.path] - alone[other.path]).max() > 0.05


# --- calibrate ------------------------------------------------------------------------------------------------------


def calibrated(run: RunFolder, *arguments: str) -> dict:
    return calibrate.calibrate(read(CalibrateOptions, [f"run={run.path}", "resamples=20", *arguments]))


@pytest.mark.slow
def test_predict_applies_the_temperature_of_each_head(own, tmp_path):
    bare = write_head_rows(tmp_path / "bare.csv", 60, seed=3, labelled=False)
    _, raw = predicted([own], bare, tmp_path / "x.csv")
    before = files(own.path)
    found = calibrated(own)
    report = [f"report/calibration/{name}" for name in ("calibration.tsv", "sentiment.png", "stance.png")]
    assert set(files(own.path)) == {*before, "calibration.json", *report}
    assert json.loads((own.path / "calibration.json").read_text()) == found
    _, after = predicted([own], bare, tmp_path / "x.csv")
    for head, where in HEAD.slices.items():
        told = LabelledPredictions(own.predictions("val"), head)
        [weight] = set(found["heads"][head]["weight"])
        assert weight != 1
        expected = raw[:, where] ** weight
        assert after[:, where] == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-6)

        def loss(w, told=told):
            scaled = told.probabilities**w
            return -np.log((scaled / scaled.sum(axis=1, keepdims=True))[np.arange(len(told.true)), told.true]).mean()

        assert loss(weight) <= min(loss(0.98 * weight), loss(1.02 * weight)), "the best temperature"
    assert (predicted([own], bare, tmp_path / "x.csv", "calibrated=false")[1] == raw).all()


def exchange(run: RunFolder) -> None:
    """Weights as they are before training."""
    checkpoint = torch.load(run.best, weights_only=True)
    torch.manual_seed(1)
    checkpoint["state_dict"] = build.task(restore.settings_of(run)).own_state()
    replace_best(run, checkpoint)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (exchange, "these weights give a validation loss of"),
        (lambda run: run.best.unlink(), "best.ckpt: no such checkpoint"),
    ],
    ids=["untrained", "deleted"],
)
def test_a_spoilt_run_is_not_calibrated(own, spoil, message):
    spoil(own)
    before = files(own.path)
    with pytest.raises(DataError, match=message):
        calibrated(own)
    assert files(own.path) == before


@pytest.mark.slow
def test_refusals_on_the_command_line(arena, good, rows, tmp_path):
    """Untrained, collapsed and deleted: exit code 65 and the reason in one line; a good run: 0."""
    runs = {name: RunFolder(shutil.copytree(good.path, tmp_path / name)) for name in ("good", "untrained", "deleted")}
    exchange(runs["untrained"])
    runs["deleted"].best.unlink()
    trained(tmp_path / "collapsed", rows, "optim.lr=1e-9", "trainer.max_steps=3")
    reasons = {
        "untrained": "these weights give a validation loss of",
        "deleted": "best.ckpt: no such checkpoint (the run's status is: completed)",
        "collapsed": "a model that knows nothing is refused",
    }
    for name, reason in reasons.items():
        done = arena("calibrate", f"run={name}")
        lines = done.stderr.strip().splitlines()
        assert (done.returncode, len(lines)) == (65, 1), lines
        assert reason in lines[0]
        assert not (tmp_path / name / "calibration.json").exists()
    done = arena("calibrate", "run=good", "resamples=20")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "good" / "calibration.json").is_file()


# --- losses ---------------------------------------------------------------------------------------------------------


def logged(run: RunFolder, name: str) -> list[float]:
    return [float(line["value"]) for line in table_of(run.metrics) if (line["split"], line["name"]) == ("train", name)]


def test_rdrop_trains(rows, tmp_path):
    run = trained(tmp_path / "run", rows, *QUICK, "loss.rdrop.alpha=0.5", "trainer.log_every_n_steps=1")
    values = logged(run, "rdrop")
    assert values[0] == 0, "the heads' last layers start at zero, and with them every difference"
    assert len(values) == 3
    assert min(values[1:]) > 0
    assert run.read_result()["status"] == "completed"


def test_rdrop_without_dropout_is_refused(rows, tmp_path):
    bare = ("model.dropout=0", "model.input_dropout=0", "head.dropout=0", "trainer.max_steps=20")
    with pytest.raises(UsageError, match=r"loss.rdrop.alpha=0.5 does nothing: .* give the model dropout"):
        trained(tmp_path / "run", rows, *QUICK, "loss.rdrop.alpha=0.5", *bare)


def test_rdrop_on_single_copies_is_refused(rows, tmp_path):
    with pytest.raises(UsageError, match=r"loss.rdrop.alpha=0.5 compares two copies .*; set data.copies=2"):
        trained(tmp_path / "run", rows, *QUICK, "loss.rdrop.alpha=0.5", "data.copies=1")


def test_two_stages_in_one_head(rows, tmp_path):
    """And another loss in the other head; the probabilities are those of the stages."""
    stages = "+loss.overrides.stance={_target_: arena.loss.rare_classes.TwoStage, _partial_: true, first: NONE}"
    options = ("loss@loss.head=focal", "loss.head.gamma=1", stages)
    run = trained(tmp_path / "run", rows, *QUICK, *options)
    lines, probabilities = predicted([run], write_head_rows(tmp_path / "x.csv", 20, 3, False), tmp_path / "y.csv")
    assert len(lines) == 20
    settings = restore.settings_of(run)
    losses = restore.rebuild(run, settings).loss.losses
    assert [type(loss).__name__ for loss in losses] == ["TwoStage", "Focal"]
    assert (losses[0].first, losses[1].gamma) == ("NONE", 1)
    for where in HEAD.slices.values():
        assert probabilities[:, where].sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_batches_without_any_label_of_a_head(tmp_path):
    """One row in each batch; half of the rows have no sentiment, a third no stance."""
    with open(tmp_path / "rows.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", *LABELS])
        for i in range(48):
            stance = "" if i % 3 == 0 else LABELS["stance"][i // 3 % 3]
            writer.writerow([f"text {i}", stance, "" if i % 2 else LABELS["sentiment"][i // 2 % 2]])
    options = ("data.batch_size=1", "trainer.max_epochs=1", "trainer.max_steps=-1", "loss.weighting=uncertainty")
    run = trained(tmp_path / "run", tmp_path / "rows.csv", *QUICK, *options, "trainer.log_every_n_steps=1")
    assert run.read_result()["data"]["rows_dropped"]["unlabelled"] == 8
    values = logged(run, "loss")
    assert values
    assert np.isfinite(values).all()
    assert all(torch.isfinite(value).all() for value in torch.load(run.best, weights_only=True)["state_dict"].values())


def test_three_corrections_are_warned_of_once(rows, tmp_path, caplog):
    options = (
        "data.sampling=balanced",
        "data.multipliers={sentiment: {positive: 3.0}}",
        "loss.head.class_weight=balanced",
    )
    adjusted = "+loss.overrides.sentiment={_target_: arena.loss.rare_classes.LogitAdjustment, _partial_: true}"
    trained(tmp_path / "run", rows, *QUICK, "trainer.max_epochs=2", *options, adjusted)
    found = [record.getMessage() for record in caplog.records if "both correct for rare classes" in record.getMessage()]
    assert [message.partition(":")[0] for message in found] == ["head stance", "head sentiment"]
    for message, source in zip(found, ("class weights (loss.class_weight)", "logit adjustment"), strict=True):
        assert source in message
        assert "natural prior" in message
        assert "effective prior" in message


def test_the_order_of_the_heads_only_moves_columns(rows, tmp_path):
    """The same weights under their other places: the same loss of every row, the same probabilities by their names."""
    made = []
    for order in ("stance,sentiment", "sentiment,stance"):
        options = head_settings(rows, f"data.heads=[{order}]", "data.limit=100", "loss.head.class_weight=balanced")
        settings = config.resolved(compose(*options, f"run_dir={tmp_path}"))
        data = build.data(settings)
        data.setup("fit")
        task = build.task(settings).eval()
        build.init_from_class_prior(task, data)
        made.append((task, data, next(iter(data.val_dataloader()))))
    (first, before, batch), (second, after, permuted) = made
    assert torch.equal(batch.row, permuted.row)
    assert torch.equal(batch.target, permuted.target.flip(1))
    torch.manual_seed(0)
    known = {name: torch.randn_like(value) / 4 for name, value in first.model.state_dict().items()}
    first.model.load_state_dict(known)
    exchange = {"head.heads.0.": "head.heads.1.", "head.heads.1.": "head.heads.0."}
    exchanged = {exchange.get(name[:13], name[:13]) + name[13:]: value for name, value in known.items()}
    assert exchanged.keys() == known.keys()
    second.model.load_state_dict(exchanged)
    with torch.inference_mode():
        logits, moved = first.model(batch), second.model(permuted)
        assert torch.allclose(first.loss.rows(logits, batch), second.loss.rows(moved, permuted), atol=1e-6)
        one, two = first.loss(logits, batch), second.loss(moved, permuted)
        assert float(one.loss) == pytest.approx(float(two.loss), abs=1e-6)
        found, expected = second.loss.predict(moved), first.loss.predict(logits)
    assert float(expected.std()) > 0.05
    places = [after.heads.columns.index(name) for name in before.heads.columns]
    assert places != sorted(places)
    assert torch.allclose(found[:, places], expected, atol=1e-6)


def test_export_says_that_it_cannot(own, tmp_path):
    given = read(ExportOptions, [f"run={own.path}", f"output={tmp_path / 'out'}"])
    with pytest.raises(UsageError, match="several heads, .* arena.predict"):
        export.export(given)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_weights_of_two_seeds_are_averaged(good, rows, tmp_path):
    """Runs of one recipe; the mean predicts and is judged like any run."""
    runs = [trained(tmp_path / f"{seed}", rows, *QUICK, f"seed={seed}") for seed in (0, 1)]
    given = [f"run=[{runs[0].path},{runs[1].path}]", f"output={tmp_path / 'mean'}", "average=true"]
    mean = RunFolder(export.export(read(ExportOptions, given)))
    states = [torch.load(run.best, weights_only=True)["state_dict"] for run in (*runs, mean)]
    for name, value in states[2].items():
        half = (states[0][name].double() + states[1][name].double()) / 2
        assert torch.equal(value, half.to(value.dtype)), name
    source = write_head_rows(tmp_path / "x.csv", 30, seed=3)
    _, probabilities = predicted([mean], source, tmp_path / "y.csv")
    for where in HEAD.slices.values():
        assert probabilities[:, where].sum(axis=1) == pytest.approx(1, abs=1e-6)
    judged = evaluated(mean, f"data.path={source}", "verify=false", f"output={tmp_path / 'out'}")
    assert judged["rows"] > 20


@pytest.mark.slow
def test_three_stops_change_no_bit(rows, tmp_path, monkeypatch):
    """As in test_resume.py, with everything that only several heads have."""
    more = ["loss.rdrop.alpha=0.5", "data.sampling=balanced", "data.augment={word_dropout: 0.1, token_dropout: 0.1}"]
    more += ["loss.weighting=dynamic", "trainer.max_steps=30", "trainer.max_epochs=100", "validate_every=5"]
    more += ["trainer.log_every_n_steps=1", "data.limit=160", "data.batch_size=8", "evaluate.figures=false"]
    whole = trained(tmp_path / "whole", rows, *more)
    resume: list[str] = []
    for step in (7, 15, 22):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Interrupted, match=f"after step {step}"):
                trained(tmp_path / "parts", rows, *more, *resume)
        resume = [f"resume={tmp_path / 'parts'}"]
    parts = trained(tmp_path / "parts", rows, *more, *resume)
    first, second = (read_checkpoint(run.last) for run in (whole, parts))
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "HeadData"):
        assert equal(first[key], second[key]), key
    assert list(map(repr, journal.read(whole.metrics))) == list(map(repr, journal.read(parts.metrics)))  # nan != nan
    assert whole.read_result()["test"] == parts.read_result()["test"]
