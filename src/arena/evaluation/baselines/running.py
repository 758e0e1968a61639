"""A run of reference models: fitted, compared, the best of them judged, all of them written."""

import time
from typing import Any

from arena.config import build
from arena.core import tables
from arena.core.heads import Heads
from arena.core.record import Record
from arena.core.run import write_atomically
from arena.evaluation import show
from arena.evaluation.baselines import evaluation
from arena.evaluation.baselines.names import members_of
from arena.evaluation.predictions import evaluate_predictions, prior_of


def run_baselines(models: list[str] | None, data: Any, settings: build.Settings, record: Record) -> None:
    """Fit and compare the models, judge the best, write predictions, models and the table, and print it.

    Args:
        models: names; None for all that there are for these data.
        data: with its rows divided.
        settings: of the run.
        record: of the run.
    """
    counts, resamples, seed = data.class_counts("train"), settings["resamples"], settings["seed"]
    began = time.time()
    outcomes = evaluation.fit_and_predict(models or list(members_of(data.labels)), data, seed)
    record.add(time={"fit": time.time() - began})
    began = time.time()
    prior = prior_of(Heads(data.labels), counts, 1)[0]
    compared = evaluation.compare(outcomes, prior, data, resamples, seed)
    best = min(compared, key=lambda name: compared[name]["val"]["log_loss"]["value"])
    evaluation.write(record.run, outcomes, data, best)
    text = tables.text_of(evaluation.lines(compared, best), "\t")
    write_atomically(record.run.path / "baselines.tsv", text)
    others = {name: outcome for name, outcome in outcomes.items() if name not in (best, "prior")}
    for split in evaluation.splits_of(data):
        known = {name: outcome.probabilities[split] for name, outcome in others.items()}
        judged = evaluate_predictions(
            record.run.predictions(split), build.instantiate(settings["metric"]), counts, resamples, seed, known
        )
        record.judged(split, judged)
        title = f"{'validation' if split == 'val' else split}: {judged['rows']} rows, {judged['groups']} prompts"
        show.printed(title, evaluation.shown(compared, split))
    value = compared[best]["val"]["log_loss"]["value"]
    record.add(best_member=best, members=compared, monitor={"name": "val/log_loss", "mode": "min", "value": value})
    record.add(time={"test": time.time() - began})
