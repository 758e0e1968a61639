"""Trials that end with the process that started them, however it ended: `kill -9` of a sweep leaves nothing running."""

import os
import signal
import sys

VARIABLE = "ARENA_PARENT"
"""Process id of the parent that a trial must not outlive."""
PR_SET_PDEATHSIG = 1
"""`prctl(2)`: the signal that the kernel sends once the thread that forked this process is gone."""


def die_with_parent() -> None:
    """Tie a trial's process to its parent; call it before anything heavy is imported.

    The kernel sends the signal, so it works in the middle of native code too. It is not inherited: each process that
    Lightning starts for a further device ties itself to the first one. A parent that was gone before is found by its
    id. On other systems than Linux a thread looks every second.
    """
    parent = os.environ.get(VARIABLE)
    if parent is None:
        return
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        import threading

        threading.Thread(target=_watch, args=(int(parent),), daemon=True, name="parent").start()
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)
    os.environ[VARIABLE] = str(os.getpid())


def _watch(parent: int) -> None:
    import time

    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
