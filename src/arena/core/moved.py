"""Names and forms of older stored configurations, translated to those of today."""

from typing import Any

from arena.core.data_keys import SHORT
from arena.core.signatures import signature_of

MOVED = {
    "arena.callback.collapse": "arena.callback.diagnostics",
    "arena.callback.diversity": "arena.callback.diagnostics",
    "arena.callback.finite": "arena.callback.diagnostics",
    "arena.callback.first_loss": "arena.callback.diagnostics",
    "arena.callback.imbalance": "arena.callback.diagnostics",
    "arena.callback.loss_schedule": "arena.callback.progress",
    "arena.callback.random_state": "arena.callback.checkpoint",
    "arena.callback.throughput": "arena.callback.progress",
    "arena.callback.wandb": "arena.logger.wandb",
    "arena.data.head_module": "arena.data.module.multihead",
    "arena.data.head_reader": "arena.data.source.head_reader",
    "arena.data.module": "arena.data.module.pairwise",
    "arena.data.pairs": "arena.data.source.pairs",
    "arena.data.reply_module": "arena.data.module.sft",
    "arena.data.reply_reader": "arena.data.source.reply_reader",
    "arena.data.loading.head_sampling": "arena.data.loading.sampling",
    "arena.data.target.head_pseudo": "arena.data.target.pseudo",
    "arena.data.tokenizer": "arena.data.text.tokenizer",
    "arena.data.toy": "arena.data.source.toy",
    "arena.data.toy_replies": "arena.data.source.toy_replies",
    "arena.diversity_task": "arena.task.sampling",
    "arena.generation.checkers": "arena.evaluation.generation.checkers",
    "arena.judging.classes": "arena.evaluation.classes",
    "arena.judging.replies": "arena.evaluation.replies",
    "arena.loss.adjustment": "arena.loss.rare_classes",
    "arena.loss.margin": "arena.loss.rare_classes",
    "arena.loss.reshaped": "arena.loss.classification",
    "arena.loss.two_stage": "arena.loss.rare_classes",
    "arena.optim.lion": "arena.optim.optional",
    "arena.optim.muon": "arena.optim.optional",
    "arena.optim.schedule_free": "arena.optim.optional",
    "arena.task": "arena.task.module",
}
"""Modules of older runs, and what they are called now."""
RENAMED = {
    "ClassJudge": "ClassEvaluator",
    "Division": "SplitSettings",
    "ReplyJudge": "ReplyEvaluator",
    "ReplyRoom": "ReplyTruncationSettings",
    "Room": "TruncationSettings",
    "Serving": "LoaderSettings",
}
"""Classes of stored configurations that have another name now."""
ARGUMENTS = {
    "arena.callback.diagnostics.DiversityShare": {"least": "min_ratio"},
    "arena.callback.diagnostics.FirstLoss": {"most": "margin"},
}
"""Arguments of stored configurations that have another name now, by the class's present one."""
MLFLOW = (".logger.mlflow.MLflowRun", ".callback.mlflow.MLflowRun", "MLFlowLogger")
TENSORBOARD = (".logger.tensorboard.TensorBoardRun", ".callback.tensorboard.TensorBoardRun", "TensorBoardLogger")
"""Loggers of today and of 99dfb84 and before, when they were arena's own."""
RETIRED = {"arena.data.source.ingest.Ingest": ("repair",)}
"""Arguments of stored configurations that there are no more."""
KINDS = {
    "arena.data.module.multihead.HeadData": "arena.task.multihead.MultiHead",
    "arena.data.module.sft.ReplyData": "arena.task.sft.Sft",
}
"""The kind of task of each data module, where it is not the pairwise one; older runs do not say."""
HEAD_LOSSES = {
    "cross_entropy": "arena.loss.classification.CrossEntropy",
    "focal": "arena.loss.classification.Focal",
    "generalized_cross_entropy": "arena.loss.classification.GeneralizedCrossEntropy",
    "logit_adjustment": "arena.loss.rare_classes.LogitAdjustment",
    "ldam": "arena.loss.rare_classes.Ldam",
    "dice": "arena.loss.classification.Dice",
    "asymmetric": "arena.loss.classification.Asymmetric",
    "poly": "arena.loss.classification.Poly",
    "two_stage": "arena.loss.rare_classes.TwoStage",
}
"""What older runs called the losses of heads."""


PARTS = {
    "arena.data.module.pairwise.PairData": {
        "truncation": "arena.data.text.truncation.TruncationSettings",
        "target": "arena.data.target.targets.Targets",
        "pseudo": "arena.data.target.pseudo.Pseudo",
        "sampling": "arena.data.loading.sampling.Plan",
    },
    "arena.data.module.multihead.HeadData": {
        "truncation": "arena.data.text.truncation.TruncationSettings",
        "pseudo": "arena.data.target.pseudo.HeadPseudo",
        "sampling": "arena.data.loading.sampling.HeadPlan",
    },
    "arena.data.module.sft.ReplyData": {"truncation": "arena.data.text.reply_tokens.ReplyTruncationSettings"},
}
"""Classes of the nodes of each data module, beside `COMMON`."""
COMMON = {
    "split": "arena.data.split.prepare.SplitSettings",
    "ingest": "arena.data.source.ingest.Ingest",
    "loader": "arena.data.loading.sampling.LoaderSettings",
}


def current(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with classes where they are now, and with what has a new form."""
    found = _renamed(settings)
    if isinstance(found.get("logger"), dict):
        found["logger"] = _inside(found["logger"], found["run_dir"])
    if "judge" in found:
        found["evaluator"] = found.pop("judge")
    if isinstance(found.get("task"), dict) and "module" in found["task"]:
        return found
    known = KINDS.get(str(_target(found.get("data"))), "arena.task.pairwise.Pairwise")
    module = found.get("task") or {"_target_": "arena.task.module.Task", "_partial_": True}
    new = {"task": {"_target_": known, "module": module}}
    if "loss" in found:
        new["loss"] = _one_loss_per_head(found["loss"])
    if isinstance(found.get("optim"), dict):
        new["optim"], new["schedule"] = _scheduled(found["optim"])
    if _target(found.get("data")) in PARTS and "split" not in found["data"]:
        new["data"] = nested(found["data"])
    return found | new


def _renamed(node: Any) -> Any:
    if isinstance(node, list):
        return [_renamed(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _renamed(value) for key, value in node.items()}
    module, _, name = str(found.get("_target_", "")).rpartition(".")
    if module.startswith("arena."):
        found["_target_"] = target = f"{MOVED.get(module, module)}.{RENAMED.get(name, name)}"
        renamed = ARGUMENTS.get(target, {})
        found = {renamed.get(key, key): value for key, value in found.items() if key not in RETIRED.get(target, ())}
    return found


def _inside(loggers: dict[str, Any], run_dir: Any) -> dict[str, Any]:
    """Leave out MLflow, whose database is outside of the run folder, and keep TensorBoard's files in it."""
    kept = {name: node for name, node in loggers.items() if not str(_target(node)).endswith(MLFLOW)}
    board = {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": run_dir, "name": ""}
    board |= {"version": "tensorboard", "default_hp_metric": False}
    return {name: board if str(_target(node)).endswith(TENSORBOARD) else node for name, node in kept.items()}


def _target(node: Any) -> Any:
    return node.get("_target_") if isinstance(node, dict) else None


def _one_loss_per_head(loss: Any) -> Any:
    """Give a loss of several heads, whose options were flat, a node for each head that needs one."""
    if _target(loss) != "arena.loss.multi_head.MultiHead" or "kind" not in loss:
        return loss
    kept = {key: loss[key] for key in ("_target_", "labels", "task_weights", "weighting", "normalise", "rdrop")}
    flat = {key: value for key, value in loss.items() if key not in (*kept, "kind", "heads") and value is not None}

    def node(kind: str, own: dict[str, Any]) -> dict[str, Any]:
        signature = signature_of(HEAD_LOSSES.get(kind, kind))
        taken = {key: value for key, value in flat.items() if signature is not None and key in signature.parameters}
        return {"_target_": HEAD_LOSSES.get(kind, kind), "_partial_": True, "labels": [], **taken, **own}

    overrides = {}
    for name, given in (loss["heads"] or {}).items():
        own = {key: value for key, value in given.items() if key != "kind" and value is not None}
        kind = given.get("kind") or loss["kind"]
        overrides[name] = own if kind == loss["kind"] else node(kind, own)
    return kept | {"head": node(loss["kind"], {}), "overrides": overrides}


def _scheduled(optim: dict[str, Any]) -> tuple[Any, Any]:
    """Separate the options of the schedule, which were the optimiser's."""
    names = {"power": "power", "cooldown": "cooldown", "plateau_factor": "factor", "plateau_patience": "patience"}
    names |= {key: key for key in ("schedule", "warmup", "warmup_steps", "total_steps", "mode")}
    target = f"arena.optim.schedule.{str(optim.get('schedule', 'linear')).capitalize()}"
    signature = signature_of(target)
    known = signature.parameters if signature is not None else {}
    schedule = {names[key]: value for key, value in optim.items() if key in names and names[key] in known}
    return {key: value for key, value in optim.items() if key not in names}, {"_target_": target, **schedule}


def nested(data: dict[str, Any]) -> dict[str, Any]:
    """Give a data module, whose options were flat, a node for each of its parts."""
    parts = COMMON | PARTS[data["_target_"]]
    found: dict[str, Any] = {key: value for key, value in data.items() if key not in (*SHORT, "repair")}
    found |= {name: {"_target_": target} for name, target in parts.items()}
    for key, value in data.items():
        part, _, name = SHORT.get(key, "").partition(".")
        if part in parts:
            found[part][name] = value
    if "sampling" in parts:
        found["sampling"]["seed"] = data.get("seed", 0)
    return found
