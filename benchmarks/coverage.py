"""What arena's intervals cover, and how often equal arms get a word: python benchmarks/coverage.py [sets=400]

Simulated judgements over three classes, one of them rare (4% of the rows), in prompts of 1 to 6 rows that resemble each
other, and arms of equal models. Three tables: the 95% intervals of one model's measures (truth: the same measure of
300,000 prompts), the intervals of a difference whose truth is 0, and the share of comparisons of equal arms in which a
word other than "not shown" is said of any of four measures. With `sets` data sets a share near .95 has a standard error
of sqrt(.95 * .05 / sets), .011 for 400.
"""

import sys
from typing import Any

import numpy as np
from table import aligned
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError, MulticlassF1Score

from arena.evaluation.comparison import verdict
from arena.evaluation.comparison.classes import flat_macro_f1
from arena.evaluation.comparison.verdict import adjust, compared
from arena.evaluation.predictions import values_with_intervals
from arena.metric.collection import Metrics
from arena.metric.probability import LogLoss
from arena.stats.arms import Statistic, ratio
from arena.stats.scores import brier_score, log_loss

LABELS = ["a", "b", "rare"]
PRIOR = np.log([0.5, 0.46, 0.04])
PROMPTS = (40, 400)
RESAMPLES = 400


def prompts_of(draw: np.random.Generator, prompts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group of each row, true log odds `[N, 3]` and labels `[N]`: half of what decides a row is its prompt's."""
    member = np.repeat(np.arange(prompts), draw.integers(1, 7, prompts))
    z = PRIOR + draw.normal(0, 0.7, (prompts, 3))[member] + draw.normal(0, 0.7, (len(member), 3))
    share = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    target = (draw.random(len(member))[:, None] > share.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return member, z, target


def told(z: np.ndarray, noise: np.ndarray, sharpness: float = 1.0) -> np.ndarray:
    """A model's probabilities: the truth with noise, too sure of itself by a factor."""
    z = sharpness * (z + noise)
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def coverage_of_one(sets: int) -> list[list[str]]:
    """The intervals of one model's measures."""
    metrics = Metrics(
        LABELS,
        {
            "log_loss": LogLoss(),
            "accuracy": MulticlassAccuracy(3, average="micro", validate_args=False),
            "macro_f1": MulticlassF1Score(3, average="macro", validate_args=False),
            "calibration_error": MulticlassCalibrationError(3, n_bins=15, norm="l1", validate_args=False),
        },
    )
    lines = [["prompts", "model", "measure", "truth", "covered", "truth above", "mean width"]]
    for sharpness, name in ((1.0, "calibrated"), (2.0, "too sure")):
        draw = np.random.default_rng(1)

        def data(prompts: int, draw: Any = draw, sharpness: float = sharpness) -> tuple[np.ndarray, ...]:
            member, z, target = prompts_of(draw, prompts)
            return member, told(z, np.zeros_like(z), sharpness), target

        _, probabilities, target = data(300_000)
        metrics.reset()
        truth = values_with_intervals(metrics, probabilities, target, np.zeros(len(target)), 0, 0)
        for prompts in PROMPTS:
            ends: dict[str, list[tuple[float, float]]] = {each: [] for each in metrics.metrics}
            for seed in range(sets):
                member, probabilities, target = data(prompts)
                found = values_with_intervals(metrics, probabilities, target, member, RESAMPLES // 2, seed)
                for each, those in ends.items():
                    those.append((found[each]["low"], found[each]["high"]))
            for each, those in ends.items():
                low, high = np.array(those).T
                value = truth[each]["value"]
                held, above = np.mean((low <= value) & (value <= high)), np.mean(high < value)
                lines.append([str(prompts), name, each, f"{value:.4f}", f"{held:.3f}", f"{above:.3f}"])
                lines[-1].append(f"{np.nanmean(high - low):.4f}")
    return lines


def statistics_of(draw: np.random.Generator, prompts: int, seeds: tuple[int, int], ratio_of: float) -> list[Statistic]:
    """Four measures of two arms of equal models, as `arena.compare` makes them.

    Each seed adds a common shift to its log odds. `ratio_of`: its size, where 1 makes the standard deviation of the
    seeds' log losses about the standard error of the prompts.
    """
    member, z, target = prompts_of(draw, prompts)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(member, column, prompts) for column in values.T], axis=1)

    arms: list[dict[str, list[np.ndarray]]] = []
    for number in seeds:
        arm: dict[str, list[np.ndarray]] = {"log_loss": [], "accuracy": [], "brier": [], "macro_f1": []}
        for _ in range(number):
            own = draw.normal(0, 1, (len(z), 3))
            sharpness = np.exp(ratio_of * draw.normal(0, 2.2 / np.sqrt(prompts)))
            probabilities = told(z, 0.7 * own, sharpness)
            guess, ones = probabilities.argmax(axis=1), np.ones(len(z))
            arm["log_loss"].append(sums(np.stack([log_loss(probabilities, target), ones], axis=1)))
            arm["accuracy"].append(sums(np.stack([guess == target, ones], axis=1)))
            arm["brier"].append(sums(np.stack([brier_score(probabilities, target), ones], axis=1)))
            arm["macro_f1"].append(sums(np.eye(9)[target * 3 + guess]))
        arms.append(arm)
    return [
        Statistic(
            name,
            np.stack(arms[0][name]),
            np.stack(arms[1][name]),
            flat_macro_f1 if name == "macro_f1" else ratio,
            name in ("accuracy", "macro_f1"),
            len(z),
        )
        for name in arms[0]
    ]


def equal_arms(sets: int) -> list[list[str]]:
    """Intervals and words where nothing differs."""
    lines = [
        ["prompts", "seeds", "seeds' spread", "log_loss covers", "macro_f1 covers", "spread seen", "a word", "which"]
    ]
    verdict.PERMUTATIONS = 999
    for prompts in PROMPTS:
        for seeds in ((1, 1), (1, 3), (3, 3)):
            for size in (0.0, 1.0, 3.0):
                draw = np.random.default_rng(2)
                held, words, which, spread = np.zeros(2), 0, 0, []
                for _ in range(sets):
                    statistics = statistics_of(draw, prompts, seeds, size)
                    entries = compared(statistics, RESAMPLES, 0)
                    for k, name in enumerate(("log_loss", "macro_f1")):
                        ends = entries[name]["difference"]
                        held[k] += ends["low"] <= 0 <= ends["high"]
                    if seeds[1] > 1:
                        values = ratio(statistics[0].other.sum(axis=1))
                        spread.append(values.std(ddof=1) / entries["log_loss"]["standard_error"]["prompts"])
                    adjust(entries, "log_loss", list(entries))
                    words += any(not each["word"].startswith("not shown") for each in entries.values())
                    which += not entries["log_loss"]["word"].startswith("not shown")
                seen = f"{np.mean(spread):.2f}" if spread else ""
                cells = [f"{each / sets:.3f}" for each in held]
                lines.append([str(prompts), f"{seeds[0]}/{seeds[1]}", f"{size:g}", *cells, seen, f"{words / sets:.3f}"])
                lines[-1].append(f"log_loss {which / sets:.3f}")
    return lines


if __name__ == "__main__":
    number = next((int(each.removeprefix("sets=")) for each in sys.argv[1:] if each.startswith("sets=")), 400)
    print(aligned(coverage_of_one(number)), flush=True)
    print()
    print(aligned(equal_arms(number)))
