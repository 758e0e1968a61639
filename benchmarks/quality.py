"""Does a trained text model know more than a baseline without pretrained weights, and do both together know still more?

    python benchmarks/quality.py pandalm=RUN,BASELINE ja_vicuna=RUN,BASELINE ...

RUN is a run folder of arena.train, BASELINE one of arena.baseline with the same data.* keys, so that their splits are
the same; both hold predictions for validation and test. The member of the baseline is the one that was best on
validation, the weight of the run in the ensemble is fitted to validation, everything in the table is of the test rows.
Log losses in nats; intervals are 95%, over whole prompts drawn again. Differences are paired by row: below zero the
first one is better.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from table import aligned

from arena.core.run import RunFolder
from arena.inference.mixture import convex_weights
from arena.stats.intervals import paired_difference
from arena.stats.scores import log_loss

RESAMPLES = 10_000


def read(path: Path) -> dict[str, np.ndarray]:
    """Ids, groups, class indices and probabilities `[N, K]` of a predictions file, in the order of the ids."""
    table = pq.read_table(path).sort_by("id")
    names = sorted(name for name in table.column_names if name.startswith("probability_"))
    labels = [name.removeprefix("probability_") for name in names]
    return {
        "id": np.array(table["id"].to_pylist(), dtype=str),
        "group": np.array(table["group"].to_pylist(), dtype=str),
        "target": np.array([labels.index(label) for label in table["target"].to_pylist()]),
        "probabilities": np.stack([table[name].to_numpy().astype(np.float64) for name in names], axis=1),
    }


def judged(name: str, recipe: RunFolder, baseline: RunFolder) -> tuple[list[str], list[list[str]]]:
    """One line of the table for a set, and one for each paired difference."""
    val, test = (
        [read(run.predictions(split)) for run in (recipe, baseline)]
        for split in ("val", "test")
    )  # fmt: skip
    for pair in (val, test):
        if not (np.array_equal(pair[0]["id"], pair[1]["id"]) and np.array_equal(pair[0]["group"], pair[1]["group"])):
            raise SystemExit(f"{name}: {recipe.path} and {baseline.path} have other splits")
    target, groups = test[0]["target"], test[0]["group"]
    likelihood = np.stack([each["probabilities"][np.arange(len(each["id"])), each["target"]] for each in val], axis=1)
    weight = float(convex_weights(likelihood)[0])
    mixed = weight * test[0]["probabilities"] + (1 - weight) * test[1]["probabilities"]
    prior = read(baseline.path / "predictions" / "prior" / "test.parquet")
    losses = {
        "prior": log_loss(prior["probabilities"], target),
        "baseline": log_loss(test[1]["probabilities"], target),
        "recipe": log_loss(test[0]["probabilities"], target),
        "ensemble": log_loss(mixed, target),
    }
    nothing = np.zeros(len(target))
    line = [name, str(len(target)), str(len(np.unique(groups))), baseline.read_result()["best_member"], f"{weight:.2f}"]
    line += [shown(paired_difference(loss, nothing, groups, RESAMPLES, 0)) for loss in losses.values()]
    pairs = (("recipe", "baseline"), ("ensemble", "baseline"), ("ensemble", "recipe"))
    differences = [
        [name, f"{one} - {other}", shown(paired_difference(losses[one], losses[other], groups, RESAMPLES, 0))]
        for one, other in pairs
    ]
    return line, differences


def shown(value: tuple[float, float, float]) -> str:
    """`mean (low to high)`."""
    mean, low, high = (f"{each:z.4f}" for each in value)
    return f"{mean} ({low} to {high})"


def main() -> None:
    """The command line."""
    if len(sys.argv) < 2 or "--help" in sys.argv:
        print(__doc__)
        return
    lines, differences = [], []
    for argument in sys.argv[1:]:
        name, _, folders = argument.partition("=")
        recipe, baseline = (RunFolder(folder).require() for folder in folders.split(","))
        line, some = judged(name, recipe, baseline)
        lines.append(line)
        differences += some
    header = ["set", "rows", "prompts", "best baseline", "weight", "prior", "baseline", "recipe", "ensemble"]
    print(aligned([header, *lines]))
    print()
    print(aligned([["set", "paired difference", "nats (95% interval)"], *differences]))


if __name__ == "__main__":
    main()
