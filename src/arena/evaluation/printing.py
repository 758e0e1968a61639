"""Printed output of a run: its configuration at the start and one table at the end, as plain lines."""

import math
import shutil
import sys
from typing import Any

from arena.config import compose as config
from arena.config.resolvers import suggested_lr
from arena.core import redact
from arena.core.console import echo, terminal
from arena.core.data_keys import as_typed
from arena.core.values import flat
from arena.stats.classification import left_out

METRICS = (
    *("macro_f1", "auroc", "mcc", "calibration_error"),
    *("precision", "recall", "specificity", "negative_predictive_value"),
)

MAX_DIFFERING, MAX_CHARACTERS = 12, 30
"""Lines of the table of what differs from the defaults, and characters of a value in it."""
DERIVED = (
    *("run_dir", "data.ingest.rejects", "callback.", "logger."),
    *("hydra.", "suggested.", "metric.", "task", "evaluator"),
)
"""Beginnings of keys that follow from others."""


def print_configuration(settings: dict[str, Any], folder: Any) -> None:
    """Print the choices that matter in one line; on a terminal also a short table of what differs from the defaults."""
    parts = {name: settings[name]["_target_"].rpartition(".")[2] for name in ("model", "data", "loss", "optim")}
    named = settings["model"].get("name", parts["model"])
    source = settings["data"]["path"] or settings["data"]["reader"]["_target_"].rpartition(".")[2]
    trainer = settings["trainer"]
    echo(
        f"model {named}  data {source}  loss {parts['loss']}  lr {settings['optim']['lr']:g}{_reason(settings)}  "
        f"precision {trainer['precision']}  seed {settings['seed']}\nrun folder {folder}"
    )
    if terminal():
        lines = differing(settings)
        if lines:
            print_table("differs from the defaults", [["key", "value", "default"], *lines[:MAX_DIFFERING]])
        if len(lines) > MAX_DIFFERING:
            echo(f"and {len(lines) - MAX_DIFFERING} more keys, see config.yaml")


def differing(settings: dict[str, Any]) -> list[list[str]]:
    """Return key, value and default of the values that are not the defaults, those of the command line first."""
    defaults = dict(flat(config.defaults()))
    typed = {as_typed(argument.lstrip("+").partition("=")[0]) for argument in sys.argv[1:]}
    found = [
        [as_typed(key), _brief(value), _brief(defaults.get(key))]
        for key, value in flat(redact.node(settings))
        if value != defaults.get(key) and not key.startswith(DERIVED) and "_target_" not in key.rpartition(".")[2]
    ]
    return sorted(found, key=lambda line: line[0] not in typed)


def _brief(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 3]}..."


def _reason(settings: dict[str, Any]) -> str:
    """` (2e-05 suggested by the model x 0.2 for lion)` where the learning rate is the product of these."""
    suggested = settings.get("suggested") or {}
    factors = suggested.get("factors")
    if not factors or settings["optim"]["lr"] != suggested_lr(suggested):
        return ""
    return f" ({suggested['lr']:g} suggested by the model{''.join(f' x {x:g} for {n}' for n, x in factors.items())})"


def rows_of(results: dict[str, Any], first: tuple[str, ...] = ("log_loss", "accuracy")) -> list[list[str]]:
    """The lines of the final table, the metrics of `first` before others: metric, model, interval, each baseline."""
    baselines, metrics = results["baselines"], results["metrics"]
    lines = [["metric", "model", "95% interval", *baselines]]
    names = [name for name in (*first, *METRICS) if name in metrics]
    names += [name for name in metrics if name.split("/")[0] in METRICS and "/" in name]
    for name in names:
        entry = metrics[name]
        value = number(entry["value"])
        if math.isnan(entry["value"]) and "denominator" in entry:
            value = f"undefined ({entry['numerator']:g}/{entry['denominator']:g})"
        lines.append([name, value, interval(entry), *(number(values.get(name)) for values in baselines.values())])
    return lines


def mean_rows(results: dict[str, Any]) -> list[list[str]]:
    """The means over heads: metric, each head counting the same with its interval, by labelled rows, and baselines."""
    metrics, baselines = results["metrics"], results["baselines"]
    found = [["metric", "mean", "95% interval", "by rows", *baselines]]
    for name in (name for name in metrics if "/" not in name):
        entry, weighted = metrics[name], number(metrics[f"weighted/{name}"]["value"])
        others = [number(values.get(name)) for values in baselines.values()]
        found.append([name, number(entry["value"]), interval(entry), weighted, *others])
    return found


def head_rows(results: dict[str, Any]) -> list[list[str]]:
    """One line for each head: rows, log loss, accuracy and macro-F1, beside those of the prior."""
    metrics, prior = results["metrics"], results["baselines"]["prior"]
    names = [name for name in ("log_loss", "accuracy", "macro_f1") if name in metrics]
    found = [["head", "rows", *(cell for name in names for cell in (name, "95% interval", "prior"))]]
    for head, facts in results["heads"].items():
        cells = []
        for name in (f"{head}/{name}" for name in names):
            cells += [number(metrics[name]["value"]), interval(metrics[name]), number(prior.get(name))]
        found.append([head, str(facts["rows"]), *cells])
    return found


def rarest_rows(results: dict[str, Any]) -> list[list[str]]:
    """The class with the fewest labelled rows in each head, with recall and precision and the counts behind them."""
    metrics = results["metrics"]
    found = [["head", "rarest class", "rows", "predicted", "recall", "precision"]]
    for head in results["heads"]:
        start = f"{head}/count_target/"
        rows = {name.removeprefix(start): entry["value"] for name, entry in metrics.items() if name.startswith(start)}
        rarest = min(rows, key=lambda label: rows[label])
        rates = []
        for entry in (metrics.get(f"{head}/{rate}/{rarest}", {}) for rate in ("recall", "precision")):
            known = "denominator" in entry
            counts = f"{number(entry['value'])} ({entry['numerator']:g}/{entry['denominator']:g})" if known else ""
            rates.append(counts)
        predicted = metrics[f"{head}/count_predicted/{rarest}"]["value"]
        found.append([head, rarest, f"{rows[rarest]:g}", f"{predicted:g}", *rates])
    return found


def interval(entry: dict[str, float]) -> str:
    """Write `low to high`, of a calibration error also the debiased one; `-` where there is no interval."""
    if math.isnan(entry.get("low", math.nan)):
        return "-"
    debiased = f" (debiased {number(entry['debiased'])})" if "debiased" in entry else ""
    return f"{number(entry['low'])} to {number(entry['high'])}{debiased}"


def number(value: float | None) -> str:
    """Write four decimals, nothing for None, a word for NaN."""
    if value is None:
        return ""
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def print_results(title: str, results: dict[str, Any], folder: Any = None) -> None:
    """Print the final table, and where the tables of all classes lie."""
    heads = "heads" in results
    if heads:
        print_table(
            f"{title}: {results['rows']} rows, {results['groups']} groups, means over heads", mean_rows(results)
        )
        print_table("heads", head_rows(results))
        print_table("rarest class of each head", rarest_rows(results))
    else:
        print_table(f"{title}: {results['rows']} rows, {results['groups']} prompts", rows_of(results))
    if "macro_f1" in results["metrics"]:
        for line in left_out(absent_classes(results["metrics"])):
            echo(line)
    unit = "label, mean over heads" if heads else "row"
    echo(f"gain over the prior: {nats(results['gain_over_prior'], unit)}")
    for name, skill in results.get("skill", {}).items():
        echo(f"gain over {name}: {nats(skill['gain'], unit)}, skill {skill['skill']:.1%}")
        if name == "untrained":
            echo(f"  {accuracy_line(skill)}")
    if folder is not None:
        echo(f"every class, confusion matrices{' and cross tables' if heads else ''}: {folder}")


def absent_classes(metrics: dict[str, Any]) -> list[str]:
    """Return the classes (of several heads `head/class`) with neither rows nor predictions."""
    names = [name.split("count_target/") for name in metrics if "count_target/" in name]
    return [
        head + label
        for head, label in names
        if metrics[f"{head}count_target/{label}"]["value"] == metrics[f"{head}count_predicted/{label}"]["value"] == 0
    ]


def accuracy_line(skill: dict[str, Any]) -> str:
    """Say how accuracy, of several heads exact matches, changed, with what it rests on."""
    name = "exact_match" if "exact_match" in skill else "accuracy"
    change = skill[name]
    known = not math.isnan(change["low"]) and change["low"] != change["high"]
    spread = f" ({change['low']:+.4f} to {change['high']:+.4f})" if known else ""
    verdict = "; the interval holds zero: not shown" if known and change["low"] <= 0 <= change["high"] else ""
    return (
        f"{name} {change['value']:+.4f}{spread}{verdict}; {change['only_model']} rows only the trained model has "
        f"right, {change['only_baseline']} only the untrained one (McNemar p {change['p']:.3f})"
    )


def nats(gain: dict[str, float], unit: str = "row") -> str:
    """Write a gain in nats a unit with its interval."""
    known = gain["low"] != gain["high"] and not math.isnan(gain["low"])
    return f"{gain['value']:.4f} nats a {unit}" + (f" ({gain['low']:.4f} to {gain['high']:.4f})" if known else "")


def print_table(title: str, lines: list[list[str]]) -> None:
    """Print lines of cells under their header in aligned columns.

    On a terminal that is too narrow the columns go below each other in parts that all begin with the first column.
    """
    echo(title)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    width = shutil.get_terminal_size().columns if terminal() else math.inf
    parts = [[0]]
    for i in range(1, len(widths)):
        if len(parts[-1]) > 1 and sum(widths[k] + 2 for k in [*parts[-1], i]) - 2 > width:
            parts.append([0])
        parts[-1].append(i)
    for part in parts:
        for line in lines:
            echo("  ".join(line[i].ljust(widths[i]) for i in part).rstrip())
