"""The model card of an exported model: what it is, what it was trained on, how good it is, what it cannot do."""

from collections.abc import Mapping
from typing import Any

from arena.reporting.page import render

METRICS = ("log_loss", "accuracy", "auroc", "calibration_error", "macro_f1", "macro_recall")
SPLITS = (("Test", "test", "test"), ("Validation (chose the weights)", "validation", "val"))


def model_card(
    name: str,
    settings: Mapping[str, Any],
    result: Mapping[str, Any],
    template: Mapping[str, Any],
    words: Mapping[str, str] | None,
    merge: bool,
    ties: str | None = None,
) -> str:
    """The card as Markdown with the hub's front matter.

    Args:
        name: its title.
        settings: the run's configuration.
        result: the run's `result.json`.
        template: the text of a row (`arena.data.text.template`).
        words: a verbalizer's answer words.
        merge: whether the folder holds a whole model; else adapters.
        ties: how two scores make the probability of a tie (`arena.model.formulation.PairwiseOutput.tie_law`).
    """
    model, data = settings["model"], settings["data"]
    formulation = model.get("formulation", "joint")
    baselines = result.get("baselines", {})
    training = {
        "model": listed((result.get("model") or {}), "name", "source"),
        "formulation": formulation,
        "adapter": listed(settings.get("adapter", {}), "_target_"),
        "loss": settings["loss"]["_target_"].rpartition(".")[2],
        "learning rate": settings["optim"]["lr"],
        "batch size": data["loader"]["batch_size"],
        "seed": settings["seed"],
        "steps": result.get("steps"),
        "commit": (result.get("git") or {}).get("commit"),
        "versions": listed(result.get("versions") or {}),
    }
    return render(
        "card.md", name=name, model=model, data=data, formulation=formulation, template=template, words=words,
        merge=merge, ties=ties, known=result.get("data", {}), metric_names=METRICS, training=training,
        evaluated=[(title, result[key], baselines.get(split, {})) for title, key, split in SPLITS if result.get(key)],
        gain=(result.get("gain_over_prior") or {}).get("test") or {},
    )  # fmt: skip


def listed(node: Mapping[str, Any], *without: str) -> str:
    """The entries of a node but for some, in one line."""
    return ", ".join(f"{key} {value}" for key, value in node.items() if key not in without)
