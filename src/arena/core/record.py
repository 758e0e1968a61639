"""`result.json` over the life of a run: true at every moment, however the run ends."""

import contextlib
import logging
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arena.core import heartbeat, stored
from arena.core.errors import DataError, DivergedError, InputOutputError, Interrupted, classify
from arena.core.run import RunFolder, git_state, plain, versions

log = logging.getLogger("arena")


class Record:
    """Context manager around a training run; only the first process of a distributed run `writes`.

    On entry it writes `config.yaml` and a `result.json` with the status "running" and a heartbeat that is renewed
    (`arena.core.heartbeat`), so that a kill at any moment is detected. On exit the status becomes what happened.
    """

    def __init__(self, run: RunFolder, settings: dict[str, Any], writes: bool = True) -> None:
        self.run = run
        self.settings = settings
        self.writes = writes
        self.result = run.read_result() if settings["resume"] else {}
        self.started = time.time()
        self._written: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.write_config()
        monitor = self.settings["monitor"]
        previous = self.result.get("monitor", {})
        self.result |= {
            "status": heartbeat.RUNNING,
            "reason": None,
            "monitor": {"value": None, "step": None} | previous | {"name": monitor["name"], "mode": monitor["mode"]},
            "seed": self.settings["seed"],
            "git": git_state(Path(__file__).parent),
            "versions": versions(),
            "time": {"setup": None, "fit": 0.0, "test": None} | self.result.get("time", {}),
        }
        self.result.setdefault("test", None)
        self.result.setdefault("baselines", {})
        self.write()
        if self.writes:
            threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        return self

    def write_config(self) -> None:
        """Replace `config.yaml`; again once the model exists, which knows its true architecture."""
        if self.writes:
            stored.write(self.run.config, self.settings)

    def add(self, **parts: Any) -> None:
        """Add top-level parts to the result and write it; dictionaries are merged one level deep."""
        for name, value in parts.items():
            old = self.result.get(name)
            self.result[name] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
        self.write()

    def add_data(self, data: Any) -> None:
        """Add the summary of the run's data and write its splits; raises DataError on resume where the data changed."""
        summary = data.summary()
        before = self.result.get("data", {}).get("fingerprint")
        if self.settings["resume"] and before not in (None, summary["fingerprint"]):
            raise DataError(f"{data.path}: the data changed since this run began; start a new run")
        if self.writes:
            data.write_splits(self.run.splits)
        self.add(data=summary)

    def add_results(self, split: str, results: dict[str, Any]) -> None:
        """Add the results of one split (`arena.evaluation.predictions`); `val` is called `validation` in the file."""
        values = results["metrics"] | {"loss": {"value": results["loss"]}}
        self.add(**{"validation" if split == "val" else split: values, "baselines": {split: results["baselines"]}})
        self.add(gain_over_prior={split: results["gain_over_prior"]}, skill={split: results["skill"]})
        if "heads" in results:
            self.add(heads={split: results["heads"]})

    def finish(self, status: str, reason: str | None = None) -> None:
        """Set the final status, with its `reason` where a sweep stopped the run."""
        self.result |= {"status": status, "reason": reason}
        self.write()

    def write(self) -> None:
        """Replace `result.json`."""
        if self.writes:
            self._put(plain(self.result))

    def _put(self, result: dict[str, Any] | None = None) -> None:
        """Write a result, or the last one again, with a heartbeat while its status is "running"."""
        with self._lock:
            self._written = result or self._written
            sign = heartbeat.beat() if self._written["status"] == heartbeat.RUNNING else None
            self.run.write_result(self._written | {"heartbeat": sign})

    def _beat(self) -> None:
        while not self._over.wait(heartbeat.EVERY):
            with contextlib.suppress(InputOutputError):  # a full disk stops the training where it writes itself
                self._put()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if error is None:
            return
        known = classify(error)
        diverged = "diverged" if isinstance(known, DivergedError) else "failed"
        status = "preempted" if isinstance(known, Interrupted) else diverged
        log.debug("the run ended with an error", exc_info=error)
        self.result |= {"status": status, "reason": str(known)}
        self.write()
