"""Predictions of a kind of task that predicts numbers of a row instead of classes, such as a rating."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from arena.config import restore
from arena.config.pairing import kind_of
from arena.core import checkpoints, tables
from arena.core.console import say
from arena.core.errors import DataError, UsageError
from arena.core.files import replacing
from arena.core.paths import shown
from arena.core.run import RunFolder
from arena.inference.members import Member, in_one_order, read_rows, short_names
from arena.inference.options import PredictOptions
from arena.inference.partial import Partial

ENDINGS = (".csv", ".parquet")
OF_CLASSES = ("format", "swap", "average", "rules", "calibrated", "on_bad_row")
"""Options that are about classes."""


def outputs_of(runs: list[RunFolder]) -> tuple[str, ...]:
    """What all runs predict instead of classes; nothing where they classify.

    Raises:
        DataError: they predict different things.
    """
    kinds = [None if run.is_baseline else kind_of(restore.settings_of(run)) for run in runs]
    found = [() if kind is None else kind.outputs for kind in kinds]
    for run, kind, names in zip(runs, kinds, found, strict=True):
        if names != found[0]:
            told = " and ".join(
                f"{each.path} is of {f'task={one.name}' if one else 'arena.baseline'}"
                for each, one in ((runs[0], kinds[0]), (run, kind))
            )
            raise DataError(f"{told}: nothing that they say can be averaged; give runs of one task")
    return found[0]


def gather_outputs(runs: list[RunFolder], data: dict[str, Any], checkpoint: str | None = None) -> list[Member]:
    """Look at every run of such a kind, without importing anything heavy.

    Raises:
        InputOutputError: a run without weights.
    """
    members = []
    for run, name in zip(runs, short_names(runs), strict=True):
        weights = Path(checkpoint) if checkpoint else run.best
        checkpoints.check(weights)
        members.append(Member(run, name, [], restore.settings_of(run, data), weights))
    return members


def write_outputs(names: tuple[str, ...], options: PredictOptions, partial: Partial) -> None:
    """Write the id and each output of every row, averaged over the runs.

    Args:
        names: of the outputs.
        options: the command line, checked; its output ends in one of `ENDINGS`.
        partial: where the outputs of each run are kept meanwhile.

    Raises:
        UsageError: a key that is about classes, or another ending.
        InputOutputError: a run without weights; see also `read_rows`.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    output, weights = Path(options.output), options.weights
    idle = [each for each in fields(options) if each.name in OF_CLASSES and getattr(options, each.name) != each.default]
    if idle or weights == "validation":
        key = idle[0].name if idle else "weights"
        raise UsageError(
            f"{key}={getattr(options, key)}: it is about classes, and these runs predict {', '.join(names)}"
        )
    if output.suffix not in ENDINGS:
        raise UsageError(f"output={output}: the name must end in {' or '.join(ENDINGS)}")
    members = gather_outputs(options.runs, options.data, options.checkpoint)
    rows = read_rows(members, options.data)
    values = [in_one_order(member, rows, partial, len(names)) for member in members]
    mean = np.average(values, axis=0, weights=None if weights == "equal" else weights)
    columns = {"id": rows.metadata["id"].to_pylist()} | {name: mean[:, place] for place, name in enumerate(names)}
    with replacing(output) as file:
        if output.suffix == ".parquet":
            pq.write_table(pa.table(columns), file)
        else:
            numbers = (map(repr, mean[:, place].tolist()) for place in range(len(names)))
            lines = zip(columns["id"], *numbers, strict=True)
            file.write_text(tables.text_of([list(columns), *lines]), encoding="utf-8")
    say(f"{rows.num_rows} rows written to {shown(output)}")
