"""The reference models that a training is held against: `baselines` of its configuration."""

from typing import Any

from arena.config import build
from arena.core.run import RunFolder
from arena.evaluation.baselines import evaluation, store
from arena.evaluation.baselines.untrained import Untrained


def fitted(settings: dict[str, Any], data: Any, run: RunFolder) -> dict[str, evaluation.Outcome]:
    """Fit the reference models that `baselines` names on the training split and keep them in the run folder."""
    names = [name for name in settings["baselines"] if name != "untrained"]
    outcomes = evaluation.fit_and_predict(names, data, settings["seed"]) if names else {}
    for name, outcome in outcomes.items():
        store.save(run.path / store.FOLDER, name, outcome.member)
    return outcomes


def untrained(settings: dict[str, Any], task: Any, data: Any, run: RunFolder) -> dict[str, Untrained]:
    """Predict with the model as it is before its first step, where `baselines` asks for it."""
    if "untrained" not in settings["baselines"]:
        return {}
    return {"untrained": Untrained(task, build.evaluator(settings, run), data, run)}
