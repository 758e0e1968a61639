"""Sweeps: what they cost beside plain runs, what pruning saves, how fast they resume, and whether they survive kill -9.

    python benchmarks/sweep.py cost         # overhead per trial over the plain run of the same command
    python benchmarks/sweep.py prune        # steps that the median pruner saves, and at which best value, 10 seeds
    python benchmarks/sweep.py resume       # 1,000 finished trials: seconds until the sweep knows that it is done
    python benchmarks/sweep.py kill         # 20 times SIGKILL of the sweep or of a trial, at random; exact totals
    python benchmarks/sweep.py kill --stand_in 1 --longest 5 --trials 40   # with trials that only sleep and report

`cost` and `kill` train for real, on a tiny model and 200 toy rows. `prune` uses a stand-in for the training: a process
that draws a learning curve, reports it and asks as a trial does. Everything is written below a temporary folder.
"""

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from table import aligned, spread

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = ["data=toy", "model=tiny", "toy_rows=200", "resamples=0", "test=false", "evaluate.figures=false", "baselines=[]"]
STEPS = 20
"""Validations of a whole stand-in trial."""


def environment() -> dict[str, str]:
    """Of every process that is started here."""
    path = os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}


def train(*arguments: str) -> list[str]:
    """A command line of arena.train."""
    return [sys.executable, "-m", "arena.train", *arguments]


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and processor seconds of a command with all its children; it must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nexit code {done.returncode}: {' '.join(command)}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# --- cost -------------------------------------------------------------------------------------------------------------


def cost(options: argparse.Namespace) -> None:
    """Alternate plain runs with a sweep of as many trials; both see the same number of threads."""
    settings = [*TINY, f"trainer.max_steps={options.steps}", "validate_every=1"]
    walls, processors, plain_walls = [], [], []
    with tempfile.TemporaryDirectory() as place:
        for repeat in range(options.repeats + 1):  # the first is for byte code and the disk cache
            plain = [
                timed(train(*settings, f"optim.lr={1 + i}e-3", f"hydra.run.dir=plain/{repeat}-{i}"), Path(place))
                for i in range(options.trials)
            ]
            chosen = f"optim.lr={','.join(f'{1 + i}e-3' for i in range(options.trials))}"
            swept = timed(
                train("-m", "sweep=lr", *settings, chosen, "hydra/sweeper/sampler=grid", f"study=s{repeat}",
                      f"hydra.sweeper.n_trials={options.trials}"),
                Path(place),
            )  # fmt: skip
            if repeat:
                walls.append((swept[0] - sum(wall for wall, _ in plain)) / options.trials)
                processors.append((swept[1] - sum(processor for _, processor in plain)) / options.trials)
                plain_walls += [wall for wall, _ in plain]
    lines = [
        ["", "seconds: median (lowest-highest)"],
        ["plain run, wall", spread(plain_walls, 2)],
        ["overhead per trial, wall", spread(walls, 2)],
        ["overhead per trial, processor", spread(processors, 2)],
    ]
    print(f"load {os.getloadavg()[0]:.1f}; {options.trials} trials, the start of the sweep itself included")
    print(aligned(lines))


# --- prune ------------------------------------------------------------------------------------------------------------

STAND_IN = """
import json, math, os, random, sys
from arena.core.trial import Reporter, reported_metric
folder, lr, seed, steps = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
trial = json.loads(os.environ["ARENA_TRIAL"])
noise = random.Random(f"{seed}/{lr!r}")
distance = math.log10(lr) + 3  # best at 1e-3; a rate that is too small learns slowly, too large a one ends high
final, speed = 0.3 + 0.25 * distance**2, 0.35 if distance > -1 else 0.15
reporter = None
if reported_metric(trial, "val/log_loss"):
    reporter = Reporter(trial)
best, status = math.inf, "completed"
for step in range(steps):
    value = final + (1.1 - final) * math.exp(-speed * (step + 1)) + noise.gauss(0, 0.01)
    best = min(best, value)
    if reporter and reporter.report(step, value, 60) and step < steps - 1:
        status = "pruned"
        break
result = {"status": status, "reason": None, "monitor": {"value": best}, "steps": step + 1}
with open(f"{folder}/result.json", "w") as file:
    json.dump(result, file)
"""


def prune(options: argparse.Namespace) -> None:
    """The same sweep with and without the median pruner, for several seeds."""
    rows = {kind: [stood_in(options, kind, seed) for seed in range(options.seeds)] for kind in ("none", "median")}
    lines = [["pruner", "steps", "best value", "pruned trials"]]
    for kind, found in rows.items():
        columns = list(zip(*found, strict=True))
        lines.append([kind, spread(list(columns[0]), 0), spread(list(columns[1]), 4), spread(list(columns[2]), 0)])
    saved = [1 - m[0] / n[0] for m, n in zip(rows["median"], rows["none"], strict=True)]
    worse = [m[1] - n[1] for m, n in zip(rows["median"], rows["none"], strict=True)]
    print(f"{options.seeds} seeds, {options.trials} trials of {STEPS} validations each, TPE")
    print(aligned(lines))
    print(f"steps saved {spread([100 * s for s in saved], 0)} %, mean {100 * statistics.mean(saved):.1f} %")
    error = statistics.stdev(worse) / len(worse) ** 0.5 if len(worse) > 1 else 0.0
    print(
        f"best value with the pruner minus without {spread(worse, 4)}, mean {statistics.mean(worse):.4f} +- {error:.4f}"
    )


def stood_in(options: argparse.Namespace, pruner: str, seed: int) -> tuple[float, float, float]:
    """Steps, best value and pruned trials of one sweep."""
    from arena.sweep import sweeper
    from arena.sweep.pool import Pool, core_slots, pool_of

    with tempfile.TemporaryDirectory() as place:
        plan = plan_of(
            Path(place) / "study", "sweep=lr", f"seed={seed}", f"hydra/sweeper/pruner={pruner}",
            "optim.lr=tag(log,interval(1e-6,1e-1))", f"hydra.sweeper.n_trials={options.trials}",
        )  # fmt: skip

        def program(overrides: list[str], folder: Path) -> list[str]:
            lr = next(each.partition("=")[2] for each in overrides if each.startswith("optim.lr="))
            return [sys.executable, "-c", STAND_IN, str(folder), lr, str(seed), str(STEPS)]

        told = pool_of(plan, composed_for(plan))
        assert isinstance(told, Pool)
        pool = Pool(core_slots(1), plan.objectives, variables=told.variables, program=program)
        os.environ["PYTHONPATH"] = environment()["PYTHONPATH"]
        with open(os.devnull, "w") as nowhere:
            screen, sys.stdout = sys.stdout, nowhere
            try:
                study = sweeper.run(plan, pool)
            finally:
                sys.stdout = screen
        results = [json.loads(path.read_text()) for path in Path(place).glob("study/*/result.json")]
        assert len(results) == options.trials == len(study.counted())
        complete = [result["monitor"]["value"] for result in results if result["status"] == "completed"]
        return sum(result["steps"] for result in results), min(complete), len(results) - len(complete)


def plan_of(folder: Path, *overrides: str) -> Any:
    """The plan of a command line with `-m`, its study in `folder`."""
    from arena.config import compose as config
    from arena.sweep import plan

    config.register_resolvers()
    line = plan.space.split([*overrides, f"hydra.sweep.dir={folder}"])
    composed = config.composed([*line.fixed, *line.hydra])
    made = plan.read(composed, line)
    COMPOSED[made.folder] = composed
    return made


COMPOSED: dict[Path, Any] = {}


def composed_for(plan: Any) -> Any:
    """The configuration that a plan was read from."""
    return COMPOSED.pop(plan.folder)


# --- resume -----------------------------------------------------------------------------------------------------------


def resume(options: argparse.Namespace) -> None:
    """Seconds of a command whose trials are all done, from typing it to its end."""
    import optuna

    from arena.sweep.study import Study

    with tempfile.TemporaryDirectory() as place:
        chosen = ["sweep=lr", *TINY, f"hydra.sweeper.n_trials={options.trials}"]
        plan = plan_of(Path(place) / "multirun" / "lr", *chosen)
        plan.folder.mkdir(parents=True)
        study = Study(plan).study
        space = {each.name: each.distribution for each in plan.parameters}
        draw = random.Random(0)
        for number in range(options.trials):
            value = draw.random()
            trial = optuna.trial.create_trial(
                params={"optim.lr": 10 ** draw.uniform(-6, -2)},
                distributions=space,
                value=value,
                intermediate_values={step: value for step in range(5)},
                user_attrs={"kind": "complete", "exit_code": 0, "seconds": 1.0, "folder": str(number)},
            )
            study.add_trial(trial)
        times = [timed(train("-m", *chosen), Path(place)) for _ in range(options.repeats)]
        nothing = [timed(train("--cfg", "job", *TINY), Path(place)) for _ in range(options.repeats)]
    lines = [
        ["", "wall", "processor"],
        [f"{options.trials} finished trials, nothing to do", *(spread([t[i] for t in times], 2) for i in (0, 1))],
        ["python -m arena.train --cfg job", *(spread([t[i] for t in nothing], 2) for i in (0, 1))],
    ]
    print(f"load {os.getloadavg()[0]:.1f}; seconds, {options.repeats} repeats")
    print(aligned(lines))


# --- kill -------------------------------------------------------------------------------------------------------------


def kill(options: argparse.Namespace) -> None:
    """Kill the sweep or one of its trials at random moments, start it again, and count at the end."""
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        command = train(
            "-m", "sweep=lr", *TINY, "trainer.max_steps=4", "validate_every=1", "hydra/sweeper/pruner=none",
            f"hydra.sweeper.n_trials={options.trials}", "hydra.sweeper.n_jobs=2", "hydra.sweeper.max_failure_rate=1",
        )  # fmt: skip
        folder = Path(place) / "multirun" / "lr"
        if options.stand_in:
            command = [sys.executable, __file__, "controller", str(folder), "--trials", str(options.trials)]
        killed = {"sweep": 0, "trial": 0}
        before: dict[int, Any] = {}
        sweep = None
        while sum(killed.values()) < options.rounds:
            sweep = sweep or begin(command, Path(place))
            time.sleep(draw.uniform(0.2, options.longest))
            if sweep.poll() is not None:
                if sweep.returncode == 0:
                    sys.exit(f"all trials were done after {sum(killed.values())} rounds; give more --trials")
                sys.exit(f"exit code {sweep.returncode}\n{(Path(place) / 'output').read_text()[-2000:]}")
            # On a busy machine the sweep may not have started a trial yet: half of the rounds wait until it has.
            wanted, until = draw.random() < 0.5, time.monotonic() + 120
            while wanted and not processes(folder) and sweep.poll() is None and time.monotonic() < until:
                time.sleep(0.1)
            if alive := processes(folder) if wanted else []:
                end(draw.choice(alive))
                killed["trial"] += 1
            else:
                sweep.kill()
                sweep.wait()
                sweep = None
                killed["sweep"] += 1
                expect_none(folder)
            before = unchanged(before, finished(folder))
        sweep = sweep or begin(command, Path(place))
        if sweep.wait(3600):
            sys.exit(f"exit code {sweep.returncode}\n{(Path(place) / 'output').read_text()[-2000:]}")
        unchanged(before, finished(folder))
        report(folder, killed, options.trials)


SLEEPER = """
import json, random, sys, time
from arena.sweep import parent
parent.die_with_parent()
folder, lr = sys.argv[1].removeprefix("hydra.run.dir="), float(sys.argv[2])
time.sleep(random.uniform(0.5, 3))
with open(f"{folder}/result.json", "w") as file:
    monitor = {"name": "val/log_loss", "mode": "min", "value": lr**0.5}
    json.dump({"status": "completed", "reason": None, "monitor": monitor}, file)
"""


def controller(options: argparse.Namespace) -> None:
    """A sweep whose trials train nothing; started and killed by `kill --stand_in 1`."""
    from arena.sweep import sweeper
    from arena.sweep.pool import Pool, core_slots

    plan = plan_of(
        Path(options.folder), "sweep=lr", "hydra/sweeper/pruner=none", f"hydra.sweeper.n_trials={options.trials}",
        "hydra.sweeper.max_failure_rate=1",
    )  # fmt: skip

    def program(overrides: list[str], folder: Path) -> list[str]:
        lr = next(each.partition("=")[2] for each in overrides if each.startswith("optim.lr="))
        return [sys.executable, "-S", "-c", SLEEPER, f"hydra.run.dir={folder}", lr]

    sweeper.run(plan, Pool(core_slots(2), plan.objectives, program=program))


def begin(command: list[str], place: Path) -> subprocess.Popen:
    """Start the sweep, or go on with it."""
    with open(place / "output", "ab") as output:
        return subprocess.Popen(command, cwd=place, env=environment(), stdout=output, stderr=output)


def processes(folder: Path) -> list[int]:
    """Ids of the processes that train in the folder of a trial."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().decode("utf-8", "replace")
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"hydra.run.dir={folder}/" in line and state != "Z":
            found.append(int(path.name))
    return found


def end(number: int) -> None:
    """SIGKILL, where the process has not ended by itself."""
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return


def expect_none(folder: Path) -> None:
    """Nothing may be left running soon after the sweep was killed."""
    for _ in range(100):
        if not processes(folder):
            return
        time.sleep(0.1)
    sys.exit(f"still running: {processes(folder)}")


def trials(folder: Path) -> list[Any]:
    """Every trial of the study, none if it has none yet."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}").trials
    except Exception:  # killed before the study was there
        return []


def finished(folder: Path) -> dict[int, Any]:
    """Number, state, parameters and values of what is over."""
    over = [trial for trial in trials(folder) if trial.state.is_finished()]
    return {trial.number: (trial.state.name, trial.params, trial.values) for trial in over}


def unchanged(before: dict[int, Any], now: dict[int, Any]) -> dict[int, Any]:
    """Nothing that was finished may be lost or done again."""
    for number, known in before.items():
        if now.get(number) != known:
            sys.exit(f"trial {number} was {known} and is {now.get(number)}")
    return now


def report(folder: Path, killed: dict[str, int], total: int) -> None:
    """Count what is there and compare it with what should be."""
    found = trials(folder)
    states = [trial.state.name for trial in found]
    tried_again = {trial.user_attrs["retry_of"] for trial in found if "retry_of" in trial.user_attrs}
    counted = [trial for trial in found if trial.number not in tried_again and trial.user_attrs["kind"] != "withdrawn"]
    complete = [trial for trial in found if trial.state.name == "COMPLETE"]
    values = [
        json.loads((folder / str(trial.number) / "result.json").read_text())["monitor"]["value"] for trial in complete
    ]
    folders = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    checks = {
        "trials that count": len(counted) == total,
        "none running or waiting": not {"RUNNING", "WAITING"} & set(states),
        "no parameters complete twice": len({json.dumps(t.params) for t in complete}) == len(complete),
        "values equal the run folders'": values == [trial.value for trial in complete],
        "every folder is a trial's": set(folders) <= {trial.number for trial in found},
        "nothing left running": not processes(folder),
    }
    kinds = [str(trial.user_attrs.get("kind")) for trial in found]
    print(f"killed: sweep {killed['sweep']} times, trials {killed['trial']} times; {len(found)} trials for {total}")
    print(aligned([["kind", "trials"], *([kind, str(kinds.count(kind))] for kind in sorted(set(kinds)))]))
    print(aligned([["check", ""], *([name, "yes" if held else "NO"] for name, held in checks.items())]))
    if not all(checks.values()):
        sys.exit(1)


def main() -> None:
    """Parse the command line and run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    defaults: dict[str, tuple[Any, dict[str, Any]]] = {
        "cost": (cost, {"repeats": 2, "trials": 6, "steps": 3}),
        "prune": (prune, {"seeds": 10, "trials": 25}),
        "resume": (resume, {"trials": 1000, "repeats": 3}),
        "kill": (kill, {"rounds": 20, "trials": 12, "seed": 0, "longest": 25.0, "stand_in": 0}),
    }
    for name, (function, numbers) in defaults.items():
        part = parts.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
        part.set_defaults(function=function)
        for option, value in numbers.items():
            part.add_argument(f"--{option}", type=type(value), default=value, help=f"default {value}")
    part = parts.add_parser("controller", help=(controller.__doc__ or "").splitlines()[0])
    part.set_defaults(function=controller)
    part.add_argument("folder")
    part.add_argument("--trials", type=int, default=12)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
