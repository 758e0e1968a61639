"""What a run prints: its configuration at the start and one table at the end; plain lines where nobody watches."""

import math
import shutil
import sys
from typing import Any

from arena.config import compose as config
from arena.config.resolvers import suggested_lr
from arena.core import redact
from arena.core.console import say, terminal
from arena.core.data_keys import as_typed
from arena.core.values import flat
from arena.stats.classification import left_out

RATES_SHOWN = (
    "macro_f1",
    "auroc",
    "mcc",
    "calibration_error",
    "precision",
    "recall",
    "specificity",
    "negative_predictive_value",
)

MOST_DIFFERING, LONGEST = 12, 30
"""Lines of the table of what differs from the defaults, and characters of a value in it."""
NOT_SHOWN = (
    "run_dir",
    "data.ingest.rejects",
    "callback.",
    "logger.",
    "hydra.",
    "suggested.",
    "metric.",
    "task",
    "evaluator",
)
"""Beginnings of keys that follow from others."""


def configuration(settings: dict[str, Any], folder: Any) -> None:
    """Print the choices that matter in one line; on a terminal also a short table of what differs from the defaults."""
    parts = {name: settings[name]["_target_"].rpartition(".")[2] for name in ("model", "data", "loss", "optim")}
    named = settings["model"].get("name", parts["model"])
    source = settings["data"]["path"] or settings["data"]["reader"]["_target_"].rpartition(".")[2]
    trainer = settings["trainer"]
    say(
        f"model {named}  data {source}  loss {parts['loss']}  lr {settings['optim']['lr']:g}{_reason(settings)}  "
        f"precision {trainer['precision']}  seed {settings['seed']}\nrun folder {folder}"
    )
    if terminal():
        lines = differing(settings)
        if lines:
            printed("differs from the defaults", [["key", "value", "default"], *lines[:MOST_DIFFERING]])
        if len(lines) > MOST_DIFFERING:
            say(f"and {len(lines) - MOST_DIFFERING} more keys, see config.yaml")


def differing(settings: dict[str, Any]) -> list[list[str]]:
    """Return key, value and default of the values that are not the defaults, those of the command line first."""
    defaults = dict(flat(config.defaults()))
    typed = {as_typed(argument.lstrip("+").partition("=")[0]) for argument in sys.argv[1:]}
    found = [
        [as_typed(key), _brief(value), _brief(defaults.get(key))]
        for key, value in flat(redact.node(settings))
        if value != defaults.get(key) and not key.startswith(NOT_SHOWN) and "_target_" not in key.rpartition(".")[2]
    ]
    return sorted(found, key=lambda line: line[0] not in typed)


def _brief(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _reason(settings: dict[str, Any]) -> str:
    """` (2e-05 suggested by the model x 0.2 for lion)` where the learning rate is the product of these."""
    suggested = settings.get("suggested") or {}
    factors = suggested.get("factors")
    if not factors or settings["optim"]["lr"] != suggested_lr(suggested):
        return ""
    return f" ({suggested['lr']:g} suggested by the model{''.join(f' x {x:g} for {n}' for n, x in factors.items())})"


def rows_of(judged: dict[str, Any], first: tuple[str, ...] = ("log_loss", "accuracy")) -> list[list[str]]:
    """The lines of the final table: metric, model, 95% interval, one column for each baseline; metrics named in `first`
    come first."""
    baselines = judged["baselines"]
    lines = [["metric", "model", "95% interval", *baselines]]
    metrics = judged["metrics"]
    shown = [name for name in (*first, *RATES_SHOWN) if name in metrics]
    shown += [name for name in metrics if name.split("/")[0] in RATES_SHOWN and "/" in name]
    for name in shown:
        entry = metrics[name]
        value = number(entry["value"])
        if math.isnan(entry["value"]) and "denominator" in entry:
            value = f"undefined ({entry['numerator']:g}/{entry['denominator']:g})"
        lines.append([name, value, interval(entry), *(number(values.get(name)) for values in baselines.values())])
    return lines


def mean_rows(judged: dict[str, Any]) -> list[list[str]]:
    """The means over heads: metric, each head counting the same with its interval, by labelled rows, and baselines."""
    metrics, baselines = judged["metrics"], judged["baselines"]
    found = [["metric", "mean", "95% interval", "by rows", *baselines]]
    for name in (name for name in metrics if "/" not in name):
        others = [number(values.get(name)) for values in baselines.values()]
        found.append([name, *_value_and_interval(metrics[name]), number(metrics[f"weighted/{name}"]["value"]), *others])
    return found


def head_rows(judged: dict[str, Any]) -> list[list[str]]:
    """One line for each head: rows, log loss, accuracy and macro-F1, beside those of the prior."""
    metrics, prior = judged["metrics"], judged["baselines"]["prior"]
    shown = [name for name in ("log_loss", "accuracy", "macro_f1") if name in metrics]
    found = [["head", "rows", *(cell for name in shown for cell in (name, "95% interval", "prior"))]]
    for head, facts in judged["heads"].items():
        cells = []
        for name in shown:
            cells += [*_value_and_interval(metrics[f"{head}/{name}"]), number(prior.get(f"{head}/{name}"))]
        found.append([head, str(facts["rows"]), *cells])
    return found


def rarest_rows(judged: dict[str, Any]) -> list[list[str]]:
    """The class with the fewest labelled rows in each head: how many of them were found, and of its predictions right.

    Recall and precision stand beside what they are a fraction of.
    """
    metrics = judged["metrics"]
    found = [["head", "rarest class", "rows", "predicted", "recall", "precision"]]
    for head in judged["heads"]:
        start = f"{head}/count_target/"
        rows = {name.removeprefix(start): entry["value"] for name, entry in metrics.items() if name.startswith(start)}
        rarest = min(rows, key=lambda label: rows[label])
        rates = []
        for rate in ("recall", "precision"):
            entry = metrics.get(f"{head}/{rate}/{rarest}")
            rates.append("")
            if entry is not None and "denominator" in entry:
                rates[-1] = f"{number(entry['value'])} ({entry['numerator']:g}/{entry['denominator']:g})"
        predicted = metrics[f"{head}/count_predicted/{rarest}"]["value"]
        found.append([head, rarest, f"{rows[rarest]:g}", f"{predicted:g}", *rates])
    return found


def _value_and_interval(entry: dict[str, float]) -> tuple[str, str]:
    return number(entry["value"]), interval(entry)


def interval(entry: dict[str, float]) -> str:
    """Write `low to high`, of a calibration error also the debiased one; `-` where there is no interval."""
    if math.isnan(entry.get("low", math.nan)):
        return "-"
    debiased = f" (debiased {number(entry['debiased'])})" if "debiased" in entry else ""
    return f"{number(entry['low'])} to {number(entry['high'])}{debiased}"


def number(value: float | None) -> str:
    """Four decimals, nothing for None, a word for NaN."""
    if value is None:
        return ""
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def table(title: str, judged: dict[str, Any], folder: Any = None) -> None:
    """Print the final table, and where the tables of all classes lie."""
    if "heads" in judged:
        printed(f"{title}: {judged['rows']} rows, {judged['groups']} groups, means over heads", mean_rows(judged))
        printed("heads", head_rows(judged))
        printed("rarest class of each head", rarest_rows(judged))
    else:
        printed(f"{title}: {judged['rows']} rows, {judged['groups']} prompts", rows_of(judged))
    if "macro_f1" in judged["metrics"]:
        for line in left_out(absent_classes(judged["metrics"])):
            say(line)
    of = "label, mean over heads" if "heads" in judged else "row"
    say(f"gain over the prior: {nats(judged['gain_over_prior'], of)}")
    for name, skill in judged.get("skill", {}).items():
        say(f"gain over {name}: {nats(skill['gain'], of)}, skill {skill['skill']:.1%}")
        if name == "untrained":
            say(f"  {accuracy_line(skill)}")
    if folder is not None:
        say(f"every class, confusion matrices{' and cross tables' if 'heads' in judged else ''}: {folder}")


def absent_classes(metrics: dict[str, Any]) -> list[str]:
    """Return the classes (of several heads `head/class`) with neither rows nor predictions."""
    names = [name.split("count_target/") for name in metrics if "count_target/" in name]
    return [
        head + label
        for head, label in names
        if metrics[f"{head}count_target/{label}"]["value"] == metrics[f"{head}count_predicted/{label}"]["value"] == 0
    ]


def targets(lines: list[list[str]]) -> None:
    """Print what was reached of `evaluate.targets` (`arena.evaluation.targets.shown`), if there is any."""
    if len(lines) > 1:
        printed("targets", lines)


def accuracy_line(skill: dict[str, Any]) -> str:
    """The change of accuracy, of several heads of exact matches, with what it rests on, in words."""
    name = "exact_match" if "exact_match" in skill else "accuracy"
    change = skill[name]
    known = not math.isnan(change["low"]) and change["low"] != change["high"]
    spread = f" ({change['low']:+.4f} to {change['high']:+.4f})" if known else ""
    verdict = ""
    if known:
        verdict = "; the interval holds zero: not shown" if change["low"] <= 0 <= change["high"] else ""
    return (
        f"{name} {change['value']:+.4f}{spread}{verdict}; {change['only_model']} rows only the trained model has "
        f"right, {change['only_baseline']} only the untrained one (McNemar p {change['p']:.3f})"
    )


def printed(title: str, lines: list[list[str]]) -> None:
    """Print lines of cells under their header in aligned columns.

    On a terminal that is too narrow the columns go below each other in parts that all begin with the first column.
    """
    say(title)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for part in _parts(widths, shutil.get_terminal_size().columns if terminal() else None):
        for line in lines:
            say("  ".join(line[i].ljust(widths[i]) for i in part).rstrip())


def _parts(widths: list[int], room: int | None) -> list[list[int]]:
    """Divide columns into parts that fit into `room` characters; None: one part."""
    parts = [[0]]
    for i in range(1, len(widths)):
        if room is not None and len(parts[-1]) > 1 and sum(widths[k] + 2 for k in [*parts[-1], i]) - 2 > room:
            parts.append([0])
        parts[-1].append(i)
    return parts


def nats(gain: dict[str, float], of: str = "row") -> str:
    """A gain with its interval in words."""
    known = gain["low"] != gain["high"] and not math.isnan(gain["low"])
    return f"{gain['value']:.4f} nats a {of}" + (f" ({gain['low']:.4f} to {gain['high']:.4f})" if known else "")
