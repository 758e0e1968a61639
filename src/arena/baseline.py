"""`python -m arena.baseline data=... data.path=FILE`: what can be predicted without any pretrained weights."""

import time
from pathlib import Path
from typing import Any

from arena.config import build
from arena.config.overrides import divided
from arena.core.closest import closest
from arena.core.console import answer_help, run_command, say
from arena.core.errors import UsageError
from arena.core.paths import shown
from arena.core.record import Record
from arena.core.run import RunFolder
from arena.evaluation.baselines.names import check_names

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


def options(arguments: list[str]) -> tuple[list[str] | None, str | None, list[str]]:
    """The models (None for all), the output folder, and the rest, which is a configuration.

    Raises:
        SystemExit: after `--help`.
        UsageError: an unknown key or model.
    """
    answer_help(arguments, USAGE)
    if not arguments:
        raise UsageError("data: a value is needed; give data=... data.path=FILE (see --help)")
    own, rest = divided(arguments, ("models", "output"))
    for key in (argument.partition("=")[0] for argument in rest):
        if not any(key.lstrip("+~") == known or key.lstrip("+~").startswith(f"{known}.") for known in KEYS):
            raise UsageError(f"{key}: no such key{closest(key, [*KEYS, 'models', 'output', 'data.path'])}")
    if "models" not in own:
        return None, own.get("output"), rest
    chosen = check_names([name.strip() for name in own["models"].strip("[]").split(",") if name.strip()], "models")
    if not chosen:
        raise UsageError("models=[]: name at least one model (see --help)")
    return chosen, own.get("output"), rest


def prepare(output: str | None, overrides: list[str]) -> tuple[dict[str, Any], RunFolder]:
    """The checked configuration and an unused run folder; looks at the input files.

    Raises:
        UsageError: a wrong key or value, or the folder holds a run already.
        InputOutputError, DataError: as `arena.config.build.preflight`.
    """
    settings = build.data_settings(overrides, Path(output) if output else None, "baseline")
    run = RunFolder(settings["run_dir"])
    run.require_free("output")
    build.preflight(settings)
    return settings, run


def baseline(models: list[str] | None, settings: dict[str, Any], run: RunFolder) -> dict[str, Any]:
    """Divide the rows, fit and judge every model, write the run folder, print the table; returns the result."""
    with run.locked(), Record(run, settings) as record:
        build.quiet()
        from arena.evaluation.baselines.running import run_baselines

        data = build.data(settings)
        data.divide_rows()
        data.report()
        if not len(data.rows("val")):
            raise UsageError("data.val_share: the best model is chosen on validation rows, and there are none")
        record.add_data(data)
        record.add(kind="baseline", labels=data.labels, time={"setup": time.time() - record.started})
        run_baselines(models, data, settings, record)
        record.finish("completed")
    say(f"best by validation log loss: {record.result['best_member']}; result in {shown(run.path)}")
    return record.result


def work(typed: list[str]) -> None:
    """Do what a command line asks for."""
    models, output, overrides = options(typed)
    baseline(models, *prepare(output, overrides))


def main() -> None:
    """The command line."""
    run_command(work)


if __name__ == "__main__":
    main()
