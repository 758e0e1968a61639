"""`python -m arena.baseline data=... data.path=FILE`: predictions without any pretrained weights."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.config import build
from arena.config.options import entry_point, option
from arena.core.closest import closest
from arena.core.console import echo
from arena.core.errors import UsageError
from arena.core.paths import quote_path
from arena.core.record import Record
from arena.core.run import RunFolder
from arena.core.schema import OutputPath
from arena.evaluation.baselines.names import check_names

KEYS = (
    *("data", "experiment", "hydra.run.dir", "hydra.searchpath", "metric", "num_classes", "resamples", "seed", "study"),
    *("task", "toy_rows", "trusted_packages"),
)
"""Keys of the configuration of arena.train that have a meaning here."""


@dataclass(frozen=True, kw_only=True)
class BaselineOptions:
    """python -m arena.baseline data=pairs data.path=FILE [output=FOLDER] [key=value] ...

    Reads, groups and splits the rows exactly as arena.train would with the same data.* keys, fits baselines on the
    training split without pretrained weights and evaluates them on validation and test: what a language model has to
    beat.

      prior      the class shares          length   the lengths of the answers
      structure  counts and formats        tfidf    structure and TF-IDF of words and character pieces

    The folder holds result.json, baselines.tsv, splits.parquet, predictions of the best model by validation log loss
    (predictions/<split>.parquet) and of each (predictions/<model>/<split>.parquet), and the fitted models (reference/).
    Those for the training rows are out of fold, for data.offset=FOLDER, data.hardness and data.teacher of arena.train.
    """

    configuration: list[str] = option(
        "as for arena.train, with every data.* key (data.limit=1000, data.fold=0 data.folds=5, ...); also experiment=, "
        "metric=, study=, toy_rows=, resamples= and seed=, and task=multihead for several classifications of one text "
        "(data.text=COLUMN data.heads=[a,b]): prior and tfidf",
        default=[],
        placeholder="data=... data.path=...",
        takes="overrides",
    )
    models: list[str] | None = option("which of them: [length,tfidf]; null for all", default=None)
    output: OutputPath | None = option(
        "the run folder, as hydra.run.dir=FOLDER (default: outputs/<study>/<time>)", default=None, placeholder="FOLDER"
    )


def baseline(options: BaselineOptions) -> dict[str, Any]:
    """Check, split the rows, fit and evaluate every baseline, write the run folder, print the table; returns the
    result.

    Raises UsageError for a wrong key or value, or a folder that holds a run, and the errors of `build.preflight`.
    """
    models = _check(options)
    settings = build.data_settings(options.configuration, Path(options.output) if options.output else None, "baseline")
    run = RunFolder(settings["run_dir"])
    run.require_free("output")
    build.preflight(settings)
    with run.locked(), Record(run, settings) as record:
        build.quiet()
        from arena.evaluation.baselines.evaluation import run_baselines

        data = build.data(settings)
        data.divide_rows()
        data.report()
        if not len(data.rows("val")):
            raise UsageError("data.val_share: the best model is chosen on validation rows, and there are none")
        record.add_data(data)
        record.add(kind="baseline", labels=data.labels, time={"setup": time.time() - record.started})
        run_baselines(models, data, settings, record)
        record.finish("completed")
    echo(f"best by validation log loss: {record.result['best_member']}; result in {quote_path(run.path)}")
    return record.result


def _check(options: BaselineOptions) -> list[str] | None:
    """Check keys and names; returns the models, None for all."""
    for key in (argument.partition("=")[0] for argument in options.configuration):
        if not any(key.lstrip("+~") == known or key.lstrip("+~").startswith(f"{known}.") for known in KEYS):
            raise UsageError(f"{key}: no such key{closest(key, [*KEYS, 'models', 'output', 'data.path'])}")
    if options.models == []:
        raise UsageError("models=[]: name at least one model (see --help)")
    models = None if options.models is None else check_names(options.models, "models")
    if not options.configuration:
        raise UsageError("data: a value is needed; give data=... data.path=FILE (see --help)")
    return models


main = entry_point(baseline, BaselineOptions)

if __name__ == "__main__":
    main()
