"""The two small files beside the page: `summary.csv` with every trial, and `best.yaml` with what to train again."""

import os
from pathlib import Path
from typing import Any

from arena.core import tables
from arena.reporting.study import measures
from arena.reporting.study.cells import overrides, train
from arena.reporting.study.trials import REPEATS, Sweep, Trial


def summary(sweep: Sweep, output: Path) -> str:
    """Every trial by number, with all digits; an empty cell where there is no value."""
    ends = [f"{one.name} {end}" for one in sweep.objectives for end in ("low", "high")]
    header = ["trial", "kind", *(one.name for one in sweep.objectives), *ends, *sweep.parameters]
    header += ["seconds", "exit_code", "retry_of", "reason", "started", "ended", "folder"]
    lines: list[list[Any]] = [header]
    for trial in sweep.trials:
        values = [*trial.values, *[None] * (len(sweep.objectives) - len(trial.values))]
        intervals = [end for ends in trial.intervals for end in ends]
        folder = os.path.relpath(trial.folder, output.absolute()) if trial.folder else None
        times = [each.isoformat(timespec="seconds") if each else None for each in (trial.started, trial.ended)]
        params = [trial.params.get(name) for name in sweep.parameters]
        rest = [trial.seconds, trial.exit_code, trial.retry_of, " ".join(trial.reason.split()), *times, folder]
        cells = [trial.number, trial.kind, *values, *intervals, *params, *rest]
        lines.append([None if each != each else each for each in cells])
    return tables.text_of(lines)


def best(sweep: Sweep) -> str | None:
    """The best trial, the best recipe of a sweep over seeds or folds, or the trials of the Pareto front, as YAML.

    None where no trial has completed.
    """
    import yaml

    if not sweep.complete:
        return None
    lines = [f"# study {' '.join(sweep.name.split())}, {len(sweep.complete)} complete trials"]
    repeated = measures.recipes(sweep) if len(sweep.objectives) == 1 else []
    if len(sweep.objectives) > 1:
        chosen = measures.front(sweep)
        lines.append("# the Pareto front: which one to take is a choice between the objectives")
        made: Any = {"front": [entry(sweep, trial) for trial in chosen]}
        lines += [f"# trial {t.number}: {train(overrides(sweep, t))}" for t in chosen]
    elif repeated:
        recipe = repeated[0]
        given = overrides(sweep, recipe.trials[0], REPEATS)
        lines += ["# the best mean over seeds and folds", f"# {train(given)}"]
        mean = {"mean": recipe.mean, "standard_deviation": recipe.deviation, "low": recipe.low, "high": recipe.high}
        numbers = {name: value if value == value else None for name, value in mean.items()}
        made = {"objective": sweep.objectives[0].name, **numbers, "n": len(recipe.values)}
        made |= {"trials": [trial.number for trial in recipe.trials], "params": recipe.params, "overrides": given}
    else:
        trial, one = sweep.best_first()[0], sweep.objectives[0]
        lines.append(f"# the {one.word} {one.name}, which is optimistic: it was chosen for it")
        lines.append(f"# {train(overrides(sweep, trial))}")
        made = entry(sweep, trial)
    return "\n".join(lines) + "\n" + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)


def entry(sweep: Sweep, trial: Trial) -> dict[str, Any]:
    """One trial as a dictionary."""
    values = {one.name: value for one, value in zip(sweep.objectives, trial.values, strict=True)}
    return {
        "trial": trial.number, "values": values, "params": dict(trial.params), "overrides": overrides(sweep, trial)
    }  # fmt: skip
