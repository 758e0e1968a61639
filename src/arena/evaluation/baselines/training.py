"""The baselines that a training is compared with: `baselines` of its configuration.

One of them is the model before its first step: what training added, and what was there already.
"""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from arena.callback.predictions import write_predictions, write_table
from arena.config import build
from arena.core.files import read_parquet
from arena.core.heads import PROBABILITY, Heads
from arena.core.run import RunFolder
from arena.evaluation.baselines import evaluation
from arena.evaluation.baselines.evaluation import Predicted
from arena.evaluation.baselines.names import FOLDER

log = logging.getLogger("arena")
UNTRAINED = "untrained"


def fit_baselines(settings: dict[str, Any], data: Any, run: RunFolder) -> dict[str, Predicted]:
    """Fit the baselines that `baselines` names on the training split and keep them in the run folder."""
    names = [name for name in settings["baselines"] if name != UNTRAINED]
    fitted = evaluation.fit_and_predict(names, data, settings["seed"])
    for each in fitted.values():
        each.baseline.save(run.path / FOLDER)
    return {name: each.probabilities for name, each in fitted.items()}


def predict_untrained(settings: dict[str, Any], task: Any, data: Any, run: RunFolder) -> dict[str, Predicted]:
    """Predict the evaluated splits with the task before its first step, where `baselines` asks for it.

    Kept in `predictions/untrained/`, where a resumed run reads them: its model is no longer untrained. Of a language
    model they are the log loss of each reply, nats a token, `[M]`.
    """
    if UNTRAINED not in settings["baselines"]:
        return {}
    began, trainer, found = time.time(), build.evaluation_trainer(settings, run), {}
    for split in evaluation.splits_of(data):
        path = run.path / "predictions" / UNTRAINED / f"{split}.parquet"
        if not path.is_file():
            evaluate = trainer.validate if split == "val" else trainer.test
            evaluate(task, dataloaders=data.evaluation_loader(split), verbose=False)
            _write(path, data, split, task.predictions[split])
        found[split] = _read(path, data)
    if "val" in found and data.labels:
        loss = evaluation.log_loss_of(data, "val", found["val"])
        log.info("untrained: validation log loss %.4f, %.1f s", loss, time.time() - began)
    return {UNTRAINED: found}


def _write(path: Path, data: Any, split: Any, predictions: Any) -> None:
    if data.labels:
        write_table(path, evaluation.table_of(data, split, predictions.probabilities.double().numpy()))
    else:
        write_predictions(path, predictions, data.covariates(split), [], None)


def _read(path: Path, data: Any) -> np.ndarray:
    if not data.labels:
        return read_parquet(path, ["log_loss"])["log_loss"].to_numpy().astype(np.float64)
    table = read_parquet(path, [PROBABILITY + column for column in Heads(data.labels).columns])
    return np.stack([column.to_numpy().astype(np.float64) for column in table.columns], axis=1)
