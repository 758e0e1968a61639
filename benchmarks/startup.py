"""Start-up: from typing a command to its first training step, its help, or its complaint.

    python benchmarks/startup.py                    # seven alternating repeats, one table

Each command is a process of its own and all commands take turns, so that a slow minute of the machine hits them all.
A ratio compares a command with an import that its work cannot do without (training: lightning) or should never need
(help and complaints: torch), within a repeat; the table shows the medians of both. One unmeasured turn comes first, for
byte code and the disk cache.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from table import aligned, spread

REPOSITORY = Path(__file__).resolve().parents[1]
TRAIN = ["-m", "arena.train"]
RUN = ["data=toy", "model=tiny", "trainer.max_steps=1", "test=false", "resamples=0"]


@dataclass
class Command:
    """A command line of this Python.

    Attributes:
        arguments: what follows `python`.
        until: the clock stops at the first line of output that begins with this pattern; None: at the end.
        code: the exit code that it must have.
        beside: name of the command whose time divides this one's.
    """

    arguments: list[str]
    until: str | None = None
    code: int = 0
    beside: str | None = None


COMMANDS = {
    "import lightning": Command(["-c", "import lightning"]),
    "import torch": Command(["-c", "import torch"]),
    "first training step": Command([*TRAIN, *RUN], until=r"step 1\b", beside="import lightning"),
    "help": Command([*TRAIN, "--help"], beside="import torch"),
    "a mistyped key": Command([*TRAIN, "optim.lrr=1"], code=2, beside="import torch"),
    "a mistyped model": Command([*TRAIN, "model=tinny"], code=2, beside="import torch"),
    "a wrong type": Command([*TRAIN, "optim.lr=fast"], code=2, beside="import torch"),
}


def seconds(name: str, command: Command, threads: int) -> float:
    """Wall time of one process up to its line or its end; a process that does something else ends the benchmark."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",
        "WANDB_MODE": "disabled",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *command.arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            seen, reached = [], None
            for line in process.stdout or []:
                seen.append(line)
                if reached is None and command.until and re.match(command.until, line):
                    reached = time.perf_counter() - began
        ended = time.perf_counter() - began
    if process.returncode != command.code or (command.until and reached is None):
        sys.exit(f"{''.join(seen)}\n{name}: exit code {process.returncode} (expected {command.code}), or no such line")
    return ended if reached is None else reached


def table_of(repeats: list[dict[str, float]]) -> str:
    """A line for each command: seconds, and the ratio to what it stands beside."""
    lines = [["", "seconds", "ratio", "to"]]
    for name in repeats[0]:
        beside = COMMANDS[name].beside
        ratios = [repeat[name] / repeat[beside] for repeat in repeats] if beside else []
        times = [repeat[name] for repeat in repeats]
        lines.append([name, spread(times, 2), spread(ratios, 2) if ratios else "", beside or ""])
    return aligned(lines)


def main() -> None:
    """Parse the command line, measure in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="alternating repeats (7)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    names = list(COMMANDS)
    for name in names:
        seconds(name, COMMANDS[name], options.threads)
    repeats = []
    for repeat in range(options.repeats):
        turn = repeat % len(names)
        measured = {name: seconds(name, COMMANDS[name], options.threads) for name in names[turn:] + names[:turn]}
        repeats.append({name: measured[name] for name in names})
    print(f"load {os.getloadavg()[0]:.1f}, {options.threads} threads")
    print(table_of(repeats))


if __name__ == "__main__":
    main()
