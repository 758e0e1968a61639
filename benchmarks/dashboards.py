"""What a dashboard costs a training, also when its server is dead: python benchmarks/dashboards.py [repeats=3]

The same small training as a process of its own, from its start to its end, with no dashboard, with W&B offline, and
with W&B online and a server that refuses, accepts and never answers, or answers every request with an error.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "data.limit=120", "data.batch_size=8", "data.max_length=48", "resamples=0", "evaluate.figures=false",
    "baselines=[]", "trainer.max_steps=20", "validate_every=10",
]  # fmt: skip
ARMS = {
    "no dashboard": ("csv", None),
    "W&B offline": ("wandb", None),
    "W&B, server refuses": ("wandb", "refuses"),
    "W&B, server never answers": ("wandb", "hangs"),
    "W&B, server answers 500": ("wandb", "fails"),
    "TensorBoard": ("tensorboard", None),  # Lightning's own
}


@contextmanager
def server(kind: str | None) -> Iterator[str | None]:
    """Address of a server that is of no use."""
    if kind is None:
        yield None
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind != "refuses":
            listener.listen(64)
        if kind == "fails":
            Thread(target=_fail, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _fail(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def seconds(logger: str, kind: str | None) -> float:
    """Wall-clock seconds of one training."""
    with tempfile.TemporaryDirectory() as folder, server(kind) as address:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
            environment.pop(name, None)
        if address is not None:
            environment |= {"WANDB_API_KEY": 40 * "0", "WANDB_BASE_URL": address}
        command = [sys.executable, "-m", "arena.train", *SMALL, f"logger={logger}", "hydra.run.dir=run"]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        took = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    return took


def main() -> None:
    """Measure the arms in turn, so that a machine that slows down slows all of them."""
    repeats = int(dict(argument.split("=") for argument in sys.argv[1:]).get("repeats", 3))
    took: dict[str, list[float]] = {name: [] for name in ARMS}
    seconds("csv", None)  # warms the disk's cache
    for _ in range(repeats):
        for name, arm in ARMS.items():
            took[name].append(seconds(*arm))
    plain = statistics.median(took["no dashboard"])
    print(f"{'':28}{'median s':>10}{'slowest':>10}{'added':>10}")
    for name, each in took.items():
        median = statistics.median(each)
        print(f"{name:28}{median:10.1f}{max(each):10.1f}{median - plain:+10.1f}")


if __name__ == "__main__":
    main()
