"""What runs that classify are compared by: log loss, accuracy, Brier score and macro-F1, of each head and their means.

Shape legend: N rows, T heads, K classes of one head, C the classes of all heads.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from arena.core.errors import DataError
from arena.core.files import read_parquet
from arena.core.heads import Heads
from arena.core.run import RunFolder
from arena.evaluation.comparison.arms import predictions
from arena.evaluation.comparison.rows import Aligned, Table, fingerprint_of, strings
from arena.evaluation.predictions import read
from arena.inference.members import labels_of
from arena.stats.arms import Array, Statistic, ratio
from arena.stats.classification import absent, macro_f1_of
from arena.stats.scores import brier_score, exact_match, label_hits, label_log_losses
from arena.stats.significance import mcnemar as exact_test

MEASURES = {"log_loss": False, "accuracy": True, "brier": False, "macro_f1": True}
"""Whether more is better."""


def read_classes(run: RunFolder, split: str, heads: Heads) -> Table:
    """The labelled rows of a split with `probabilities [N, C]`, the classes in the order of `heads`.

    Raises:
        InputOutputError: there is no such file.
        DataError: the run has other classes.
    """
    own = Heads(labels_of(run))
    if set(own.columns) != set(heads.columns) or own.named != heads.named:
        raise DataError(f"{run.path} has the classes {', '.join(own.columns)}, not {', '.join(heads.columns)}")
    path = predictions(run, split)
    told = read(path, heads.classes if heads.named else heads.classes[""])
    ids = strings(read_parquet(path, ["id"]), "id")[told.kept]
    values = {"probabilities": told.probabilities}
    return Table(path, ids, told.groups.astype(str), told.target, values, fingerprint_of(run))


def names(heads: Heads) -> list[str]:
    """Every measure: of the mean over the heads (of the one head, where there is one), and `head/measure`."""
    return [*MEASURES, *(f"{head}/{name}" for head in heads.names for name in MEASURES if heads.named)]


def class_sums(heads: Heads, rows: Aligned, table: Table) -> dict[tuple[str, str], Array]:
    """Sums over groups of each head's measures, `[G, m]`: what was lost or right, and rows; the confusion matrix."""
    target, found = table.target, {}
    assert target is not None
    split = heads.split(table.values["probabilities"])
    losses = label_log_losses(list(split.values()), target)
    for t, (head, part) in enumerate(split.items()):
        known, true = target[:, t] >= 0, np.maximum(target[:, t], 0)
        guess, classes = part.argmax(axis=1), part.shape[1]
        each = {
            "log_loss": np.nan_to_num(losses[:, t]),
            "accuracy": guess == true,
            "brier": brier_score(part, true),
        }
        for name, values in each.items():
            found[head, name] = rows.sums(np.stack([values * known, known], axis=1))
        found[head, "macro_f1"] = rows.sums(np.eye(classes**2)[true * classes + guess] * known[:, None])
    return found


def statistics(heads: Heads, rows: Aligned, bases: int, wanted: Sequence[str]) -> list[Statistic]:
    """The measures of both arms.

    Args:
        heads: the classes.
        rows: of the runs of the base, then those of the other arm, if there is one.
        bases: runs of the base.
        wanted: names of measures.
    """
    sums = [class_sums(heads, rows, table) for table in rows.tables]
    target = rows.tables[0].target
    assert target is not None
    # A head without a label in these rows is in no mean, as in `arena.metric.heads`.
    labelled = [one for t, one in enumerate(heads.names) if (target[:, t] >= 0).any()] or heads.names
    found = []
    for name in wanted:
        head, _, measure = name.rpartition("/")
        chosen = [head] if head else labelled
        parts = [np.concatenate([each[one, measure] for one in chosen], axis=1) for each in sums]
        value = mean_over([each.shape[1] for each in (sums[0][one, measure] for one in chosen)], measure)
        known = (target[:, [heads.names.index(one) for one in chosen]] >= 0).any(axis=1)
        whole, counted = np.stack(parts), int(np.count_nonzero(known))
        left_out = rows.left_out + len(rows.member) - counted
        found.append(Statistic(name, whole[:bases], whole[bases:], value, MEASURES[measure], counted, left_out))
    return found


def mean_over(widths: Sequence[int], measure: str) -> Callable[[Array], Array]:
    """The mean of a measure over heads, as a function of all their sums side by side `[..., m]`."""
    one = flat_macro_f1 if measure == "macro_f1" else ratio
    if len(widths) == 1:
        return one
    ends = np.cumsum(widths)[:-1]
    return lambda sums: np.mean([one(part) for part in np.split(sums, ends, axis=-1)], axis=0)


def flat_macro_f1(sums: Array) -> Array:
    """Compute macro-F1 of flat confusion matrices, `[..., K * K]` -> `[...]`."""
    classes = math.isqrt(sums.shape[-1])
    return macro_f1_of(sums.reshape(*sums.shape[:-1], classes, classes))


def absent_classes(heads: Heads, rows: Aligned) -> list[str]:
    """Return the classes (of several heads `head/class`) without rows that one of the runs never predicts."""
    found = []
    for table in rows.tables:
        sums = class_sums(heads, rows, table)
        for head, labels in heads.classes.items():
            confusion = sums[head, "macro_f1"].sum(axis=0).reshape(len(labels), len(labels))
            found += [f"{head}/{labels[k]}" if head else labels[k] for k in absent(confusion)]
    return list(dict.fromkeys(found))


def mcnemar(heads: Heads, rows: Aligned) -> dict[str, float]:
    """Test the rows that only one of two runs has right, of several heads with all labels; McNemar's exact p."""
    target = rows.tables[0].target
    assert target is not None
    base, other = (
        exact_match(label_hits(list(heads.split(each.values["probabilities"]).values()), target))
        for each in rows.tables
    )
    return dict(zip(("only_base", "only_other", "p"), exact_test(base, other), strict=True))
