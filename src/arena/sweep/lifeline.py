"""A trial ends with the process that started it, however that ended: `kill -9` of a sweep leaves nothing running."""

import os
import signal
import sys

VARIABLE = "ARENA_PARENT"
"""Process id of the parent that a trial must not outlive."""
PR_SET_PDEATHSIG = 1
"""`prctl(2)`: the signal that the kernel sends once the parent (strictly: the thread of it that forked) is dead."""


def hold() -> None:
    """Tie this process to its parent if it is a trial's; to be called before anything heavy is imported.

    The kernel remembers the wish, so it holds in the middle of native code too. It is not inherited: each process that
    Lightning starts for a further device runs the same program and ties itself to the first one. A parent that was gone
    before the wish was made is found out by its id. Elsewhere than on Linux a thread looks every second.
    """
    parent = os.environ.get(VARIABLE)
    if parent is None:
        return
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        import threading

        threading.Thread(target=_watch, args=(int(parent),), daemon=True, name="lifeline").start()
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)
    os.environ[VARIABLE] = str(os.getpid())


def _watch(parent: int) -> None:
    import time

    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
