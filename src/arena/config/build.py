"""From configuration to the objects of a run."""

import logging
import os
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.config.compose import typed_settings
from arena.config.pairing import kind_of
from arena.config.resolvers import register_resolvers
from arena.core.construct import instantiate
from arena.core.devices import set_cudnn_attention
from arena.core.errors import UsageError
from arena.core.root import lightnings
from arena.core.run import RunFolder

if TYPE_CHECKING:
    from arena.data.module.base import RowData
    from arena.task.module import Task

UNHELPFUL = (
    ".*does not have many workers.*",  # batches are cut from memory: workers would only cost
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # Lightning 2.6 calling torch 2.13
    ".*smaller than the logging interval.*",  # every validation is logged; short epochs are no mistake
    ".*You are using `weights_only=True`.*",
)
"""Warnings of libraries that nobody can act on."""

DASHBOARDS = {"TensorBoardLogger": "tensorboard", "MLFlowLogger": "mlflow"}
"""Packages that some loggers need; an extra of arena of the same name brings each."""
Settings = dict[str, Any]
"""A resolved and checked configuration (`arena.config.compose.resolved`)."""


def quiet() -> None:
    """Import Lightning, and silence the notes and advertisements of libraries; their warnings go to the run's log."""
    import lightning.pytorch  # noqa: F401

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "httpx", "wandb", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for message in UNHELPFUL:
        warnings.filterwarnings("ignore", message=message)


def preflight(settings: Settings) -> None:
    """Check input file, its columns, weights and model options, before anything heavy is loaded. A model whose folder
    holds another architecture than described is called by that folder.

    Raises:
        UsageError: classes, formulation and adapter that do not go together, or a dashboard that is not installed.
        InputOutputError: the file, or the model and the hub, cannot be found.
        DataError: the file's columns are not those that are needed.
    """
    from arena.model import preflight as model_preflight

    if "name" in settings["model"]:
        settings["model"]["name"] = model_preflight.name_of(settings["model"])
    kind = kind_of(settings)
    kind.check_model(settings["model"])
    model_preflight.check(settings["model"], settings["adapter"], settings["data"])
    for name, node in (settings["logger"] or {}).items():
        package = DASHBOARDS.get(str(node["_target_"]).rpartition(".")[2]) if node else None
        if package is not None and find_spec(package) is None:
            raise UsageError(f"logger={name}: the package {package} is not installed; pip install 'arena[{package}]'")
    if settings["data"]["_target_"] == kind.parts["data"]:
        kind.check_data(settings["data"], instantiate(settings["data"]["reader"]))


def validate_components(settings: Settings) -> None:
    """Build loss, metrics, evaluator and optimiser factory and throw them away, before the data are read.

    Raises UsageError for an option that does not exist, data that the loss cannot learn from (its own `check_data`), a
    monitor or a target that is no metric, or a monitor whose mode contradicts it.
    """
    from arena.core.values import check_monitor, check_target_names

    loss = instantiate(settings["loss"])
    if hasattr(loss, "check_data"):
        loss.check_data(settings["data"])
    metrics = instantiate(settings["metric"])
    optimizer_factory(settings)
    check_monitor(settings["monitor"], metrics)
    check_target_names(settings.get("evaluate", {}).get("targets") or {}, metrics.names)
    evaluator(settings)


def data_settings(typed: list[str], folder: Path | None, command: str) -> Settings:
    """Return the configuration of a command that reads data as a training would, needs no weights, and writes into
    `folder`; raises the errors of `arena.config.compose.resolved`, UsageError where the task has no such command."""
    register_resolvers()
    settings = typed_settings(typed, str(folder.expanduser().absolute()) if folder else None)
    kind_of(settings).require(command)
    if "pretrained" in settings["model"]:
        settings["model"]["pretrained"] = False
    return settings


def data(settings: Settings) -> "RowData":
    """Make the data module; it reads nothing before `setup`."""
    return instantiate(settings["data"])


def check_splits(data: "RowData", settings: Settings) -> None:
    """Require rows to validate on, and to test on where `test` is true; raises UsageError."""
    if not len(data.rows("val")):
        raise UsageError("data.val_share: the best weights are chosen on validation rows, and there are none")
    if settings["test"] and not len(data.rows("test")):
        raise UsageError(
            "data.test_share: there are no test rows; give data.test_share or data.test_path, or test=false"
        )


def init_from_class_prior(task: "Task", data: "RowData") -> None:
    """Initialise loss and model from the class counts that training samples (`data.start`). A loss that corrects for
    the classes answers with the counts that the model's logits should start at."""
    import torch

    counts = torch.from_numpy(data.sampled_class_counts())
    if hasattr(task.loss, "set_class_counts"):
        counts = task.loss.set_class_counts(counts, torch.from_numpy(data.class_counts("train")))
    task.model.init_from_class_prior(data.class_prior(counts))


def save_artefacts(task: "Task", data: "RowData", settings: Settings, run: RunFolder) -> None:
    """Save what rebuilds the model without its source: true architecture and tokenizer."""
    data.tokenizer.save(run.tokenizer)
    architecture = getattr(task.model, "architecture", None)
    if architecture is not None:
        settings["model"]["architecture"] = architecture


def evaluator(settings: Settings) -> Any:
    """Make the evaluator of the predictions of a split (`arena.evaluation`)."""
    return instantiate(settings.get("evaluator") or {"_target_": "arena.evaluation.classes.ClassEvaluator"})


def optimizer_factory(settings: Settings) -> Any:
    """Make the factory of the optimiser and its schedule."""
    return instantiate(settings["optim"], schedule=instantiate(settings["schedule"]))


def task(settings: Settings) -> "Task":
    """Make model, loss, metrics and optimiser: one LightningModule."""
    set_cudnn_attention(settings["trainer"].get("cudnn_attention", False))
    return instantiate(settings["task"]["module"])(
        model=instantiate(settings["model"]),
        loss=instantiate(settings["loss"]),
        metrics=instantiate(settings["metric"]),
        optimizer=optimizer_factory(settings),
        monitor=settings["monitor"]["name"],
    )


def check_fit(task: "Task", data: "RowData") -> None:
    """Require an embedding for every id of the tokenizer, which only the built parts know; raises UsageError."""
    known = getattr(task.model, "vocabulary_size", None)
    if known is not None and data.tokenizer.size > known:
        raise UsageError(
            f"tokenizer: it has {data.tokenizer.size} ids, the model's embedding only {known}; "
            "model.path and the tokenizer must be of one model"
        )


def trainer(settings: Settings, run: RunFolder) -> Any:
    """Make the Lightning trainer with callbacks, loggers and checkpoints that survive a kill."""
    from arena.callback.rank_consistency import RankConsistencyCheck
    from arena.callback.storage import AtomicCheckpointIO
    from arena.core.loop import UpdateLoop
    from arena.logger.journal import Journal

    journal = Journal(run.metrics)
    loggers = [instantiate(node) for node in (settings["logger"] or {}).values() if node]
    callbacks = [instantiate(node) for node in settings["callback"].values() if node]
    # A number of steps holds, however many epochs it takes.
    endless = {"max_epochs": -1} if settings["trainer"]["max_steps"] != -1 else {}
    built = instantiate(
        lightnings(settings["trainer"]) | endless,
        callbacks=[RankConsistencyCheck(settings), *callbacks],
        logger=[journal, *loggers],
        plugins=[AtomicCheckpointIO(apart=not str(settings["trainer"]["strategy"]).startswith("fsdp"))],
        default_root_dir=str(run.path),
        enable_model_summary=False,
        enable_progress_bar=False,
        # The data module deals its own batches to the processes.
        use_distributed_sampler=False,
    )
    built.fit_loop.epoch_loop = UpdateLoop(built, settings["validate_every"])
    journal.step_now = lambda: built.global_step
    return built


def evaluation_trainer(
    settings: Settings, run: RunFolder, callbacks: list[Any] | None = None, limited: bool = False
) -> Any:
    """Make a trainer that only evaluates, as the run did; `limited`: on as many validation batches as its training."""
    from lightning.pytorch import Trainer

    from arena.callback.storage import AtomicCheckpointIO

    chosen = settings["trainer"]
    return Trainer(
        **{name: chosen[name] for name in ("limit_val_batches", "overfit_batches") if limited},
        accelerator=chosen["accelerator"],
        devices=1,
        precision=chosen["precision"],
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=str(run.path),
    )


def progress(trainer: Any, began: float, fit_began: float, fit_before: float) -> dict[str, Any]:
    """Return best value, steps and times of a training, also of one that was interrupted."""
    from arena.callback.progress import Throughput

    saver = trainer.checkpoint_callback
    throughput = next((c for c in trainer.callbacks if isinstance(c, Throughput)), None)
    first = throughput.first_step if throughput is not None else None
    times = {"setup": first - began if first else None, "fit": fit_before + time.time() - fit_began}
    times |= throughput.summary() if throughput is not None else {}
    return {
        "monitor": {"value": saver.best_value, "step": saver.best_step},
        "steps": trainer.global_step,
        "time": times,
    }


def status(trainer: Any) -> str:
    """Return how a training that was not interrupted ended."""
    from lightning.pytorch.callbacks import EarlyStopping

    if pruned(trainer) is not None:
        return "pruned"
    stopped = any(isinstance(c, EarlyStopping) and c.stopped_epoch > 0 for c in trainer.callbacks)
    return "stopped_early" if stopped else "completed"


def pruned(trainer: Any) -> str | None:
    """Return why the sweep stopped this training; None where it did not."""
    from arena.callback.pruning import Pruning

    return next((c.pruned for c in trainer.callbacks if isinstance(c, Pruning) and c.pruned), None)
