"""Several trials at a time, each with a GPU (or some) or an equal share of the cores; nothing here ever blocks."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from arena.core.devices import visible_gpus
from arena.core.errors import UsageError
from arena.sweep import process
from arena.sweep.outcome import Outcome

Slot = dict[str, str]
"""The variables that give a trial its place on the machine."""


def gpu_slots(gpus: list[str] | list[int], per_trial: int = 1) -> list[Slot]:
    """A slot for each `per_trial` GPUs.

    Args:
        gpus: names or numbers as in CUDA_VISIBLE_DEVICES; they must be among the visible ones.
        per_trial: GPUs of one trial.

    Raises:
        UsageError: a GPU that there is not, one named twice, or too few for one trial.
    """
    visible, names = visible_gpus(), [str(gpu) for gpu in gpus]
    unknown = [name for name in names if name not in visible]
    if unknown:
        has = f"this machine has {', '.join(visible)}" if visible else "this machine has none"
        raise UsageError(f"gpus={','.join(names)}: there is no GPU {', '.join(unknown)}; {has}")
    if len(set(names)) < len(names):
        raise UsageError(f"gpus={','.join(names)}: a GPU is named twice")
    if per_trial < 1 or len(names) < per_trial:
        raise UsageError(f"gpus_per_trial={per_trial}: it must be 1 to {len(names)}, the number of GPUs")
    starts = range(0, len(names) - per_trial + 1, per_trial)
    return [{"CUDA_VISIBLE_DEVICES": ",".join(names[start : start + per_trial])} for start in starts]


def core_slots(workers: int) -> list[Slot]:
    """`workers` slots with an equal share of the cores; a single one leaves the environment, and so the numbers, alone.

    Raises:
        UsageError: fewer than one worker.
    """
    if workers < 1:
        raise UsageError(f"n_jobs={workers}: a whole number, 1 or more is needed")
    if workers == 1:
        return [{}]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, cores // workers)
    given = os.environ.get("OMP_NUM_THREADS", "")
    return [{"OMP_NUM_THREADS": str(min(share, int(given)) if given.isdigit() else share)} for _ in range(workers)]


def slots(workers: int | None = None, gpus: Any = None, per_trial: int = 1) -> list[Slot]:
    """The slots that a configuration asks for.

    Args:
        workers: trials at a time; None: as many as there are GPUs for, or one without GPUs.
        gpus: None: no GPU is dealt out, each trial sees what this process sees; `auto`: every visible one; or a list.
        per_trial: GPUs of one trial.

    Raises:
        UsageError: GPUs that there are not, or fewer than the workers need.
    """
    if gpus is None or (gpus == "auto" and not visible_gpus()):
        return core_slots(workers or 1)
    if not isinstance(gpus, list | tuple) and gpus != "auto":
        raise UsageError(f"hydra.launcher.gpus={gpus}: null, auto or a list such as [0,1] is needed")
    found = gpu_slots(visible_gpus() if gpus == "auto" else list(gpus), per_trial)
    if workers is not None and workers > len(found):
        raise UsageError(f"n_jobs={workers}: there are GPUs for {len(found)} trials at a time ({per_trial} each)")
    return [place | share for place, share in zip(found, core_slots(len(found)), strict=True)][:workers]


class Pool:
    """The trials that run now.

    Args:
        slots: from `slots`.
        objectives: names of the objectives; default `[monitor]`.
        timeout: seconds that one trial may take; None: any.
        variables: gives the variables of a trial from its number (`process.trial_variables`).
        program: gives the command line of a trial from its overrides and folder; default arena.train's.

    Raises:
        UsageError: the timeout is not positive.
    """

    def __init__(
        self,
        slots: list[Slot],
        objectives: list[str] | None = None,
        timeout: float | None = None,
        variables: Callable[[int], Mapping[str, str]] | None = None,
        program: Callable[[list[str], Path], list[str]] | None = None,
    ) -> None:
        if timeout is not None and not timeout > 0:
            raise UsageError(f"timeout={timeout}: a number of seconds greater than 0 is needed, or null")
        self.slots = list(slots)
        self.objectives = objectives or ["monitor"]
        self.timeout = timeout
        self.variables = variables or (lambda number: {})
        self.program = program
        self.running: dict[int, tuple[subprocess.Popen, Slot, Future[Outcome]]] = {}
        self._waiting = ThreadPoolExecutor(len(slots), thread_name_prefix="trial")

    def free(self) -> int:
        """How many more trials can start now."""
        return len(self.slots)

    def submit(self, number: int, overrides: list[str], folder: str | Path) -> None:
        """Start a trial in a free slot; its number reaches the configuration as `hydra.job.num`.

        Raises:
            UsageError: the folder exists.
        """
        place = Path(folder).expanduser().resolve()
        overrides = [*overrides, f"hydra.job.num={number}"]
        program = self.program(overrides, place) if self.program else None
        trial = process.start(overrides, place, {**self.slots[0], **self.variables(number)}, program)
        end = self._waiting.submit(process.wait, trial, place, self.objectives, self.timeout)
        self.running[number] = (trial, self.slots.pop(0), end)

    def finished(self, wait: float = 0.0) -> list[tuple[int, Outcome]]:
        """The trials that ended since the last call, with their outcomes.

        Args:
            wait: seconds to wait for the first one where none has ended yet.
        """
        futures.wait(self._ends(), wait, futures.FIRST_COMPLETED)
        ended = [number for number, (_, _, end) in self.running.items() if end.done()]
        self.slots += [self.running[number][1] for number in ended]
        return [(number, self.running.pop(number)[2].result()) for number in ended]

    def stop(self, grace: float = process.GRACE) -> list[tuple[int, Outcome]]:
        """Stop all trials, all at once, and return their outcomes."""
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, None)):
            for trial, _, end in self.running.values():
                if not end.done():
                    process.tell(trial, number)
            futures.wait(self._ends(), seconds)
        return self.finished()

    def _ends(self) -> list[Future[Outcome]]:
        return [end for _, _, end in self.running.values()]
