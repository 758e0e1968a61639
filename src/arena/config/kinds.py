"""Which data, model, loss and metrics go together: comparisons, texts with several heads, replies."""

from importlib.util import find_spec
from typing import Any

from arena.core.errors import UsageError

CAUSAL = "arena.model.causal."
REPLIES = "arena.data.module.sft."
REPLY_METRICS = "arena.metric.replies.ReplyMetrics"
LANGUAGE_LOSSES = ("arena.loss.language.", "arena.loss.polychromic.")

DASHBOARDS = {
    "arena.logger.tensorboard.": ("tensorboard", "arena[tensorboard]"),
    "arena.logger.mlflow.": ("mlflow", "arena[mlflow]"),
}
"""Packages that some loggers need, and the extra of arena that brings each."""


def check_dashboards(loggers: dict[str, Any]) -> None:
    """Insist on the packages of the chosen loggers, before anything heavy.

    Raises:
        UsageError: one of them is not installed.
    """
    for name, node in loggers.items():
        for target, (package, extra) in DASHBOARDS.items():
            if node and str(node.get("_target_")).startswith(target) and find_spec(package) is None:
                raise UsageError(f"logger={name}: the package {package} is not installed; pip install '{extra}'")


def writes_replies(settings: dict[str, Any]) -> bool:
    """Whether the model of a configuration is one that is sampled from."""
    return settings["model"]["_target_"].startswith(CAUSAL)


def refuse_replies(settings: dict[str, Any], command: str) -> None:
    """Insist on a model that judges, for a command that is about classes.

    Raises:
        UsageError: it is a language model that writes replies.
    """
    if writes_replies(settings) or settings["data"]["_target_"].startswith(REPLIES):
        raise UsageError(
            f"arena.{command} is about models that judge; of one that writes replies, arena.evaluate run=FOLDER "
            "samples and judges replies, and arena.compare compares runs"
        )


def check_heads(settings: dict[str, Any]) -> None:
    """Insist that what head=multi brings is still there where the data have several heads, and on metrics of so many
    classes where they have one.

    Raises:
        UsageError: it is not, or they are of another number.
    """
    if isinstance(settings["data"]["labels"], dict):
        _check_heads(settings)
    else:
        _check_classes(settings["metric"], settings["data"]["labels"])


def check_replies(settings: dict[str, Any]) -> None:
    """Insist that language model, replies, their loss and metrics were chosen together.

    Args:
        settings: the configuration, perhaps with interpolations that only hold within one kind.

    Raises:
        UsageError: they were not.
    """
    targets = {group: settings[group]["_target_"] for group in ("data", "model", "loss", "metric")}
    if targets["model"].startswith(CAUSAL) or targets["data"].startswith(REPLIES):
        _check_replies(targets)
    elif targets["loss"].startswith(LANGUAGE_LOSSES):
        raise UsageError("loss: it is a language model's; choose one with model=stories, qwen05b_causal, ...")
    elif targets["metric"] == REPLY_METRICS:
        raise UsageError("metric=replies is about a language model's replies; take metric=pairwise, or model=stories")


def _check_heads(settings: dict[str, Any]) -> None:
    """Insist that what head=multi brings is still there."""
    if settings["head"] is None:
        raise UsageError("data=heads needs head=multi, which brings a head for each column, their loss and metrics")
    kind = "; the loss of the heads is loss.kind, as in loss.kind=focal"
    needed = (("loss", "arena.loss.multi_head.MultiHead", kind), ("metric", "arena.metric.heads.HeadMetrics", ""))
    for group, target, hint in needed:
        if settings[group]["_target_"] != target:
            raise UsageError(f"{group}: several heads need {group}=multi_head, which head=multi brings{hint}")


def _check_classes(metric: dict[str, Any], labels: list[str]) -> None:
    """Insist on metrics of one classification into these classes."""
    if metric.get("_target_") == "arena.metric.heads.HeadMetrics":
        raise UsageError("metric=multi_head is about several heads, which head=multi brings; take metric=pairwise")
    for name, node in (metric.get("metrics") or {}).items():
        number = node.get("num_classes") if isinstance(node, dict) else None
        if isinstance(number, int) and labels and number != len(labels):
            raise UsageError(
                f"metric.metrics.{name}: it is about {number} classes, and data.labels has {len(labels)}; "
                "metric=pairwise takes any number, metric=binary two (data.labels=[model_a,model_b] data.on_tie=drop)"
            )


def _check_replies(targets: dict[str, str]) -> None:
    """Insist on a language model, pairs of prompt and reply, and a loss over tokens."""
    if not targets["model"].startswith(CAUSAL):
        raise UsageError(
            "model: data=sft needs a language model: stories, tiny_causal, smollm2_135m, qwen05b_causal, qwen3_8b"
        )
    if not targets["data"].startswith(REPLIES):
        raise UsageError("data: a language model learns replies; choose data=sft data.path=FILE, or data=toy_replies")
    if not targets["loss"].startswith(LANGUAGE_LOSSES):
        raise UsageError("loss: a language model needs loss=language_model or loss=polychromic")
    if targets["metric"] != REPLY_METRICS:
        raise UsageError("metric: a language model needs metric=replies")
