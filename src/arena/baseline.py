"""`python -m arena.baseline data=... data.path=FILE`: what can be predicted without any pretrained weights."""

import sys
import time
from pathlib import Path
from typing import Any

from arena.config import build
from arena.config import compose as config
from arena.config.pairing import kind_of
from arena.core import paths, tables
from arena.core.console import say, show_messages
from arena.core.errors import UsageError, run_main
from arena.core.paths import shown
from arena.core.record import Record
from arena.core.run import RunFolder, write_atomically
from arena.core.schema import closest

USAGE = """python -m arena.baseline data=pairs data.path=FILE [output=FOLDER] [key=value] ...

Reads, groups and splits the rows exactly as arena.train would with the same data.* keys, fits reference models on the
training split without pretrained weights and judges them on validation and test: what a language model has to beat.

  prior      the class shares          length   the lengths of the answers
  structure  counts and formats        tfidf    structure and TF-IDF of words and character pieces

  data=... data.path=...   as for arena.train, with every data.* key (data.limit=1000, data.fold=0 data.folds=5, ...);
                           also experiment=..., metric=..., study=..., toy_rows=...
  task=multihead           several classifications of one text (data.text=COLUMN data.heads=[a,b]): prior and tfidf
  models=[length,tfidf]    which of them (default: all)
  output=FOLDER            the run folder, as hydra.run.dir=FOLDER (default: outputs/<study>/<time>)
  resamples=200            bootstrap resamples behind each interval; 0: no intervals
  seed=0                   of the cross-validation that chooses the regularisation, and of the bootstrap

The folder holds result.json, baselines.tsv, splits.parquet, predictions of the best model by validation log loss
(predictions/<split>.parquet) and of each (predictions/<model>/<split>.parquet), and the fitted models (reference/).
Those for the training rows are out of fold, for data.offset=FOLDER, data.hardness and data.teacher of arena.train.

Exit codes: 0 ok, 2 usage or config, 65 data, 74 input/output.
"""
KEYS = (
    "data",
    "experiment",
    "hydra.run.dir",
    "hydra.searchpath",
    "metric",
    "num_classes",
    "resamples",
    "seed",
    "study",
    "task",
    "toy_rows",
    "trusted_packages",
)
"""What of the configuration of arena.train has a meaning here, with the keys below."""
SPLITS = {"val": "validation", "test": "test"}
"""Name of each judged split in files, and in `result.json`."""


def options(arguments: list[str]) -> tuple[list[str] | None, str | None, list[str]]:
    """The models (None for all), the output folder, and the rest, which is a configuration.

    Raises:
        SystemExit: after `--help`.
        UsageError: an unknown key or model.
    """
    from arena.evaluation.baselines.names import check_names

    if {"--help", "-h"} & set(arguments):
        print(USAGE)
        raise SystemExit(0)
    if not arguments:
        raise UsageError("data: a value is needed; give data=... data.path=FILE (see --help)")
    chosen, output, rest = None, None, []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "models":
            chosen = check_names([name.strip() for name in value.strip("[]").split(",") if name.strip()], key)
        elif key == "output":
            output = value
        elif any(key.lstrip("+~") == known or key.lstrip("+~").startswith(f"{known}.") for known in KEYS):
            rest.append(argument)
        else:
            raise UsageError(f"{key}: no such key{closest(key, [*KEYS, 'models', 'output', 'data.path'])}")
    if chosen == []:
        raise UsageError("models=[]: name at least one model (see --help)")
    return chosen, output, rest


def prepare(output: str | None, overrides: list[str]) -> tuple[dict[str, Any], RunFolder]:
    """The checked configuration and an unused run folder; looks at the input files.

    Raises:
        UsageError: a wrong key or value, or the folder holds a run already.
        InputOutputError, DataError: as `arena.config.build.preflight`.
    """
    config.register_resolvers()
    place = str(Path(paths.unquoted(output)).expanduser().absolute()) if output else None
    settings = config.typed_settings(overrides, place)
    kind_of(settings).require("baseline")
    if "pretrained" in settings["model"]:
        settings["model"]["pretrained"] = False  # no weights are looked at
    run = RunFolder(settings["run_dir"])
    if run.checkpoints.exists() or (run.path / "predictions").exists():
        raise UsageError(f"output={run.path}: it holds a run already; choose another folder")
    build.preflight(settings)
    return settings, run


def baseline(models: list[str] | None, settings: dict[str, Any], run: RunFolder) -> dict[str, Any]:
    """Divide the rows, fit and judge every model, write the run folder, print the table; returns the result."""
    with run.locked(), Record(run, settings) as record:
        build.quiet()
        from arena.evaluation.baselines import evaluation

        data = build.data(settings)
        data.divide_rows()
        data.report()
        if not len(data.rows("val")):
            raise UsageError("data.val_share: the best model is chosen on validation rows, and there are none")
        data.write_splits(run.splits)
        record.add(kind="baseline", labels=data.labels, data=data.summary())
        record.add(time={"setup": time.time() - record.started})
        began = time.time()
        outcomes = evaluation.fit_and_predict(known_models(models, data), data, settings["seed"])
        record.add(time={"fit": time.time() - began})
        began = time.time()
        conclude(outcomes, data, settings, record)
        record.add(time={"test": time.time() - began})
        record.finish("completed")
    say(f"best by validation log loss: {record.result['best_member']}; result in {shown(run.path)}")
    return record.result


def known_models(models: list[str] | None, data: Any) -> list[str]:
    """The models that were asked for; by default all that there are for these data."""
    from arena.evaluation.baselines.names import members_of

    return models or list(members_of(data.labels))


def conclude(outcomes: dict[str, Any], data: Any, settings: dict[str, Any], record: Record) -> None:
    """Compare the models, judge the best, write predictions, models and the table, and print it."""
    from arena.core.heads import Heads
    from arena.evaluation import show
    from arena.evaluation.baselines import evaluation
    from arena.evaluation.judge import judge, prior_of

    counts, resamples, seed = data.class_counts("train"), settings["resamples"], settings["seed"]
    prior = prior_of(Heads(data.labels), counts, 1)[0]
    compared = evaluation.compare(outcomes, prior, data, resamples, seed)
    best = min(compared, key=lambda name: compared[name]["val"]["log_loss"]["value"])
    evaluation.write(record.run, outcomes, data, best)
    text = tables.text_of(evaluation.lines(compared, best), "\t")
    write_atomically(record.run.path / "baselines.tsv", text)
    others = {name: outcome for name, outcome in outcomes.items() if name not in (best, "prior")}
    for split in evaluation.splits_of(data):
        known = {name: outcome.probabilities[split] for name, outcome in others.items()}
        judged = judge(
            record.run.predictions(split), build.instantiate(settings["metric"]), counts, resamples, seed, known
        )
        record.judged(split, judged)
        title = f"{SPLITS[split]}: {judged['rows']} rows, {judged['groups']} prompts"
        show.printed(title, evaluation.shown(compared, split))
    value = compared[best]["val"]["log_loss"]["value"]
    record.add(best_member=best, members=compared, monitor={"name": "val/log_loss", "mode": "min", "value": value})


def main() -> None:
    """The command line."""

    def command() -> None:
        models, output, overrides = options(sys.argv[1:])
        show_messages()
        baseline(models, *prepare(output, overrides))

    run_main(command)


if __name__ == "__main__":
    main()
