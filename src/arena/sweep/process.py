"""A trial: one process `python -m arena.train ...` in a folder of its own, that ends with the sweep that started it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

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
    """A process that trains; made by `start`, which must run in a thread that outlives the trial.

    Args:
        process: the running process, leader of its own group.
        folder: its run folder.
        objectives: what its outcome is read from.
        timeout: seconds after which it is stopped; None: never.
    """

    def __init__(
        self, process: subprocess.Popen, folder: Path, objectives: list[str], timeout: float | None = None
    ) -> None:
        self.process = process
        self.folder = folder
        self.objectives = objectives
        self.timeout = timeout
        self.began = time.monotonic()
        self.timed_out = False
        self._asked_at: float | None = None
        self._outcome: Outcome | None = None

    @classmethod
    def start(
        cls,
        overrides: list[str],
        folder: str | Path,
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
        objectives: list[str] | None = None,
        program: list[str] | None = None,
    ) -> Self:
        """Make the folder and start the process.

        Args:
            overrides: of the configuration.
            folder: of the run; it must not exist, so that no two trials ever share one.
            environment: variables on top of the inherited ones.
            timeout: seconds.
            objectives: default `[monitor]`.
            program: command line instead of arena.train's.

        Raises:
            UsageError: the folder exists, or the timeout is not positive.
        """
        if timeout is not None and not timeout > 0:
            raise UsageError(f"timeout={timeout}: a number of seconds greater than 0 is needed, or null")
        place = Path(folder).expanduser().resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.mkdir()
        except FileExistsError:
            raise UsageError(f"{place}: the folder of a new trial exists already; choose another study name") from None
        variables = inherited(os.environ) | dict(environment or {}) | {lifeline.VARIABLE: str(os.getpid())}
        with open(place / OUTPUT, "wb") as output:
            process = _spawn(program or command(overrides, place), variables, output)
        return cls(process, place, objectives or ["monitor"], timeout)

    def poll(self) -> Outcome | None:
        """The outcome, or None while the process runs; never waits. Obeys the timeout."""
        if self._outcome is None and not self._ended():
            self._press()
            return None
        return self._settled()

    def terminate(self) -> None:
        """Ask the trial to save its work and end (SIGTERM to all its processes); after the grace `poll` kills it."""
        if self._outcome is None and self._asked_at is None:
            self._asked_at = time.monotonic()
            self._signal(signal.SIGTERM)

    def stop(self, grace: float = GRACE) -> Outcome:
        """End the trial: SIGTERM, and SIGKILL to what is left after `grace` seconds. Returns once it is gone."""
        self.terminate()
        until = time.monotonic() + grace
        while self._outcome is None and not self._ended() and time.monotonic() < until:
            time.sleep(0.02)
        if self._outcome is None and not self._ended():
            self._signal(signal.SIGKILL)
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        return self._settled()

    def _ended(self) -> bool:
        """Whether the first process is over; it stays a zombie, which keeps the group's number from being reused."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _press(self) -> None:
        now = time.monotonic()
        if self.timeout is not None and now - self.began > self.timeout and self._asked_at is None:
            self.timed_out = True
            self.terminate()
        if self._asked_at is not None and now - self._asked_at > GRACE:
            self._signal(signal.SIGKILL)

    def _settled(self) -> Outcome:
        if self._outcome is None:
            self._signal(signal.SIGKILL)  # processes of further devices that outlived the first
            code = self.process.wait()
            outcome = outcome_of(self.folder, code, self.objectives)
            if self.timed_out and outcome.kind not in ("complete", "pruned", "diverged"):
                reason = f"stopped after timeout={self.timeout:g} seconds"
                outcome = Outcome("timeout", None, reason, code)
            self._outcome = outcome.lasted(time.monotonic() - self.began)
        return self._outcome

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


def _spawn(arguments: list[str], variables: dict[str, str], output: IO[bytes]) -> subprocess.Popen:
    """A process in a session of its own: Ctrl-C reaches the sweep alone, which then stops its trials in order."""
    return subprocess.Popen(
        arguments,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
