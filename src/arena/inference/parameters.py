"""The mean of the weights of several runs, as a run folder of its own.

One model then predicts at the cost of one, where the average of probabilities costs as many as there are runs. It only
makes sense for runs that began with the same (pretrained) weights. Where checkpoints hold adapters (LoRA: W + B A), the
mean is that of the As and of the Bs, and mean(B) mean(A) is not mean(B A). The 1st place of Kaggle's LMSYS competition
averaged the LoRA weights of five folds this way all the same, and so did the 4th place of the WSDM Cup.
"""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core import checkpoints
from arena.core.errors import DataError, UsageError
from arena.core.run import RunFolder, git_state, versions
from arena.core.stored import read, relocated, write
from arena.inference.configurations import first_difference

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("arena")
FREE = ("data.split.fold", "seed", "data.loader.seed", "data.sampling.seed")
"""Keys in which averaged runs may differ."""


def check(runs: list[RunFolder], output: RunFolder) -> None:
    """Check that the runs have a meaningful mean and that it may be written there, without importing anything heavy.

    Raises:
        UsageError: fewer than two runs, a run of `arena.baseline`, runs that were trained differently, or an output
            that holds a run.
        InputOutputError: a run without weights.
    """
    if len(runs) < 2:
        raise UsageError("run: two runs or more are needed; give run=[FOLDER,FOLDER]")
    for run in runs:
        if run.is_baseline:
            raise UsageError(f"{run.path}: a run of arena.baseline has no weights to average; use arena.predict")
        checkpoints.check(run.best)
        if difference := first_difference(runs[0], run, *FREE):
            key, one, other = difference
            raise UsageError(
                f"{key}: {runs[0].path} has {one}, {run.path} has {other}; only runs that differ in nothing but "
                "data.fold and seed have weights that can be averaged (arena.predict averages probabilities)"
            )
    output.require_free("output")


def average(runs: list[RunFolder], output: RunFolder) -> None:
    """Write the run folder of the mean; `check` must have passed.

    Raises InputOutputError for a checkpoint that cannot be read, DataError for checkpoints with other names or shapes,
    or whole numbers that differ.
    """
    import torch

    from arena.callback.storage import AtomicCheckpointIO
    from arena.config import weights

    found = [weights.read_checkpoint(run.best) for run in runs]
    states = [each["state_dict"] for each in found]
    for run, state in zip(runs, states, strict=True):
        weights.compare(states[0], state, run.best)
    mean: dict[str, Tensor] = {}
    for name, first in states[0].items():
        values = [state[name] for state in states]
        if first.is_floating_point():
            total = torch.zeros(first.shape, dtype=torch.float64)
            for value in values:
                total += value.double()
            mean[name] = (total / len(values)).to(first.dtype)
        elif all(torch.equal(first, value) for value in values):
            mean[name] = first
        else:
            raise DataError(f"{name}: whole numbers that differ between the runs have no mean")
    settings = _settings(runs, output)
    AtomicCheckpointIO().save_checkpoint(found[0] | {"state_dict": mean}, output.best)
    if runs[0].tokenizer.is_dir():
        shutil.copytree(runs[0].tokenizer, output.tokenizer, dirs_exist_ok=True)
    write(output.config, settings)
    output.write_result(_result(runs, settings))


def _settings(runs: list[RunFolder], output: RunFolder) -> dict[str, Any]:
    """Make the configuration of the mean, which over folds has learned from all rows but the test rows."""
    configurations: list[Any] = [read(run.config) for run in runs]
    settings = relocated(configurations[0], str(configurations[0]["run_dir"]), str(output.path))
    whole = len({each["data"]["split"]["fold"] for each in configurations}) > 1
    if whole:
        settings["data"]["split"] |= {"folds": None, "fold": None, "val_share": 0, "val_path": None}
        log.info("the mean has learned from every row but the test rows: evaluate it with data.path=FILE of other rows")
    seeds = sorted({each["seed"] for each in configurations})
    if len(seeds) > 1 and not settings["model"].get("pretrained"):
        log.warning(
            "the runs began with different random weights (seeds %s): their mean is no model like either of them",
            ", ".join(map(str, seeds)),
        )
    return settings


def _result(runs: list[RunFolder], settings: dict[str, Any]) -> dict[str, Any]:
    """Make `result.json` of the mean: nothing of it is measured yet."""
    first = runs[0].read_result()
    monitor = {"name": settings["monitor"]["name"], "mode": settings["monitor"]["mode"], "value": None, "step": None}
    unknown = {"reason": None, "test": None, "baselines": {}, "time": dict.fromkeys(("setup", "fit", "test"))}
    origin = {"git": git_state(Path(__file__).parent), "versions": versions(), "data": first.get("data", {})}
    averaged = {"seed": settings["seed"], "averaged_from": [str(run.path) for run in runs]}
    return {"status": "completed", "monitor": monitor} | unknown | origin | averaged
