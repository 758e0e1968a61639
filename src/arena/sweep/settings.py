"""What `hydra.sweeper` can say: its keys with their defaults, the samplers and the pruners.

Arena's plugin imports this module whenever any Hydra application of the environment starts, so it imports nothing;
`arena.core.schema` reads the annotations in the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    from arena.core.schema import Count, Name, NonNegative, Positive, Share

TARGET = "hydra_plugins.arena_sweeper.sweeper.ArenaSweeper"
SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "grid": "RandomSampler",  # every combination is enqueued in turn: nothing is left to sample
}
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "successive_halving": "SuccessiveHalvingPruner",
}


@dataclass
class Settings:
    """Types and defaults of the values of `hydra.sweeper`."""

    study_name: Name = "${study}"
    storage: str | None = None  # a database URL for many machines; null: study.db in the study's folder
    # null: as the monitor's mode says
    direction: Literal["minimize", "maximize"] | list[Literal["minimize", "maximize"]] | None = None
    # also dotted paths in result.json, such as validation.log_loss.value
    objectives: list[str] = field(default_factory=lambda: ["monitor"])
    n_trials: Count | None = 20  # in all, those of earlier calls of the same command included
    n_jobs: Count = 1  # trials at a time
    max_failure_rate: Share = 0.5  # the sweep ends when more than this share of n_trials failed
    timeout: Positive | None = None  # seconds after which no new trial begins
    resume: bool = True  # false: refuse to go on with a study that exists
    retry_failed: bool = False  # try the failed trials of an earlier call again
    enqueue: list[dict] = field(default_factory=list)  # points to begin with, such as [{optim.lr: 1e-4}]
    heartbeat: NonNegative = 60  # seconds between two signs of life of a trial in a database of many machines
    params: dict | None = None  # {optim.lr: "interval(1e-5, 1e-3)"}; or overrides of the parameters themselves
