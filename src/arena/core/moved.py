"""Where classes are now that stored configurations of older runs name."""

from typing import Any

MOVED = {
    "arena.callback.mlflow": "arena.logger.mlflow",
    "arena.callback.tensorboard": "arena.logger.tensorboard",
    "arena.callback.wandb": "arena.logger.wandb",
    "arena.data.head_module": "arena.data.module.multihead",
    "arena.data.head_reader": "arena.data.source.head_reader",
    "arena.data.module": "arena.data.module.pairwise",
    "arena.data.pairs": "arena.data.source.pairs",
    "arena.data.reply_module": "arena.data.module.sft",
    "arena.data.reply_reader": "arena.data.source.reply_reader",
    "arena.data.tokenizer": "arena.data.text.tokenizer",
    "arena.data.toy": "arena.data.source.toy",
    "arena.data.toy_replies": "arena.data.source.toy_replies",
    "arena.diversity_task": "arena.task.sampling",
    "arena.generation.checkers": "arena.evaluation.generation.checkers",
    "arena.judging.classes": "arena.evaluation.classes",
    "arena.judging.replies": "arena.evaluation.replies",
    "arena.task": "arena.task.module",
}
"""Modules at fe1ba6d and before, and what they are called now."""


def current(node: Any) -> Any:
    """Return plain values with the classes of each `_target_` where they are now."""
    if isinstance(node, list):
        return [current(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: current(value) for key, value in node.items()}
    module, _, name = str(found.get("_target_", "")).rpartition(".")
    return found | {"_target_": f"{MOVED[module]}.{name}"} if module in MOVED else found
