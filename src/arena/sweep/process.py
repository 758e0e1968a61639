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
    mode: str,
    pruner: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The variables that tell a process which trial it is.

    Args:
        storage: URL of the Optuna storage; None for trials of a sweep without a study.
        study: name of the study; also the group of the runs in Weights & Biases.
        number: of the trial.
        objectives: names as in `hydra.sweeper.objectives`; with several there is no pruning.
        mode: `min` or `max`, of the first objective.
        pruner: its class and options, `{"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 5, ...}`; its
            steps are validations, counted from 0. None: never prune, and Optuna is not even imported in the trial.
    """
    told = {"storage": storage, "study": study, "number": number, "objectives": objectives, "mode": mode}
    return {TRIAL: json.dumps(told | {"pruner": pruner}), "WANDB_RUN_GROUP": study}


def command(overrides: list[str], folder: Path) -> list[str]:
    """The command line of a trial; without `-m`, so that every process Lightning starts for it sees the same values."""
    return [sys.executable, "-m", "arena.train", *overrides, f"hydra.run.dir={quoted(str(folder))}"]


class Trial:
    """A process that trains; the thread that starts it must outlive it (see `arena.sweep.lifeline`).

    Args:
        overrides: of the configuration.
        folder: of the run; it must not exist, so that no two trials ever share one.
        environment: variables on top of the inherited ones.
        timeout: seconds after which it is stopped; None: never.
        objectives: what its outcome is read from; default `[monitor]`.
        program: command line instead of arena.train's.

    Raises:
        UsageError: the folder exists.
    """

    def __init__(
        self,
        overrides: list[str],
        folder: str | Path,
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
        objectives: list[str] | None = None,
        program: list[str] | None = None,
    ) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.objectives = objectives or ["monitor"]
        self.timeout = timeout
        self.began = time.monotonic()
        self.timed_out = False
        self._asked_at: float | None = None
        self._outcome: Outcome | None = None
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise UsageError(
                f"{self.folder}: the folder of a new trial exists already; choose another study name"
            ) from None
        variables = inherited(os.environ) | dict(environment or {}) | {lifeline.VARIABLE: str(os.getpid())}
        with open(self.folder / OUTPUT, "wb") as output:
            self.process = subprocess.Popen(
                program or command(overrides, self.folder),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which then stops its trials in order
            )

    def poll(self) -> Outcome | None:
        """The outcome, or None while the process runs; never waits. Obeys the timeout."""
        if self._outcome is None and self.process.poll() is not None:
            self._outcome = self._settled(self.process.returncode)
        elif self._outcome is None:
            now = time.monotonic()
            if self.timeout is not None and now - self.began > self.timeout and self._asked_at is None:
                self.timed_out = True
                self.terminate()
            if self._asked_at is not None and now - self._asked_at > GRACE:
                self._signal(signal.SIGKILL)
        return self._outcome

    def terminate(self) -> None:
        """Ask the trial to save its work and end (SIGTERM to all its processes); after the grace `poll` kills it."""
        if self._outcome is None and self._asked_at is None:
            self._asked_at = time.monotonic()
            self._signal(signal.SIGTERM)

    def stop(self, grace: float = GRACE) -> Outcome:
        """End the trial: SIGTERM, and SIGKILL to what is left after `grace` seconds. Returns once it is gone."""
        self.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        outcome = self.poll()
        assert outcome is not None
        return outcome

    def _settled(self, code: int) -> Outcome:
        self._signal(signal.SIGKILL)  # processes of further devices that outlived the first
        outcome = outcome_of(self.folder, code, self.objectives)
        if self.timed_out and outcome.kind not in ("complete", "pruned", "diverged"):
            outcome = Outcome("timeout", None, f"stopped after timeout={self.timeout:g} seconds", code)
        return replace(outcome, seconds=time.monotonic() - self.began)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
