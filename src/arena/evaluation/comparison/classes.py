"""Measures of runs that classify: log loss, accuracy, Brier score and macro-F1, of each head and their means.

Shape legend: N rows, T heads, K classes of one head, C the classes of all heads.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from arena.core.errors import DataError
from arena.core.files import read_parquet
from arena.core.heads import Heads
from arena.core.run import RunFolder
from arena.evaluation.comparison.arms import predictions
from arena.evaluation.comparison.options import ComparisonOptions
from arena.evaluation.comparison.rows import Aligned, Table, align, fingerprint_of, strings
from arena.evaluation.predictions import read
from arena.inference.members import labels_of
from arena.stats.arms import Array, Statistic, ratio
from arena.stats.classification import absent, macro_f1_of
from arena.stats.scores import brier_score, exact_match, label_hits, label_log_losses
from arena.stats.significance import mcnemar as exact_test

RISES = {"log_loss": False, "accuracy": True, "brier": False, "macro_f1": True}
"""The measures: true where more is better."""


class ClassRows:
    """Predictions of classes; members and arguments as `arena.evaluation.comparison.rows.TaskRows`.

    The measures are of the mean over the heads (of the one head, where there is one), and `head/measure`.
    """

    primary = "log_loss"

    def __init__(self, runs: Sequence[RunFolder], options: ComparisonOptions) -> None:
        self.heads = Heads(labels_of(runs[0]))
        self.names = [*RISES, *(f"{head}/{name}" for head in self.heads.names for name in RISES if self.heads.named)]
        self.runs, self.options = runs, options

    @cached_property
    def rows(self) -> Aligned:
        """The labelled rows."""
        options = self.options
        return align([read_classes(run, options.split, self.heads) for run in self.runs], options.common)

    @property
    def target(self) -> np.ndarray:
        """Class indices within each head, `[N, T]`."""
        target = self.rows.tables[0].target
        assert target is not None
        return target

    @cached_property
    def sums(self) -> list[dict[tuple[str, str], Array]]:
        """The sums of each run's measures by head and name."""
        return [self._sums(table) for table in self.rows.tables]

    def _parts(self, table: Table) -> dict[str, np.ndarray]:
        return self.heads.split(table.values["probabilities"])

    def _sums(self, table: Table) -> dict[tuple[str, str], Array]:
        """Sums over groups of each head's measures, `[G, m]`: losses or hits, and rows; the confusion matrix."""
        found, split = {}, self._parts(table)
        losses = label_log_losses(list(split.values()), self.target)
        for t, (head, part) in enumerate(split.items()):
            known, true = self.target[:, t] >= 0, np.maximum(self.target[:, t], 0)
            guess, classes = part.argmax(axis=1), part.shape[1]
            found[head, "log_loss"] = self.rows.sums(np.nan_to_num(losses[:, t]) * known, known)
            found[head, "accuracy"] = self.rows.sums((guess == true) * known, known)
            found[head, "brier"] = self.rows.sums(brier_score(part, true) * known, known)
            cells = np.eye(classes**2)[true * classes + guess]
            found[head, "macro_f1"] = self.rows.sums(cells * known[:, None])
        return found

    def statistics(self, names: Sequence[str], bases: int) -> list[Statistic]:
        """The measures of both arms, of which the first `bases` runs are the base."""
        # A head without a label in these rows is in no mean, as in `arena.metric.heads`.
        heads = self.heads.names
        labelled = [one for t, one in enumerate(heads) if (self.target[:, t] >= 0).any()] or heads
        found = []
        for name in names:
            head, _, measure = name.rpartition("/")
            chosen = [head] if head else labelled
            whole = np.stack([np.concatenate([each[one, measure] for one in chosen], axis=1) for each in self.sums])
            value = mean_over([self.sums[0][one, measure].shape[1] for one in chosen], measure)
            known = (self.target[:, [heads.index(one) for one in chosen]] >= 0).any(axis=1)
            counted = int(np.count_nonzero(known))
            left_out = self.rows.left_out + len(self.target) - counted
            found.append(Statistic(name, whole[:bases], whole[bases:], value, RISES[measure], counted, left_out))
        return found

    def absent_classes(self) -> list[str]:
        """Return the classes (of several heads `head/class`) without rows that one of the runs never predicts."""
        found = []
        for sums in self.sums:
            for head, labels in self.heads.classes.items():
                confusion = sums[head, "macro_f1"].sum(axis=0).reshape(len(labels), len(labels))
                found += [f"{head}/{labels[k]}" if head else labels[k] for k in absent(confusion)]
        return list(dict.fromkeys(found))

    def mcnemar(self) -> dict[str, float]:
        """Test the rows that only one of two runs has right, of several heads with all labels; McNemar's exact p."""
        base, other = (
            exact_match(label_hits(list(self._parts(table).values()), self.target)) for table in self.rows.tables
        )
        return dict(zip(("only_base", "only_other", "p"), exact_test(base, other), strict=True))


def read_classes(run: RunFolder, split: str, heads: Heads) -> Table:
    """Read the labelled rows of a split with `probabilities [N, C]` in the order of `heads`; a `DataError` for other
    classes."""
    own = Heads(labels_of(run))
    if set(own.columns) != set(heads.columns) or own.named != heads.named:
        raise DataError(f"{run.path} has the classes {', '.join(own.columns)}, not {', '.join(heads.columns)}")
    path = predictions(run, split)
    found = read(path, heads.classes if heads.named else heads.classes[""])
    ids = strings(read_parquet(path, ["id"]), "id")[found.kept]
    values = {"probabilities": found.probabilities}
    return Table(path, ids, found.groups.astype(str), values, fingerprint_of(run), found.target)


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
