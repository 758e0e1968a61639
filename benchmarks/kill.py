"""Runs that are killed at random moments: do they end as if nothing had happened?

    python benchmarks/kill.py                             # 60 SIGKILLs, one table; exit code 1 for any difference
    python benchmarks/kill.py --signal term --times 40    # 40 SIGTERMs in the first 6 seconds: exit codes

SIGKILL: a small training (accumulation 3 with a short last window, a validation at every second update, moving average,
two workers) is killed at moments drawn evenly from the time that an undisturbed one takes, from the first import to the
last file. Where it left a checkpoint it is resumed, else typed again, until it ends; then the next one begins, until
there were that many kills. Compared with the undisturbed run: the weights of last.ckpt and best.ckpt bit for bit,
metrics.csv byte for byte, the test metrics of result.json, and the names of all files: what it has more is counted as
left over. Files that are left in the folder of temporary files (TMPDIR) are counted too.

SIGTERM: such a training without an end gets one signal; all should end with 143 (or of the signal itself where it came
before Python runs, which a shell shows as 143 too).
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from table import aligned

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = [
    "callback=ema", "data.num_workers=2", "trainer.accumulate_grad_batches=3", "validate_every=2", "toy_rows=150",
    "data.batch_size=8", "trainer.max_epochs=3", "trainer.log_every_n_steps=1", "trainer.precision=32-true",
    "baselines=[]", "resamples=0", "evaluate.figures=false",
]  # fmt: skip
LIMIT = 300
"""Seconds after which a process counts as hanging."""


def start(arguments: list[str], place: Path) -> subprocess.Popen:
    """`python -m arena.train ARGUMENTS` in a folder; its temporary files go to the folder `tmp` there."""
    temporary = place / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline",
        "TMPDIR": str(temporary),
    }  # fmt: skip
    with open(place / "output.txt", "a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "arena.train", *arguments], cwd=place, env=environment, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip


def end(process: subprocess.Popen, after: float | None = None, number: int = signal.SIGKILL) -> int | None:
    """The exit code of a process that gets a signal after so many seconds, unless it ends before; None if it hangs."""
    try:
        return process.wait(after or LIMIT)
    except subprocess.TimeoutExpired:
        process.send_signal(number if after else signal.SIGKILL)
    if not after:
        process.wait()
        return None
    return end(process)


def files(folder: Path) -> Counter[str]:
    """All files below a folder, by their path in it; those of weights, which are named by content, have one name."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return Counter(re.sub(r"weights-\d+-\w+", "weights", name) for name in names)


def finished(run: Path) -> bool:
    """Whether the result says that the run is complete."""
    try:
        return json.loads((run / "result.json").read_text())["status"] == "completed"
    except (OSError, ValueError):
        return False


def differences(whole: Path, run: Path) -> list[str]:
    """What a run has otherwise than the undisturbed one."""
    import torch

    sys.path.insert(0, str(REPOSITORY / "src"))
    from arena.config.weights import read_checkpoint

    found = []
    for name in ("last", "best"):
        one, other = (read_checkpoint(each / "checkpoints" / f"{name}.ckpt")["state_dict"] for each in (whole, run))
        if one.keys() != other.keys() or not all(torch.equal(one[key], other[key]) for key in one):
            found.append(f"weights of {name}.ckpt")
    if (whole / "metrics.csv").read_bytes() != (run / "metrics.csv").read_bytes():
        found.append("metrics.csv")
    results = [json.loads((each / "result.json").read_text())["test"] for each in (whole, run)]
    if repr(results[0]) != repr(results[1]):  # NaN is not equal to itself
        found.append("test metrics")
    return found


def survive(place: Path, times: int, draw: random.Random) -> bool:
    """Kill runs until there were `times` kills, print the table; whether all was as in the undisturbed run."""
    began = time.monotonic()
    if end(start([*SETTINGS, "hydra.run.dir=whole"], place)) != 0:
        sys.exit(f"the undisturbed run failed; see {place}/output.txt")
    length = time.monotonic() - began
    counted: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    while counted["kills"] < times:
        run = place / f"run{counted['runs']}"
        code: int | None = -1
        while code != 0 and not finished(run):
            arguments = [f"resume={run.name}"]
            if not (run / "checkpoints" / "last.ckpt").is_file():
                arguments = [*SETTINGS, f"hydra.run.dir={run.name}"]
            counted["typed again" if len(arguments) > 1 else "resumed"] += code != -1
            alive = counted["kills"] >= times
            began = time.monotonic()
            code = end(start(arguments, place), None if alive else draw.uniform(0.05, length))
            if code == 0 and len(arguments) > 1:
                length = min(length, time.monotonic() - began)  # the machine was slower before
            counted["kills"] += code == -signal.SIGKILL
            if code not in (0, -signal.SIGKILL):
                wrong[f"exit code {code}"] += 1
                break
        counted["runs"] += 1
        if code in (0, -signal.SIGKILL):
            wrong.update(differences(place / "whole", run))
            wrong["files left over"] += (files(run) - files(place / "whole")).total()
    left = files(place / "tmp").total()
    lines = [["undisturbed run", f"{length:.1f} s"]]
    lines += [[name, str(counted[name])] for name in ("kills", "runs", "resumed", "typed again")]
    names = ["weights of last.ckpt", "weights of best.ckpt", "metrics.csv", "test metrics"]
    lines += [[f"runs with other {name}", str(wrong[name])] for name in names]
    lines += [["files left over in run folders", str(wrong["files left over"])], ["in TMPDIR", str(left)]]
    lines += [[name, str(number)] for name, number in wrong.items() if name.startswith("exit code")]
    print(aligned([["", ""], *lines]))
    return not (+wrong or left)


def obey(place: Path, times: int, within: float, draw: random.Random) -> bool:
    """Send SIGTERM to trainings without an end, print how they ended; whether all ended as they should."""
    codes: Counter[int | None] = Counter()
    for i in range(times):
        arguments = [*SETTINGS, "trainer.max_epochs=100000", f"hydra.run.dir=run{i}"]
        codes[end(start(arguments, place), draw.uniform(0.05, within), signal.SIGTERM)] += 1
    names = {143: "143", -signal.SIGTERM: "143 (by the signal itself)", None: f"still running after {LIMIT} s"}
    lines = [[names.get(code, str(code)), str(number)] for code, number in codes.most_common()]
    print(aligned([["exit code", f"of {times}"], *lines]))
    return set(codes) <= {143, -signal.SIGTERM}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signal", choices=["kill", "term"], default="kill")
    parser.add_argument("--times", type=int, default=60, help="signals (60)")
    parser.add_argument("--within", type=float, default=6.0, help="seconds from the start in which SIGTERM comes (6)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--folder", type=Path, help="an empty folder that keeps the runs; else they are deleted")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place = (options.folder or Path(temporary)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        if options.signal == "kill":
            fine = survive(place, options.times, draw)
        else:
            fine = obey(place, options.times, options.within, draw)
    sys.exit(not fine)


if __name__ == "__main__":
    main()
