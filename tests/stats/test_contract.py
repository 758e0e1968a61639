"""Every statistic of arena.stats against an independent library: one line each."""

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats
from sklearn import metrics as sklearn
from torchmetrics.functional import classification as torchmetrics

from arena.stats import calibration, classification, intervals, pareto, scores, significance

K, N = 4, 300
DRAW = np.random.default_rng(1)
P = DRAW.dirichlet(np.ones(K) * 0.7, N)
Y = np.where(DRAW.random(N) < 0.6, P.argmax(axis=1), DRAW.integers(0, K, N))
GUESS = P.argmax(axis=1)
SOFT = DRAW.dirichlet(np.ones(K), N)
CONFUSION = classification.confusion_matrix(Y, GUESS, K)
WEIGHTS = DRAW.integers(0, 4, (3, N))
TENSORS = torch.from_numpy(P), torch.from_numpy(Y)
CONFIDENCE, RIGHT = calibration.top(P, Y)
TIED = P.round(1)[:, 0]


def weighted_auroc() -> list[float]:
    return [sklearn.roc_auc_score(Y == 0, TIED, sample_weight=weight) for weight in WEIGHTS]


def front_by_hand() -> list[bool]:
    return [not any((b >= a).all() and (b > a).any() for b in P[:40]) for a in P[:40]]


CASES = {
    "log_loss": (lambda: scores.log_loss(P, Y).mean(), lambda: sklearn.log_loss(Y, P)),
    "log_loss_of_soft_targets": (
        lambda: scores.log_loss(P, SOFT),
        lambda: scipy_stats.entropy(SOFT, axis=1) + scipy_stats.entropy(SOFT, P, axis=1),
    ),
    "brier_score": (
        lambda: scores.brier_score(P, Y).mean(),
        lambda: sklearn.brier_score_loss(Y, P, scale_by_half=False),  # pyright: ignore[reportArgumentType]
    ),
    "confusion_matrix": (lambda: CONFUSION, lambda: sklearn.confusion_matrix(Y, GUESS)),
    "macro_f1": (
        lambda: classification.macro_f1(GUESS, Y, K),
        lambda: sklearn.f1_score(Y, GUESS, average="macro"),
    ),
    "mcc": (lambda: classification.mcc_of(CONFUSION), lambda: sklearn.matthews_corrcoef(Y, GUESS)),
    "auroc": (lambda: classification.auroc(TIED, Y == 0), lambda: sklearn.roc_auc_score(Y == 0, TIED)),
    "auroc_of_resamples": (lambda: classification.auroc(TIED, Y == 0, WEIGHTS), weighted_auroc),
    "calibration_error": (
        lambda: calibration.calibration_error(CONFIDENCE, RIGHT, calibration.equal_width(CONFIDENCE, 15)),
        lambda: torchmetrics.multiclass_calibration_error(*TENSORS, num_classes=K, n_bins=15),
    ),
    "classwise_error": (
        lambda: calibration.classwise_error(P, Y, 10),
        lambda: np.mean(
            [
                torchmetrics.binary_calibration_error(TENSORS[0][:, k].contiguous(), TENSORS[1] == k, 10)
                for k in range(K)
            ]
        ),
    ),
    "wilson": (
        lambda: intervals.wilson(7, 30, 0.9),
        lambda: scipy_stats.binomtest(7, 30).proportion_ci(0.9, method="wilson"),
    ),
    "mean": (
        lambda: intervals.mean(P[:, 0])[1:],
        lambda: scipy_stats.norm.interval(0.95, P[:, 0].mean(), scipy_stats.sem(P[:, 0])),
    ),
    "mcnemar": (
        lambda: significance.mcnemar(RIGHT, Y == 1)[2],
        lambda: scipy_stats.binomtest(int((RIGHT & (Y != 1)).sum()), int(((Y == 1) != RIGHT).sum())).pvalue,
    ),
    "holm": (lambda: significance.holm([0.04, 0.01, 0.02]), lambda: [0.04, 0.03, 0.04]),  # Holm 1979
    "pareto": (lambda: pareto.front(P[:40].tolist()), front_by_hand),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_the_library_says(name: str) -> None:
    ours, theirs = (np.asarray(each(), dtype=np.float64) for each in CASES[name])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-7 if name.endswith("_error") else 1e-12)


def test_nothing_has_no_front() -> None:
    assert pareto.front([]) == []
