"""The plan of a sweep, read from `hydra.sweeper` and the command line and checked before anything is written."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from arena.config import compose as config
from arena.core import devices, redact, schema
from arena.core.errors import UsageError
from arena.core.root import Monitor
from arena.core.values import flat
from arena.reporting.study.database import FILE, address_of
from arena.sweep import samplers, space
from arena.sweep.settings import TARGET, Settings

DIRECTIONS = {"min": "minimize", "max": "maximize"}
MONITOR = "monitor"
"""The objective that is the best validation value of the run's monitor."""
OF_THE_SWEEP = ("hydra.run.dir", "hydra.sweep", "hydra.launcher", "hydra.mode", "hydra.job.num")
"""Overrides of Hydra's that concern the sweep and no single trial."""
SILENT = ("logger", "tags", "study")
"""Overrides that may differ between two calls of one sweep, because no value depends on them."""


@dataclass(frozen=True)
class Plan:
    """One sweep.

    `fixed` and `hydra` are the overrides of every trial; `total` is the number of trials at which it ends, None where
    only the timeout ends it; `grid` holds every combination of a grid.
    """

    study: str
    folder: Path
    storage: str
    objectives: list[str]
    directions: list[str]
    parameters: list[space.Parameter]
    fixed: list[str]
    grid: list[dict[str, Any]] | None
    total: int | None
    mode: str
    monitor: str
    starts: list[dict[str, Any]]
    settings: dict[str, Any]
    hydra: list[str]
    command: list[str]

    @property
    def own_file(self) -> bool:
        """True where the study lies in its folder, where one controller at a time may work on it."""
        return self.settings["storage"] is None

    @property
    def typed(self) -> dict[str, str]:
        """The parameters as they were typed."""
        return {each.name: each.typed for each in self.parameters}

    def identity(self) -> dict[str, Any]:
        """All that has to stay equal over the calls of a sweep."""
        from optuna.distributions import distribution_to_json

        parameters = {
            each.name: {"typed": each.typed, "distribution": json.loads(distribution_to_json(each.distribution))}
            for each in self.parameters
        }
        fixed = [each for each in self.fixed if space.name_of(each).split(".")[0] not in SILENT]
        return {"params": parameters, "objectives": self.objectives, "fixed": sorted(map(redact.text, fixed))}

    def overrides(self, values: dict[str, Any]) -> list[str]:
        """The overrides of a trial with these values."""
        return [*self.hydra, *self.fixed, *(each.override(values[each.name]) for each in self.parameters)]


def check(overrides: list[str], config_name: str = "train") -> bool:
    """Check a command line before Hydra runs: False if its sweeper is another one than arena's.

    Every end of every interval and every choice is composed and checked against the signatures that it configures.
    """
    line = space.split(overrides)
    composed = config.composed([*line.fixed, *line.hydra], config_name)
    if OmegaConf.select(composed, "hydra.sweeper._target_") != TARGET:
        return False
    # Before the parameters are composed: an unknown key of the sweeper must not hide behind one of theirs.
    plan = read(composed, line)
    for point in space.points(plan.parameters):
        devices.check(config.settings_of([*plan.fixed, *point], config_name)["trainer"])
    return True


def read(composed: DictConfig, line: space.CommandLine) -> Plan:
    """The plan of a composed configuration and the command line that it was composed from.

    Raises:
        UsageError: a wrong type or value, an empty space, an objective that may not be optimised.
    """
    chosen: Any = OmegaConf.to_container(composed.hydra.sweeper, resolve=True)
    chosen.pop("_target_")
    schema.check_values(chosen, Settings, "hydra.sweeper.")
    monitor: Any = OmegaConf.to_container(composed.monitor, resolve=True)
    schema.check_values(monitor, Monitor, "monitor.")
    typed = dict(flat(chosen["params"] or {}))
    given = {space.name_of(each): each for each in line.fixed}
    searched = set(map(space.name_of, line.searched))
    parameters, constants = space.read(
        {key: value for key, value in typed.items() if space.name_of(key) not in searched} | line.searched
    )
    if not parameters:
        raise UsageError("hydra.sweeper.params: nothing to search; give KEY=interval(...), sweep=lr or the like")
    for name in (each.name for each in parameters if each.name in given):
        raise UsageError(f"{given[name]}: the sweep searches {name}; give it as interval(...) or choice(...)")
    directions = _directions(chosen, monitor)
    samplers.check("sampler", chosen["sampler"], len(directions))
    samplers.check("pruner", chosen["pruner"], len(directions))
    grid = space.grid(parameters) if chosen["sampler"]["name"] == "grid" else None
    total = chosen["n_trials"] if grid is None else min(len(grid), chosen["n_trials"] or len(grid))
    if total is None and chosen["timeout"] is None:
        raise UsageError("hydra.sweeper.n_trials=null: a number of trials is needed, or a timeout in seconds")
    hydra: list[str] = list(OmegaConf.select(composed, "hydra.overrides.hydra") or [])
    folder = Path(os.path.abspath(os.path.expanduser(str(composed.hydra.sweep.dir))))
    return Plan(
        study=chosen["study_name"],
        folder=folder,
        storage=chosen["storage"] or address_of(folder / FILE),
        objectives=chosen["objectives"],
        directions=directions,
        parameters=parameters,
        # Plain values among the parameters hold unless the command line says otherwise.
        fixed=[*line.fixed, *(each for each in constants if space.name_of(each) not in given)],
        grid=grid,
        total=total,
        mode=monitor["mode"],
        monitor=monitor["name"],
        starts=[space.check_start(start, parameters) for start in chosen["enqueue"]],
        settings=chosen,
        hydra=[each for each in hydra if not space.name_of(each).replace("/", ".").startswith(OF_THE_SWEEP)],
        command=["python", "-m", "arena.train", *sys.argv[1:]],
    )


def _directions(chosen: dict[str, Any], monitor: dict[str, Any]) -> list[str]:
    """One direction for each objective; the monitor's own where none is given."""
    objectives, given = chosen["objectives"], chosen["direction"]
    if not objectives:
        raise UsageError("hydra.sweeper.objectives: at least one is needed, such as [monitor]")
    for name in objectives:
        if "test" in name.split("."):
            raise UsageError(f"hydra.sweeper.objectives: {name} is of the test split; a sweep may only see validation")
        if objectives.count(name) > 1:
            raise UsageError(f"hydra.sweeper.objectives: {name} is named twice")
    own = DIRECTIONS[monitor["mode"]]
    if given is None and objectives == [MONITOR]:
        return [own]
    directions: list[str] = given if isinstance(given, list) else [given] if given else []
    if len(directions) != len(objectives):
        raise UsageError(
            f"hydra.sweeper.direction: {len(objectives)} objectives ({', '.join(objectives)}) need as many directions, "
            f"such as [{', '.join([own] * len(objectives))}]"
        )
    of_monitor = dict(zip(objectives, directions, strict=True)).get(MONITOR, own)
    if of_monitor != own:
        raise UsageError(
            f"hydra.sweeper.direction={of_monitor}: monitor.mode={monitor['mode']} says {own} of {monitor['name']}"
        )
    return directions
