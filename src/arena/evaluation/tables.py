"""Tables of one predictions file: rates of every class, confusion matrices, and each head given the others.

Everything is counted from the file (and from the training rows of each class, for the prior), so the tables can be
made again at any time, and by hand. A value that does not exist (0/0) is an empty cell; its counts stand beside it.
Wilson's intervals take rows as independent; those of `result.json` are over whole groups.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from arena.core import tables
from arena.core.heads import Heads, Labels, column
from arena.core.run import write_atomically
from arena.evaluation.predictions import LabelledPredictions, prior_of, read
from arena.stats.classification import auroc, confusion_matrix, cramers_v, macro_f1_of
from arena.stats.intervals import quotient, wilson
from arena.stats.scores import head_means, label_log_losses

Line = dict[str, Any]
Indices = dict[str, dict[str, np.ndarray]]
"""Class indices `[N]` of each head: its labels (`true`, negative where unknown) and what was `predicted`."""
KINDS = ("true", "predicted")
RATES = ("precision", "recall", "specificity", "negative_predictive_value")


def write(
    predictions: Path, labels: Labels, folder: Path, class_counts: np.ndarray | None = None, figures: bool = True
) -> list[Path]:
    """Write every table of one predictions file into a folder; returns the files.

    | file | lines |
    |---|---|
    | `per_class_<head>.csv` | classes: counts, rates with Wilson intervals, F1, area under the ROC curve |
    | `confusion_<head>.csv` | true class and predicted class: rows, share of the true class |
    | `confusion.png` | the same for all heads, unless `figures` is false |
    | `heads.csv` | heads and their means: rows, accuracy, macro-F1, log loss, that of the prior, ... |
    | `<head>_given_<other>.csv` | classes of the other head, as labelled and as predicted: what this head does there |
    | `joint.csv` | pairs of heads: both right, Cramer's V of their labels and predictions; all heads right at once |

    A single classification has `per_class.csv`, `confusion.csv` and `confusion.png`. `class_counts` are the training
    rows of each class, for the prior's log loss.
    """
    labelled, heads = read(predictions, labels), Heads(labels)
    index = {
        "true": {head: labelled.target[:, t] for t, head in enumerate(heads.names)},
        "predicted": {head: part.argmax(axis=1) for head, part in heads.split(labelled.probabilities).items()},
    }
    confusions = {}
    for head, labels_of_head in heads.classes.items():
        known = index["true"][head] >= 0
        target, guess = (index[kind][head][known] for kind in KINDS)
        confusions[head] = confusion_matrix(target, guess, len(labels_of_head))
    found: dict[str, list[Line]] = {}
    for t, head in enumerate(heads.names):
        known = labelled.target[:, t] >= 0
        probabilities = labelled.probabilities[known][:, heads.slices[head]]
        found[column("per_class", head)] = per_class(heads.classes[head], probabilities, labelled.target[known, t])
        found[column("confusion", head)] = confusion_lines(heads.classes[head], confusions[head])
    if heads.named:
        found["heads"] = head_lines(heads, labelled, confusions, class_counts)
        for head in heads.names:
            for other in heads.names:
                if head != other:
                    found[f"{head}_given_{other}"] = given(heads, index, head, other)
    if len(heads) > 1:
        found["joint"] = joint(heads, index)
    written = []
    for name, lines in found.items():
        if lines:
            written.append(folder / f"{name}.csv")
            write_atomically(written[-1], text_of(lines))
    if figures:
        from arena.reporting import matrices

        written.append(folder / "confusion.png")
        matrices.confusion(written[-1], heads.classes, confusions)
    return written


def per_class(labels: Sequence[str], probabilities: np.ndarray, target: np.ndarray) -> list[Line]:
    """One line for each of K classes, from probabilities `[N, K]` and class indices `[N]`."""
    guess = probabilities.argmax(axis=1)
    lines = []
    for k, label in enumerate(labels):
        true, said = target == k, guess == k
        tp, fp = int((true & said).sum()), int((~true & said).sum())
        fn, tn = int((true & ~said).sum()), int((~true & ~said).sum())
        line: Line = {"class": label, "n_true": tp + fn, "n_predicted": tp + fp, "tp": tp, "fp": fp, "fn": fn, "tn": tn}
        counts = ((tp, tp + fp), (tp, tp + fn), (tn, tn + fp), (tn, tn + fn))
        for name, (part, whole) in zip(RATES, counts, strict=True):
            line |= rate(name, part, whole)
        lines.append(line | {"f1": ratio(2 * tp, 2 * tp + fp + fn), "auroc": float(auroc(probabilities[:, k], true))})
    return lines


def confusion_lines(labels: Sequence[str], counts: np.ndarray) -> list[Line]:
    """One line for each pair of true and predicted class."""
    return [
        {"true": true, "predicted": predicted, "rows": int(counts[i, j]), "share": ratio(counts[i, j], counts[i].sum())}
        for i, true in enumerate(labels)
        for j, predicted in enumerate(labels)
    ]


def head_lines(
    heads: Heads, labelled: LabelledPredictions, confusions: dict[str, np.ndarray], class_counts: np.ndarray | None
) -> list[Line]:
    """One line for each head, then `mean` (every head counts the same) and `weighted` (by labelled rows).

    As in `arena.metric.heads`, a head without labelled rows is in neither mean, and an undefined value makes both
    undefined.
    """
    losses = head_means(label_log_losses(_parts(heads, labelled.probabilities), labelled.target))
    known = labelled.target >= 0
    prior = None
    if class_counts is not None:
        prior = head_means(
            label_log_losses(_parts(heads, prior_of(heads, class_counts, len(labelled.target))), labelled.target)
        )
    lines: list[Line] = []
    for t, head in enumerate(heads.names):
        counts = confusions[head]
        true, right = counts.sum(axis=1), counts.diagonal()
        rows = int(true.sum())
        recall = [ratio(a, b) for a, b in zip(right, true, strict=True)]
        line = {"head": head, "rows": rows} | rate("accuracy", int(right.sum()), rows)
        line["share_of_largest_class"] = ratio(true.max(), rows)
        line |= {"macro_f1": float(macro_f1_of(counts)), "macro_recall": float(np.mean(recall))}
        line["log_loss"] = float(losses[t])
        if prior is not None:
            line["prior_log_loss"] = float(prior[t])
            line["skill"] = 1 - line["log_loss"] / line["prior_log_loss"] if rows else math.nan
        lines.append(line)
    some = [line for line in lines if line["rows"]]
    for name, weights in (("mean", np.ones(len(some))), ("weighted", np.array([line["rows"] for line in some]))):
        means: Line = {"head": name, "rows": int(known.any(axis=1).sum())}
        for key in lines[0]:
            # The ends of an interval and shares of the prior are not those of the mean.
            if key not in ("head", "rows", "accuracy_low", "accuracy_high", "skill"):
                means[key] = float(np.average([line[key] for line in some], weights=weights)) if some else math.nan
        if prior is not None:
            means["skill"] = 1 - means["log_loss"] / means["prior_log_loss"] if some else math.nan
        lines.append({key: means.get(key, math.nan) for key in lines[0]})
    return lines


def given(heads: Heads, index: Indices, head: str, other: str) -> list[Line]:
    """Labels and predictions of `head` where `other` has each class, once by its label and once by what was predicted.

    Only rows with a label of `head` count, and for the classes `by` label only those with a label of `other`.
    """
    target, guess = (index[kind][head] for kind in KINDS)
    lines = []
    for by in KINDS:
        for k, label in enumerate(heads.classes[other]):
            chosen = (index[by][other] == k) & (target >= 0)
            rows, right = int(chosen.sum()), int((target == guess)[chosen].sum())
            line: Line = {"given": label, "by": by, "rows": rows, "right": right} | rate("accuracy", right, rows)
            for kind in KINDS:
                for c, name in enumerate(heads.classes[head]):
                    count = int((index[kind][head][chosen] == c).sum())
                    line |= {f"rows_{kind}/{name}": count, f"share_{kind}/{name}": ratio(count, rows)}
            lines.append(line)
    return lines


def joint(heads: Heads, index: Indices) -> list[Line]:
    """How the heads go together: a line for all of them and one for each pair, of the rows that have all the labels."""

    def line(head: str, other: str, among: Sequence[str], values: Sequence[float]) -> Line:
        known = np.all([index["true"][one] >= 0 for one in among], axis=0)
        right = known & np.all([index["true"][one] == index["predicted"][one] for one in among], axis=0)
        found: Line = {"head": head, "other": other, "rows": int(known.sum()), "all_right": int(right.sum())}
        found |= rate("accuracy", found["all_right"], found["rows"])
        return found | {f"cramers_v_{kind}": value for kind, value in zip(KINDS, values, strict=True)}

    lines = [line("all", "", heads.names, [math.nan, math.nan])]
    for head, other in combinations(heads.names, 2):
        known = (index["true"][head] >= 0) & (index["true"][other] >= 0)
        values = [cramers_v(index[kind][head][known], index[kind][other][known]) for kind in KINDS]
        lines.append(line(head, other, [head, other], values))
    return lines


def rate(name: str, part: int, whole: int) -> Line:
    """A rate and the ends of its Wilson interval."""
    low, high = wilson(part, whole)
    return {name: ratio(part, whole), f"{name}_low": low, f"{name}_high": high}


def ratio(part: float, whole: float) -> float:
    """`part / whole`, NaN for 0/0."""
    return float(quotient(part, whole))


def text_of(lines: Iterable[Line]) -> str:
    """Lines as CSV with a header: six decimals, an empty cell for NaN."""
    lines = list(lines)
    return tables.text_of([list(lines[0]), *([_cell(value) for value in line.values()] for line in lines)])


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6f}"


def _parts(heads: Heads, probabilities: np.ndarray) -> list[np.ndarray]:
    return list(heads.split(probabilities).values())
