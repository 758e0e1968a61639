"""Several heads judged from their predictions file: against the formulas, row by row."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from support import HEADS, head_predictions, metrics_of_heads

from arena.callback.predictions import prediction_table, write_table
from arena.config.options import read
from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.types import UNLABELLED
from arena.evaluate import EvaluateOptions
from arena.evaluation import predictions, printing
from arena.evaluation import targets as aims
from arena.evaluation.predictions import evaluate_predictions

LABELS = HEADS
COUNTS = np.array([50, 30, 4, 20, 60])
ROWS = 120


@pytest.fixture
def told(tmp_path):
    """A predictions file, its probabilities `[N, 5]` and targets `[N, 2]`; some rows have no label at all."""
    return head_predictions(tmp_path / "predictions.parquet", LABELS, ROWS)


def labelled(target):
    return (target >= 0).any(axis=1)


def mean_loss(probabilities, target):
    """-log p of the labels of each head, averaged within the heads and then over them, written out."""
    heads = []
    for column, start in ((0, 0), (1, 3)):
        rows = zip(probabilities.astype(float), target[:, column], strict=True)
        losses = [-math.log(p[start + label]) for p, label in rows if label >= 0]
        heads.append(sum(losses) / len(losses))
    return sum(heads) / 2


def test_the_file_has_a_column_for_each_head(told):
    import pyarrow.parquet as pq

    path, probabilities, target = told
    table = pq.read_table(path)
    names = ["probability_stance_AGAINST", "probability_stance_FAVOR", "probability_stance_NONE"]
    names += ["probability_sentiment_negative", "probability_sentiment_positive", "target_stance", "target_sentiment"]
    assert table.column_names == ["id", *names, "loss", "group"]
    for i, row in enumerate(table.to_pylist()):
        assert row["target_stance"] == (LABELS["stance"][target[i, 0]] if target[i, 0] >= 0 else None)
    back = predictions.read(path, LABELS)
    assert (back.target == target[labelled(target)]).all()
    assert (back.probabilities == probabilities[labelled(target)]).all()


def test_gain_and_skill_are_of_the_log_loss_that_is_printed(told):
    path, probabilities, target = told
    judged = evaluate_predictions(path, metrics_of_heads(LABELS), COUNTS, 60, 3)
    assert (judged["rows"], judged["loss"]) == (labelled(target).sum(), 0.5)
    shares = [51 / 87, 31 / 87, 5 / 87, 21 / 82, 61 / 82]  # one added to each count: 84 + 3 rows, 80 + 2
    prior = np.tile(shares, (ROWS, 1))
    gain = mean_loss(prior, target) - mean_loss(probabilities, target)
    printed = judged["baselines"]["prior"]["log_loss"] - judged["metrics"]["log_loss"]["value"]
    assert printed == pytest.approx(gain, abs=1e-6)
    assert judged["gain_over_prior"]["value"] == pytest.approx(gain, abs=1e-6)
    assert judged["gain_over_prior"]["low"] < gain < judged["gain_over_prior"]["high"]
    for t, head in enumerate(LABELS):
        known = target[:, t] >= 0
        own = Heads(LABELS).slices[head]
        p, q, y = probabilities[known][:, own], prior[known][:, own], target[known, t]
        loss, of_prior = (sklearn_metrics.log_loss(y, each, labels=range(each.shape[1])) for each in (p, q))
        facts = judged["heads"][head]
        assert facts["rows"] == known.sum()
        assert facts["gain_over_prior"]["value"] == pytest.approx(of_prior - loss, abs=1e-6)
        assert facts["skill"] == pytest.approx(1 - loss / of_prior, abs=1e-6)
        assert judged["metrics"][f"{head}/log_loss"]["value"] == pytest.approx(loss, abs=1e-6)
        baseline = judged["baselines"]["prior"]
        assert baseline[f"{head}/log_loss"] == pytest.approx(of_prior, abs=1e-6)
        majority = np.full(len(y), q[0].argmax())
        f1 = sklearn_metrics.f1_score(y, majority, average="macro", labels=range(p.shape[1]))
        assert baseline[f"{head}/macro_f1"] == pytest.approx(f1, abs=1e-6)
    mean = np.mean([judged["baselines"]["prior"][f"{head}/macro_f1"] for head in LABELS])
    assert judged["baselines"]["prior"]["macro_f1"] == pytest.approx(mean)


def test_another_model_as_baseline(told):
    """It is given for every row of the file, also for those without labels. Right is a row with all labels right."""
    path, probabilities, target = told
    other = np.full_like(probabilities, 0.5)
    other[:, :3] = [0.2, 0.3, 0.5]
    skill = evaluate_predictions(path, metrics_of_heads(LABELS), COUNTS, 0, 3, {"other": other})["skill"]["other"]
    difference = mean_loss(other, target) - mean_loss(probabilities, target)
    assert skill["gain"]["value"] == pytest.approx(difference, abs=1e-6)
    right = []
    for p in (probabilities, other):
        hits = (p[:, :3].argmax(1) == target[:, 0]) | (target[:, 0] < 0)
        right.append((hits & ((p[:, 3:].argmax(1) == target[:, 1]) | (target[:, 1] < 0)))[labelled(target)])
    assert skill["exact_match"]["value"] == pytest.approx(right[0].mean() - right[1].mean())
    assert skill["exact_match"]["only_model"] == (right[0] & ~right[1]).sum()
    accuracy = [
        np.mean([(p[known, a:b].argmax(1) == target[known, t]).mean() for t, (a, b, known) in enumerate(parts)])
        for p in (probabilities, other)
        for parts in [[(0, 3, target[:, 0] >= 0), (3, 5, target[:, 1] >= 0)]]
    ]
    assert skill["accuracy"]["value"] == pytest.approx(accuracy[0] - accuracy[1])


def test_one_named_head_is_judged_like_an_unnamed_one(tmp_path, build_pairwise):
    labels = {"stance": LABELS["stance"]}
    path, probabilities, target = head_predictions(tmp_path / "named.parquet", labels, 60)
    named = evaluate_predictions(path, metrics_of_heads(labels), COUNTS[:3], 50, 3)
    known = target[:, 0] >= 0
    cov = {"row": np.arange(60), "id": list(map(str, range(60))), "group": [f"g{i // 3}" for i in range(60)]}
    table = prediction_table(
        pa.table(cov), labels["stance"], np.arange(60)[known], probabilities[known], target[known, 0],
        np.full(int(known.sum()), 0.5),
    )  # fmt: skip
    write_table(tmp_path / "single.parquet", table)
    single = evaluate_predictions(tmp_path / "single.parquet", build_pairwise, COUNTS[:3], 50, 3)
    assert named["gain_over_prior"] == single["gain_over_prior"]
    for name in ("log_loss", "accuracy", "macro_f1", "recall/NONE"):
        assert named["metrics"][f"stance/{name}"] == pytest.approx(single["metrics"][name], abs=1e-6)
    assert "heads" not in single


@pytest.fixture
def build_pairwise():
    from support import compose

    from arena.config import build
    from arena.config import compose as config

    settings = config.resolved(compose("data.labels=[AGAINST,FAVOR,NONE]", "run_dir=x"))
    return build.instantiate(settings["metric"])


def test_the_table_has_a_line_for_each_head_and_its_rarest_class(told, capsys):
    path, _, target = told
    judged = evaluate_predictions(path, metrics_of_heads(LABELS), COUNTS, 30, 3)
    printing.print_results("test", judged, "somewhere")
    lines = capsys.readouterr().out.splitlines()
    values = {line.split()[0]: line.split() for line in lines}
    assert lines[0] == f"test: {labelled(target).sum()} rows, 40 groups, means over heads"
    assert values["macro_f1"][1] == f"{judged['metrics']['macro_f1']['value']:.4f}"
    assert values["macro_f1"][5] == f"{judged['metrics']['weighted/macro_f1']['value']:.4f}"
    row = next(line.split() for line in lines if line.startswith("stance"))
    known = (target[:, 0] >= 0).sum()
    assert row[:3] == ["stance", str(known), f"{judged['metrics']['stance/log_loss']['value']:.4f}"]
    counts = np.bincount(target[target[:, 0] >= 0, 0])
    rarest = LABELS["stance"][counts.argmin()]
    recall = judged["metrics"][f"stance/recall/{rarest}"]
    again = [line for line in lines if line.startswith("stance")][1]
    assert again.split()[1:3] == [rarest, str(counts.min())]
    assert f"{recall['value']:.4f} ({recall['numerator']:g}/{counts.min()})" in again
    assert lines[-1] == "every class, confusion matrices and cross tables: somewhere"


def test_targets_beside_what_was_reached(told, tmp_path, capsys):
    metrics = metrics_of_heads(LABELS)
    values = {"macro_f1": {"value": 0.6, "low": 0.5, "high": 0.7}, "stance/log_loss": {"value": 0.8}}
    table = aims.lines({"macro_f1": 0.75, "stance/log_loss": 1.0}, values, metrics)
    # 0.6 / 0.75 of a score; of a loss 1.0 / 0.8, since lower is better.
    assert table[1][:4] + table[1][7:] == ["macro_f1", 0.6, 0.5, 0.7, "no"]
    assert table[1][4:7] == pytest.approx([0.75, -0.15, 0.8])
    assert table[2][4:7] == pytest.approx([1.0, -0.2, 1.25])
    assert table[2][7] == "yes"
    aims.write(tmp_path / "targets.csv", table)
    lines = (tmp_path / "targets.csv").read_text().splitlines()
    assert lines[0] == "metric,reached,low,high,target,gap,share_of_target,met"
    assert lines[2].startswith("stance/log_loss,0.8,,,1.0,")
    aims.print_targets(table)
    said = capsys.readouterr().out
    assert "macro_f1         0.6000   0.5000 to 0.7000  0.7500  -0.1500  80.0%            no" in said
    aims.print_targets(table[:1])
    assert capsys.readouterr().out == ""


def test_an_undefined_value_meets_no_target(capsys):
    table = aims.lines({"macro_f1": 0.5}, {"macro_f1": {"value": math.nan}}, metrics_of_heads(LABELS))
    assert table[1][7] == ""
    aims.print_targets(table)
    assert capsys.readouterr().out.splitlines()[-1].split() == ["macro_f1", "undefined", "0.5000"]


def test_a_target_needs_a_metric(train_run):
    with pytest.raises(UsageError, match=r"evaluate.targets: no metric 'macrof1'; did you mean 'macro_f1'\?"):
        train_run("run", "evaluate.targets={macrof1: 0.7}")
    with pytest.raises(UsageError, match="targets=0.7: names of metrics with numbers are needed"):
        aims.check_values(0.7, "targets")


@pytest.mark.slow
def test_a_run_and_its_evaluation_leave_the_tables(train_run, capsys):
    """A single classification, from the command to the files; evaluation takes the run's targets or others."""
    from arena import evaluate

    run = train_run("run", "trainer.max_steps=2", "evaluate.targets={accuracy: 0.9}", "evaluate.figures=true")
    for split in ("val", "test"):
        names = {path.name for path in (run.path / "report" / split).iterdir()}
        assert names == {"per_class.csv", "confusion.csv", "confusion.png", "targets.csv"}
    reached = run.read_result()["test"]["accuracy"]["value"]
    text = (run.path / "report/test/targets.csv").read_text().splitlines()[1].split(",")
    assert (text[0], float(text[1]), float(text[4])) == ("accuracy", reached, 0.9)
    assert f"every class, confusion matrices: {run.path / 'report/test'}" in capsys.readouterr().out

    def evaluated(*arguments):
        given = read(EvaluateOptions, [f"run={run.path}", "resamples=0", *arguments])
        evaluate.evaluate(given)
        return (run.path / "evaluation/val/targets.csv").read_text().splitlines()[1:]

    assert evaluated()[0].startswith("accuracy,")
    assert evaluated("targets={log_loss: 0.5}")[0].startswith("log_loss,")
    assert (run.path / "evaluation/val/per_class.csv").read_text() == (
        run.path / "report/val/per_class.csv"
    ).read_text()
    with pytest.raises(UsageError, match="no metric 'log_los'.*log_loss"):
        evaluated("targets={log_los: 0.5}")


def test_training_counts_of_heads_come_from_their_labelled_rows(tmp_path):
    import json

    from arena.config.restore import training_counts
    from arena.core.run import RunFolder

    shares = {"stance_AGAINST": 0.5, "stance_FAVOR": 0.3, "stance_NONE": 0.2}
    shares |= {"sentiment_negative": 0.25, "sentiment_positive": 0.75}
    facts = {"class_shares": {"train": shares}, "labelled": {"train": {"stance": 10, "sentiment": 8}}}
    (tmp_path / "result.json").write_text(json.dumps({"data": facts}))
    assert training_counts(RunFolder(tmp_path), LABELS).tolist() == [5, 3, 2, 2, 6]


def test_first_losses_and_collapses_know_heads(caplog):
    """ln 3 and ln 2 for equal probabilities; a row with one label counts that alone."""
    import logging
    from types import SimpleNamespace
    from typing import Any, cast

    from arena.callback.diagnostics import CollapseWarning, row_log_losses

    heads = Heads(LABELS)
    equal = torch.tensor([[1 / 3] * 3 + [1 / 2] * 2] * 4)
    target = torch.tensor([[0, 1], [UNLABELLED, 1], [2, UNLABELLED], [UNLABELLED, UNLABELLED]])
    wanted = [(math.log(3) + math.log(2)) / 2, math.log(2), math.log(3)]
    assert row_log_losses(equal, target, heads).tolist() == pytest.approx(wanted)
    probabilities = torch.tensor([[0.8, 0.1, 0.1, 0.4, 0.6], [0.7, 0.2, 0.1, 0.6, 0.4]])
    trainer = SimpleNamespace(sanity_checking=False, global_step=5)
    module = SimpleNamespace(predictions={"val": SimpleNamespace(probabilities=probabilities)})
    with caplog.at_level(logging.WARNING, logger="arena"):
        CollapseWarning(LABELS).on_validation_end(cast(Any, trainer), cast(Any, module))
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        "head stance collapsed at step 5: 2 of 2 validation rows are predicted as AGAINST"
    ]
