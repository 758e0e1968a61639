"""A trial: one process `python -m arena.train ...` in a folder of its own, that ends with the sweep that started it."""

import contextlib
import json
import math
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
from arena.sweep import parent
from arena.sweep.result import OUTPUT, TrialResult, read_trial_result

GRACE = 20.0
"""Seconds that a trial has to save its work after SIGTERM."""

RANKS = re.compile(
    r"(LOCAL_|GROUP_|ROLE_|NODE_)?RANK|(LOCAL_|GROUP_|ROLE_)?WORLD_SIZE|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_.*"
    r"|SLURM_(PROCID|LOCALID|NODEID|NTASKS|NTASKS_PER_NODE|STEP_NUM_TASKS|GTIDS|STEP_ID|STEPID)"
    r"|OMPI_COMM_WORLD_.*|PMIX?_(RANK|SIZE)|MPI_LOCAL(RANKID|NRANKS)|JSM_NAMESPACE_.*|LSB_DJOB_.*|XLA_.*RANK|LT_.*"
    r"|PL_GLOBAL_SEED|PL_SEED_WORKERS|PL_EXP_VERSION"
)
"""Variables by which Lightning, torchrun, Slurm, MPI or LSF mark a process as one of several, and seeds of an earlier
training in this process. A trial that saw them would wait for others that never come."""
OWN = re.compile(r"WANDB_(RUN_ID|RESUME|SERVICE|NAME)|_WANDB_.*|ARENA_TRIAL|ARENA_PARENT")
"""Variables that belong to one run: two trials must not share them."""


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a trial may inherit: without ranks and without what belongs to another run."""
    return {name: value for name, value in environment.items() if not (RANKS.fullmatch(name) or OWN.fullmatch(name))}


def trial_variables(
    storage: str, study: str, number: int, objectives: list[str], pruner: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The variables that identify a trial to its own process; `study` is also the group in Weights & Biases.

    Without a `pruner` (`{"_target_": "optuna.pruners.MedianPruner", ...}`) the trial does not even import Optuna.
    """
    trial = {"storage": storage, "study": study, "number": number, "objectives": objectives, "pruner": pruner}
    return {TRIAL: json.dumps(trial), "WANDB_RUN_GROUP": study}


class Process:
    """A running trial; the thread that starts it must outlive it (`arena.sweep.parent`).

    Args:
        overrides: of the configuration; without `-m`, so that every process Lightning starts sees the same values.
        folder: of the run; a `UsageError` where it exists, so that no two trials ever share one.
        environment: variables on top of the inherited ones.
        timeout: seconds after which it is asked to stop; None: never.
        program: command line in place of arena.train's.
    """

    def __init__(
        self,
        overrides: list[str],
        folder: Path,
        environment: Mapping[str, str],
        timeout: float | None = None,
        program: list[str] | None = None,
    ) -> None:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise UsageError(f"{folder}: the folder of a new trial exists already; choose another study name") from None
        self.folder, self.timeout = folder, timeout
        self.began = time.monotonic()
        self.due = math.inf if timeout is None else self.began + timeout
        self.timed_out = False
        command = [sys.executable, "-m", "arena.train", *overrides, f"hydra.run.dir={quoted(str(folder))}"]
        with open(folder / OUTPUT, "wb") as output:
            self.process = subprocess.Popen(
                program or command,
                env=inherited(os.environ) | dict(environment) | {parent.VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which then stops its trials in order
            )

    def ended(self) -> bool:
        """True once it is over; to be asked now and then, because it also enforces the timeout."""
        if self.process.poll() is not None:
            return True
        if time.monotonic() > self.due:
            self.signal(signal.SIGKILL if self.timed_out else signal.SIGTERM)
            self.timed_out, self.due = True, time.monotonic() + GRACE
        return False

    def result(self, objectives: list[str]) -> TrialResult:
        """The result once it has ended; processes of further devices that outlived the first are killed."""
        self.signal(signal.SIGKILL)
        result = read_trial_result(self.folder, self.process.returncode, objectives)
        if self.timed_out and result.kind not in ("complete", "pruned", "diverged"):
            reason = f"stopped after timeout={self.timeout:g} seconds"
            result = replace(result, kind="timeout", values=None, reason=reason)
        return replace(result, seconds=time.monotonic() - self.began)

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
