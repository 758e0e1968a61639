"""`python -m arena.predict run=FOLDER data.path=FILE output=FILE`: a trained model's probabilities for every row."""

import csv
import os
import sys
import time
from pathlib import Path
from typing import Any

from arena import build, restore
from arena.console import say, show_messages
from arena.errors import UsageError, run_main

USAGE = """python -m arena.predict run=FOLDER data.path=FILE output=FILE [key=value] ...

Writes one line for each row of the file, in its order: the id and one probability for each class
(winner_model_a, winner_model_b, winner_tie). The file needs no labels.

  run=FOLDER          a run folder of arena.train
  data.path=FILE      rows to predict (any data.* key can be given, such as data.eval_batch_size)
  output=FILE         .csv or .parquet; replaced in one step
  checkpoint=FILE     weights other than the run's best
"""
DEFAULTS: dict[str, Any] = {"output": None, "checkpoint": None}
PREFIX = "winner_"


def predict(given: restore.Options) -> Path:
    """Read, predict, write; returns the file that was written.

    Raises:
        UsageError: no input, no output, or an output that is neither csv nor parquet.
    """
    if "path" not in given.data:
        raise UsageError("data.path: a value is needed; give data.path=FILE")
    if not given.others["output"]:
        raise UsageError("output: a value is needed; give output=FILE.csv or output=FILE.parquet")
    output = Path(given.others["output"])
    if output.suffix not in (".csv", ".parquet"):
        raise UsageError(f"output={output}: the name must end in .csv or .parquet")
    settings = restore.settings_of(given.run, given.data)
    build.quiet()
    checkpoint = Path(given.others["checkpoint"]) if given.others["checkpoint"] else None
    data = build.data(settings)
    rows = data.read()
    task = restore.rebuild(given.run, settings, checkpoint)
    probabilities = run_model(task, build.evaluator(settings, given.run), data, rows)
    write(output, rows.facts["id"].to_pylist(), probabilities, data.labels)
    say(f"{rows.num_rows} rows written to {output}")
    return output


def run_model(task: Any, trainer: Any, data: Any, rows: Any) -> Any:
    """Probabilities `[N, K]` in the order of the rows."""
    import numpy as np

    loader, _ = data.predict_loader(rows)
    started = time.time()
    parts = trainer.predict(task, dataloaders=loader)
    probabilities = np.full((rows.num_rows, len(data.labels)), np.nan, dtype=np.float64)
    for row, part in parts:
        probabilities[row.numpy()] = part.double().numpy()
    say(f"{rows.num_rows / (time.time() - started):.1f} rows a second")
    # float32 probabilities sum to one up to 1e-7 only; competitions check more closely.
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def write(output: Path, ids: list[str], probabilities: Any, labels: list[str]) -> None:
    """The id and one column `winner_<label>` for each class, as csv or parquet."""
    names = [PREFIX + label for label in labels]
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{os.getpid()}.{output.name}")
    try:
        if output.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            columns = {name: probabilities[:, k] for k, name in enumerate(names)}
            pq.write_table(pa.table({"id": pa.array(ids, pa.string()), **columns}), temporary)
        else:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["id", *names])
                writer.writerows([i, *map(repr, row)] for i, row in zip(ids, probabilities.tolist(), strict=True))
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)


def main() -> None:
    """The command line."""

    def command() -> None:
        given = restore.options(sys.argv[1:], DEFAULTS, USAGE)
        show_messages()
        predict(given)

    run_main(command)


if __name__ == "__main__":
    main()
