"""Batches of data workers that may be stopped, stuck or dead: an error that names them instead of a hang."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from torch.utils.data import DataLoader

from arena.core.errors import InputOutputError, lost

PATIENCE = 35
"""Seconds without a batch after which a data worker counts as stuck; a batch takes milliseconds."""


class Watch(threading.Thread):
    """Wakes stopped workers once the training has waited `PATIENCE` seconds for a batch.

    torch's own time limit covers the queue only. The tensors of a batch come from the worker by another road, on which
    a stopped process is waited for without end; nor could it be terminated while it is stopped.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self.pids = pids
        self.requested: float | None = None
        """Time at which the batch was requested that is not there yet."""
        self.late = False
        self.done = threading.Event()

    def run(self) -> None:
        """Look once a second."""
        while not self.done.wait(1.0):
            requested = self.requested
            if requested is not None and time.monotonic() - requested > PATIENCE:
                self.late = True
                self.wake()

    def wake(self) -> None:
        """Let stopped workers go on."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def answers(loader: DataLoader) -> Iterator[Any]:
    """Yield a loader's batches; an `InputOutputError` where a worker died, or gave none for `PATIENCE` seconds."""
    iterator: Any = iter(loader)
    workers = getattr(iterator, "_workers", [])
    if not workers:
        yield from iterator
        return
    watch = Watch([worker.pid for worker in workers])
    watch.start()
    try:
        while True:
            watch.requested = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except (OSError, EOFError) as error:
                # The tensors of a batch are fetched from the worker's own socket, which died with it.
                for worker in workers:
                    worker.join(0.5)  # the socket closes a moment before the process can be seen to have ended
                if dead := [worker.pid for worker in workers if not worker.is_alive()]:
                    raise InputOutputError(lost(dead[0], "killed")) from error
                raise
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise
                watch.late = True
            watch.requested = None
            if watch.late:
                raise InputOutputError(
                    f"data.num_workers={len(workers)}: no batch for {PATIENCE} s, a data worker was stopped or is "
                    f"stuck (processes {', '.join(map(str, watch.pids))}); give data.num_workers=0, or resume the run"
                )
            yield batch
    finally:
        watch.done.set()
        watch.wake()
