"""Every number of the tables against scikit-learn, Wilson's formula written out, or a count by hand."""

import csv
import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from support import HEADS, head_predictions, metrics_of_heads

from arena.core.heads import Heads
from arena.evaluation import tables

LABELS = HEADS
COUNTS = np.array([50, 30, 4, 20, 60])
ROWS = 120


@pytest.fixture
def folder(tmp_path):
    path, probabilities, target = head_predictions(tmp_path / "predictions.parquet", LABELS, ROWS)
    tables.write(path, LABELS, tmp_path / "report", COUNTS, figures=False)
    return tmp_path / "report", probabilities, target


def lines_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def wilson(part, whole):
    """The ends of the interval are the roots of (p - part / whole)^2 = z^2 p (1 - p) / whole."""
    z2 = 1.959963984540054**2
    return np.sort(np.roots([1 + z2 / whole, -2 * part / whole - z2 / whole, (part / whole) ** 2]).real)


def test_rates_of_every_class(folder):
    report, probabilities, target = folder
    for t, (head, classes) in enumerate(LABELS.items()):
        known = target[:, t] >= 0
        p, y = probabilities[known][:, Heads(LABELS).slices[head]], target[known, t]
        guess = p.argmax(axis=1)
        reference = sklearn_metrics.classification_report(y, guess, target_names=classes, output_dict=True)
        lines = lines_of(report / f"per_class_{head}.csv")
        assert [line["class"] for line in lines] == classes
        for k, line in enumerate(lines):
            numbers = {key: float(value) for key, value in line.items() if key != "class"}
            assert isinstance(reference, dict)
            wanted = reference[classes[k]]
            assert numbers["n_true"] == wanted["support"]
            assert numbers["n_predicted"] == (guess == k).sum()
            for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
                assert numbers[name] == pytest.approx(wanted[key], abs=1e-6)
            tn, fp, fn, tp = sklearn_metrics.confusion_matrix(y == k, guess == k).ravel()
            assert [numbers[name] for name in ("tn", "fp", "fn", "tp")] == [tn, fp, fn, tp]
            assert numbers["specificity"] == pytest.approx(sklearn_metrics.recall_score(y != k, guess != k), abs=1e-6)
            assert numbers["auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(y == k, p[:, k]), abs=1e-6)
            for name, part, whole in (
                ("precision", tp, tp + fp), ("recall", tp, tp + fn), ("specificity", tn, tn + fp),
                ("negative_predictive_value", tn, tn + fn),
            ):  # fmt: skip
                assert [numbers[f"{name}_low"], numbers[f"{name}_high"]] == pytest.approx(wilson(part, whole), abs=1e-6)


def test_what_does_not_exist_is_an_empty_cell_beside_its_counts():
    """Three rows of two classes, all said to be the first: no prediction of "b" (precision 0/0), no row of "c"."""
    lines = tables.per_class(["a", "b", "c"], np.tile([0.5, 0.3, 0.2], (3, 1)), np.array([0, 0, 1]))
    cells = list(csv.DictReader(tables.text_of(lines).splitlines()))
    assert (cells[1]["n_true"], cells[1]["n_predicted"], cells[1]["precision"], cells[1]["recall"]) == (
        "1", "0", "", "0.000000",
    )  # fmt: skip
    assert (cells[1]["precision_low"], cells[1]["precision_high"], cells[1]["f1"]) == ("", "", "0.000000")
    assert (cells[2]["recall"], cells[2]["f1"], cells[2]["auroc"]) == ("", "", "")
    assert (cells[0]["negative_predictive_value"], cells[0]["tn"], cells[0]["fn"]) == ("", "0", "0")
    assert cells[0]["auroc"] == "0.500000"


def test_confusion_matrices(folder):
    report, probabilities, target = folder
    known = target[:, 0] >= 0
    guess = probabilities[known][:, :3].argmax(axis=1)
    for normalize, column in ((None, "rows"), ("true", "share")):
        reference = sklearn_metrics.confusion_matrix(target[known, 0], guess, normalize=normalize)
        found = [float(line[column]) for line in lines_of(report / "confusion_stance.csv")]
        assert found == pytest.approx(reference.ravel(), abs=1e-6)


def test_a_head_given_the_other(folder):
    """Counted row by row."""
    report, probabilities, target = folder
    stance, sentiment = probabilities[:, :3].argmax(axis=1), probabilities[:, 3:].argmax(axis=1)
    lines = lines_of(report / "stance_given_sentiment.csv")
    assert [(line["given"], line["by"]) for line in lines] == [
        ("negative", "true"), ("positive", "true"), ("negative", "predicted"), ("positive", "predicted"),
    ]  # fmt: skip
    for line in lines:
        condition = target[:, 1] if line["by"] == "true" else sentiment
        k = LABELS["sentiment"].index(line["given"])
        rows = [i for i in range(ROWS) if condition[i] == k and target[i, 0] >= 0]
        assert int(line["rows"]) == len(rows)
        right = sum(stance[i] == target[i, 0] for i in rows)
        assert float(line["accuracy"]) == pytest.approx(right / len(rows), abs=1e-6)
        ends = float(line["accuracy_low"]), float(line["accuracy_high"])
        assert ends == pytest.approx(wilson(right, len(rows)), abs=1e-6)
        for c, name in enumerate(LABELS["stance"]):
            assert int(line[f"rows_true/{name}"]) == sum(target[i, 0] == c for i in rows)
            predicted = sum(stance[i] == c for i in rows)
            assert int(line[f"rows_predicted/{name}"]) == predicted
            assert float(line[f"share_predicted/{name}"]) == pytest.approx(predicted / len(rows), abs=1e-6)
    assert (report / "sentiment_given_stance.csv").is_file()


def test_heads_and_their_means(folder):
    from torch import from_numpy

    report, probabilities, target = folder
    metrics = metrics_of_heads(LABELS)
    metrics.update(from_numpy(probabilities), from_numpy(target))
    values = metrics.compute()
    lines = {line["head"]: line for line in lines_of(report / "heads.csv")}
    assert list(lines) == ["stance", "sentiment", "mean", "weighted"]
    for name in ("accuracy", "macro_f1", "macro_recall", "log_loss"):
        for head, key in (("stance", f"stance/{name}"), ("mean", name), ("weighted", f"weighted/{name}")):
            assert float(lines[head][name]) == pytest.approx(values[key], abs=2e-6)
    stance = target[target[:, 0] >= 0, 0]
    prior = np.array([51, 31, 5]) / 87
    assert float(lines["stance"]["prior_log_loss"]) == pytest.approx(-np.log(prior[stance]).mean(), abs=1e-5)
    mean = lines["mean"]
    assert float(mean["skill"]) == pytest.approx(1 - float(mean["log_loss"]) / float(mean["prior_log_loss"]), abs=1e-5)
    assert mean["accuracy_low"] == ""


def test_heads_together(folder):
    """Rows with both labels; Cramer's V from the chi-squared sum: sqrt(chi2 / n / (min(K, L) - 1))."""
    report, probabilities, target = folder
    both = (target >= 0).all(axis=1)
    guess = np.stack([probabilities[:, :3].argmax(axis=1), probabilities[:, 3:].argmax(axis=1)], axis=1)
    whole, pair = lines_of(report / "joint.csv")
    assert (whole["head"], pair["head"], pair["other"]) == ("all", "stance", "sentiment")
    right = int((guess == target)[both].all(axis=1).sum())
    for line in (whole, pair):
        assert (int(line["rows"]), int(line["all_right"])) == (both.sum(), right)
    for name, index in (("cramers_v_true", target), ("cramers_v_predicted", guess)):
        observed = np.zeros((3, 2))
        np.add.at(observed, (index[both, 0], index[both, 1]), 1)
        expected = observed.sum(axis=1, keepdims=True) * observed.sum(axis=0) / observed.sum()
        chi2 = ((observed - expected) ** 2 / expected).sum()
        assert float(pair[name]) == pytest.approx(math.sqrt(chi2 / both.sum()), abs=1e-6)


def test_cramers_v_at_its_ends():
    first = np.array([0, 1, 2] * 10)
    assert tables.cramers_v(first, first) == pytest.approx(1)
    assert tables.cramers_v(first, np.repeat([0, 1], 15)) < 0.1
    assert math.isnan(tables.cramers_v(first, np.zeros(30, dtype=int)))
    assert math.isnan(tables.cramers_v(first[:0], first[:0]))


def test_ten_heads(tmp_path):
    """Ten files of classes and of confusion, ninety cross tables, heads and joint."""
    labels = {f"head {t}": ["a, b", "c", "d"] for t in range(10)}
    path, *_ = head_predictions(tmp_path / "predictions.parquet", labels, 30)
    written = tables.write(path, labels, tmp_path / "report", figures=False)
    assert len(written) == 10 + 10 + 90 + 2
    assert all(each.is_file() for each in written)
    assert not list((tmp_path / "report").glob(".*"))
    assert "prior_log_loss" not in lines_of(tmp_path / "report" / "heads.csv")[0]
    assert lines_of(tmp_path / "report" / "per_class_head 3.csv")[0]["class"] == "a, b"


def test_the_picture_is_whole(tmp_path):
    path, *_ = head_predictions(tmp_path / "predictions.parquet", LABELS, 30)
    picture = tables.write(path, LABELS, tmp_path / "report")[-1].read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture.endswith(b"IEND\xaeB`\x82")
    assert not list((tmp_path / "report").glob(".*"))
