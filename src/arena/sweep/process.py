"""A trial: one process `python -m arena.train ...` in a folder of its own, that ends with the sweep that started it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from arena.config.overrides import quoted
from arena.core.errors import UsageError
from arena.core.trial import TRIAL
from arena.sweep import lifeline
from arena.sweep.outcome import OUTPUT, Outcome, outcome_of

GRACE = 20.0
"""Seconds that a trial has to save its work after SIGTERM."""

RANKS = re.compile(
    r"(LOCAL_|GROUP_|ROLE_|NODE_)?RANK|(LOCAL_|GROUP_|ROLE_)?WORLD_SIZE|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_.*"
    r"|SLURM_(PROCID|LOCALID|NODEID|NTASKS|NTASKS_PER_NODE|STEP_NUM_TASKS|GTIDS|STEP_ID|STEPID)"
    r"|OMPI_COMM_WORLD_.*|PMIX?_(RANK|SIZE)|MPI_LOCAL(RANKID|NRANKS)|JSM_NAMESPACE_.*|LSB_DJOB_.*|XLA_.*RANK|LT_.*"
    r"|PL_GLOBAL_SEED|PL_SEED_WORKERS|PL_EXP_VERSION"
)
"""Variables by which Lightning, torchrun, Slurm, MPI or LSF tell a process that it is one of several, and seeds that an
earlier training in this process left behind. A trial that saw them would wait for others that never come."""
OWN = re.compile(r"WANDB_(RUN_ID|RESUME|SERVICE|NAME)|_WANDB_.*|ARENA_TRIAL|ARENA_PARENT")
"""Variables that belong to one run: two trials must not share them."""


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a trial may inherit: without ranks and without what belongs to another run."""
    return {name: value for name, value in environment.items() if not (RANKS.fullmatch(name) or OWN.fullmatch(name))}


def trial_variables(
    storage: str | None,
    study: str,
    number: int,
    objectives: list[str],
    pruner: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The variables that tell a process which trial it is.

    Args:
        storage: URL of the Optuna storage; None for trials of a sweep without a study.
        study: name of the study; also the group of the runs in Weights & Biases.
        number: of the trial.
        objectives: names as in `hydra.sweeper.objectives`; with several there is no pruning.
        pruner: its class and options, `{"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 5, ...}`; its
            steps are validations, counted from 0. None: never prune, and Optuna is not even imported in the trial.
    """
    told = {"storage": storage, "study": study, "number": number, "objectives": objectives, "pruner": pruner}
    return {TRIAL: json.dumps(told), "WANDB_RUN_GROUP": study}


def command(overrides: list[str], folder: Path) -> list[str]:
    """The command line of a trial; without `-m`, so that every process Lightning starts for it sees the same values."""
    return [sys.executable, "-m", "arena.train", *overrides, f"hydra.run.dir={quoted(str(folder))}"]


def start(
    overrides: list[str], folder: Path, environment: Mapping[str, str], program: list[str] | None = None
) -> subprocess.Popen:
    """Start a trial; the thread that does so must outlive it (see `arena.sweep.lifeline`).

    Args:
        overrides: of the configuration.
        folder: of the run; it must not exist, so that no two trials ever share one.
        environment: variables on top of the inherited ones.
        program: command line instead of arena.train's.

    Raises:
        UsageError: the folder exists.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder}: the folder of a new trial exists already; choose another study name") from None
    with open(folder / OUTPUT, "wb") as output:
        return subprocess.Popen(
            program or command(overrides, folder),
            env=inherited(os.environ) | dict(environment) | {lifeline.VARIABLE: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which then stops its trials in order
        )


def wait(process: subprocess.Popen, folder: Path, objectives: list[str], timeout: float | None) -> Outcome:
    """The outcome of a trial once it has ended, which it is asked to do after `timeout` seconds."""
    began, timed_out = time.monotonic(), False
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        tell(process, signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            tell(process, signal.SIGKILL)
            process.wait()
    tell(process, signal.SIGKILL)  # processes of further devices that outlived the first
    outcome = outcome_of(folder, process.returncode, objectives)
    if timed_out and outcome.kind not in ("complete", "pruned", "diverged"):
        outcome = Outcome("timeout", None, f"stopped after timeout={timeout:g} seconds", process.returncode)
    return replace(outcome, seconds=time.monotonic() - began)


def tell(process: subprocess.Popen, number: int) -> None:
    """Send a signal to all processes of a trial."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
