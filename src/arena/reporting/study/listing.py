"""Sections that list: all trials, those that did not complete, and how the study was made."""

import shlex
from pathlib import Path
from typing import Any

from arena.reporting.sections import Digits, Section, Sheet, plural
from arena.reporting.study.cells import MOST_TRIALS, number, params, time
from arena.reporting.study.trials import UNFINISHED, Sweep


def table(sweep: Sweep, output: Path) -> Section:
    """All trials: complete ones the best first, then the others by number."""
    ordered = sweep.best_first()
    numbers = {trial.number for trial in ordered}
    ordered += [trial for trial in sweep.trials if trial.number not in numbers]
    lines: list[list[Any]] = [["trial", "kind", *(one.name for one in sweep.objectives), *sweep.parameters, "time"]]
    for trial in ordered:
        values = [*map(Digits, trial.values), *[""] * (len(sweep.objectives) - len(trial.values))]
        kind = trial.kind.replace("_", " ")
        lines.append([number(trial, output), kind, *values, *params(sweep, trial), time(trial)])
    finding = f"{plural(len(ordered), 'trial')}, the best first. A number leads to the run's folder."
    sheet = Sheet("trials", "All trials", lines, MOST_TRIALS, "summary.csv")
    return Section("trials", "Trials", finding, sheets=[sheet] if ordered else [])


def ended(sweep: Sweep, output: Path) -> Section:
    """Trials that did not complete, with their reasons."""
    title, away = "Pruned and failed", ("complete", *UNFINISHED)
    counts = [f"{some} {kind.replace('_', ' ')}" for kind, some in sweep.counts().items() if kind not in away]
    if not counts:
        return Section("ended", title, "Every trial that has ended is complete.")
    again = {trial.retry_of: trial.number for trial in sweep.trials if trial.retry_of is not None}
    lines = [["trial", "kind", "reason", "exit code", "time", *sweep.parameters, "retried as"]]
    for trial in sweep.trials:
        if trial.kind not in away:
            cells = [number(trial, output), trial.kind.replace("_", " "), " ".join(trial.reason.split())[:200]]
            cells += [trial.exit_code, time(trial), *params(sweep, trial), again.get(trial.number, "")]
            lines.append(cells)
    sheet = Sheet("ended", "Trials that did not complete", lines, MOST_TRIALS, "summary.csv")
    return Section("ended", title, ", ".join(counts) + ".", sheets=[sheet])


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
    return Section("made", "How it was made", f"{sweep.source}.", sheets=[sheet], commands=commands)


def text(value: Any) -> str:
    """A value of `sweep.json` as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text(each)}" for name, each in value.items())
    return ", ".join(map(text, value)) if isinstance(value, list) else str(value)
