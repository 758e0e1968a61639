"""Names of the values that a run measures, read from its configuration before any metric is built."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from arena.core.closest import closest
from arena.core.errors import UsageError

ALWAYS = ("share_target", "share_predicted", "count_target", "count_predicted")
"""Values of each class that `arena.metric.collection.Metrics` adds by itself."""


def flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value below a node with its dotted key."""
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def check_values_named(settings: Mapping[str, Any]) -> None:
    """Require that monitor and targets of a plain configuration name values of the run; raises UsageError."""
    known = names_of(settings["metric"], settings["data"]["labels"])
    if known is None:
        return
    check_monitor_name(settings["monitor"]["name"], known)
    check_target_names((settings.get("evaluate") or {}).get("targets") or {}, known)


def check_target_names(targets: Iterable[str], known: Iterable[str]) -> None:
    """Require a metric for each target; raises UsageError."""
    known = list(known)
    for name in targets:
        if name not in known:
            raise UsageError(f"evaluate.targets: no metric {name!r}{hint(name, known)}")


def check_monitor_name(name: str, known: Iterable[str]) -> None:
    """Require `val/loss` or `val/<known value>` as the monitor; raises UsageError."""
    split, _, value = name.partition("/")
    known = ["loss", *known]
    if split != "val" or value not in known:
        raise UsageError(f"monitor.name={name}: there is no such validation value{hint(value or split, known, 'val/')}")


def hint(name: str, known: Iterable[str], before: str = "") -> str:
    """Return `; there are a, b/c` where the first part of known names holds `name`, else the closest one."""
    known = list(known)
    near = sorted((each for each in known if name in each.split("/")[0]), key=lambda each: "/" in each)[:4]
    if near:
        return f"; there {'is' if len(near) == 1 else 'are'} {', '.join(before + each for each in near)}"
    return closest(f"{before}{name}", [before + each for each in known])


def names_of(metric: Mapping[str, Any], labels: Any) -> list[str] | None:
    """List all values of the node `metric`; None where its class, or one of its metrics, is not known here."""
    target, nodes = str(metric.get("_target_")), metric.get("metrics") or {}
    if target == "arena.metric.replies.ReplyMetrics":
        return ["log_loss", "perplexity", "entropy"]
    known = ("arena.", "torchmetrics.")
    if not all(isinstance(node, Mapping) and str(node.get("_target_")).startswith(known) for node in nodes.values()):
        return None
    if target == "arena.metric.heads.HeadMetrics":
        means = [name for name, node in nodes.items() if not _per_class(node)]
        own = [f"{head}/{name}" for head, classes in labels.items() for name in _of_one(nodes, classes)]
        return [*means, *(f"weighted/{name}" for name in means), *own]
    return _of_one(nodes, labels) if target == "arena.metric.collection.Metrics" else None


def _of_one(nodes: Mapping[str, Any], labels: Iterable[str]) -> list[str]:
    spread = [*(name for name, node in nodes.items() if _per_class(node)), *ALWAYS]
    return [
        *(name for name in nodes if name not in spread),
        *(f"{name}/{label}" for name in spread for label in labels),
    ]


def _per_class(node: Mapping[str, Any]) -> bool:
    return "average" in node and node["average"] in (None, "none")


def check_monitor(monitor: Mapping[str, Any], metrics: Any) -> None:
    """Require a validation value as the monitor, and the mode in which it is better; raises UsageError.

    `metrics` are those of a split, with `names` and `higher_is_better`.
    """
    check_monitor_name(monitor["name"], metrics.names)
    name = monitor["name"].partition("/")[2]
    higher = metrics.higher_is_better(name) if name != "loss" else False
    if higher is not None and higher != (monitor["mode"] == "max"):
        wanted = "max" if higher else "min"
        raise UsageError(
            f"monitor.mode={monitor['mode']}: {monitor['name']} is better when {'higher' if higher else 'lower'}; "
            f"give monitor.mode={wanted}"
        )
