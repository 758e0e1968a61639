"""Run folders by hand, written by the writers that arena's own runs use."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import OmegaConf

from arena.callback.predictions import prediction_table, write_table
from arena.core import stored
from arena.core.run import RunFolder, write_atomically

LABELS = ["model_a", "model_b", "tie"]


def folder(path: Path, seed: int = 0, fingerprint: str = "data-1", status: str = "completed", **settings: Any):
    """A run folder with its configuration and its record; `loss__lambda_=0.3` is `loss.lambda_`."""
    run = RunFolder(path)
    made: dict[str, Any] = {name: {"_target_": "by.hand"} for name in stored.PARTS}
    made |= {"run_dir": str(path), "seed": seed, "data": {"labels": LABELS, "seed": seed, "split_seed": 0}}
    config = OmegaConf.create(made)
    for key, value in settings.items():
        OmegaConf.update(config, key.replace("__", ".", 1), value, merge=False)
    stored.write(run.config, OmegaConf.to_container(config))  # pyright: ignore[reportArgumentType]
    reason = None if status == "completed" else "out of memory"
    run.write_result({"status": status, "reason": reason, "data": {"fingerprint": fingerprint}})
    return run


def classes(run: RunFolder, probabilities: np.ndarray, target: np.ndarray, group: list[str], ids: Any = None):
    """Predictions of a run that classifies; returns the run."""
    rows = np.arange(len(target))
    names = [f"r{i}" for i in rows] if ids is None else [str(each) for each in ids]
    covariates = pa.table({"row": rows, "id": names, "group": group})
    loss = -np.log(np.maximum(probabilities[rows, np.maximum(target, 0)], 1e-15))
    made = prediction_table(covariates, LABELS, rows, probabilities.astype(np.float32), target, loss)
    write_table(run.predictions("test"), made)
    return run


def replies(run: RunFolder, log_loss: np.ndarray, tokens: np.ndarray, group: list[str] | None = None, ids: Any = None):
    """Predictions of a run that writes replies; returns the run."""
    names = [f"p{i}" for i in range(len(log_loss))] if ids is None else list(ids)
    columns = {"id": names, "log_loss": log_loss, "tokens": tokens, "entropy": log_loss}
    write_table(run.predictions("test"), pa.table({**columns, "group": group or names}))
    return run


SAMPLING = {"samples": 5, "max_new_tokens": 32, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": 0}


def generations(run: RunFolder, values: dict[str, np.ndarray], name: str = "default", ids: Any = None, **more: Any):
    """Measured samples of a run; `sampling` and other keys of settings.json in `more`; returns the run."""
    place = run.path / "generations" / name
    rows = len(next(iter(values.values())))
    names = [f"p{i}" for i in range(rows)] if ids is None else list(ids)
    reasons, alarms = more.pop("reasons", {}), more.pop("alarms", [])
    settings = {
        "sampling": SAMPLING | more.pop("sampling", {}),
        "split": "test",
        "fingerprint": "data-1",
        "rows": rows,
        "measures": {"words": "arena.diversity.words", "encoder": "minilm", "resamples": 2000, "seed": 0},
        "checker": None,
        "weights": run.path.name,
    }
    write_atomically(place / "settings.json", json.dumps(settings | more))
    told = {"measures": {key: {"value": None, "reason": why} for key, why in reasons.items()}, "alarms": alarms}
    write_atomically(place / "evaluation.json", json.dumps(told))
    write_table(place / "measures.parquet", pa.table({"id": names, "group": names, **values}))
    return run
