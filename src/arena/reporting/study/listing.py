"""Sections that list: all trials, those that did not complete, and how the study was made."""

import shlex
from pathlib import Path
from typing import Any

from arena.reporting.sections import Digits, Section, Sheet, plural
from arena.reporting.study.cells import MOST_TRIALS, number, params
from arena.reporting.study.trials import UNFINISHED, Sweep, duration


def table(sweep: Sweep, output: Path) -> Section:
    """All trials: complete ones the best first, then the others by number."""
    ordered = sweep.best_first()
    numbers = {trial.number for trial in ordered}
    ordered += [trial for trial in sweep.trials if trial.number not in numbers]
    header = ["trial", "kind", *(one.name for one in sweep.objectives), *sweep.parameters, "time"]
    lines = []
    for trial in ordered:
        values = [Digits(value) for value in trial.values] or [""] * len(sweep.objectives)
        values += [""] * (len(sweep.objectives) - len(values))
        time = duration(trial.seconds) if trial.seconds is not None else ""
        lines.append([number(trial, output), trial.kind.replace("_", " "), *values, *params(sweep, trial), time])
    finding = f"{plural(len(lines), 'trial')}, the best first. A number leads to the run's folder."
    sheet = Sheet("trials", "All trials", [header, *lines], MOST_TRIALS, "summary.csv")
    return Section("trials", "Trials", finding, [], [], [sheet] if lines else [])


def ended(sweep: Sweep, output: Path) -> Section:
    """Trials that did not complete, with their reasons."""
    title = "Pruned and failed"
    others = [trial for trial in sweep.trials if trial.kind not in ("complete", *UNFINISHED)]
    if not others:
        return Section("ended", title, "Every trial that has ended is complete.")
    counts = {kind: some for kind, some in sweep.counts().items() if kind not in ("complete", *UNFINISHED)}
    finding = ", ".join(f"{some} {kind.replace('_', ' ')}" for kind, some in counts.items()) + "."
    header = ["trial", "kind", "reason", "exit code", "time", *sweep.parameters, "retried as"]
    again = {trial.retry_of: trial.number for trial in sweep.trials if trial.retry_of is not None}
    lines = [
        [
            number(trial, output), trial.kind.replace("_", " "), " ".join(trial.reason.split())[:200], trial.exit_code,
            duration(trial.seconds) if trial.seconds is not None else "", *params(sweep, trial),
            again.get(trial.number, ""),
        ]
        for trial in others
    ]  # fmt: skip
    sheet = Sheet("ended", "Trials that did not complete", [header, *lines], MOST_TRIALS, "summary.csv")
    return Section("ended", title, finding, [], [], [sheet])


def made(sweep: Sweep) -> Section:
    """Where the numbers are from, and how to look at them live."""
    known = {
        "read from": sweep.source,
        "database": sweep.storage,
        "objectives": ", ".join(f"{one.name} ({one.word} is best)" for one in sweep.objectives),
        "trials asked for": sweep.about.get("n_trials"),
        "sampler": sweep.about.get("sampler"),
        "pruner": sweep.about.get("pruner"),
        "search space": sweep.about.get("params"),
        "fixed overrides": " ".join(sweep.fixed),
        "starting points": sweep.about.get("enqueue"),
        "versions": sweep.about.get("versions"),
        "git": sweep.about.get("git"),
    }
    lines = [[name, text(value)] for name, value in known.items() if value]
    commands = []
    if typed := sweep.about.get("command"):
        words = typed if isinstance(typed, str) else shlex.join(map(str, typed))
        commands.append(("The sweep was started, and goes on, with:", words))
    if sweep.storage and "***" not in sweep.storage:
        commands.append(("Look at the study while it runs:", f"optuna-dashboard {sweep.storage}"))
    sheet = Sheet("made", "The study", [["what", "value"], *lines])
    return Section("made", "How it was made", f"{sweep.source}.", [], [], [sheet], commands)


def text(value: Any) -> str:
    """A value of `sweep.json` as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text(each)}" for name, each in value.items())
    return ", ".join(map(text, value)) if isinstance(value, list) else str(value)
