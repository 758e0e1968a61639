"""What reading, checking, grouping, splitting and tokenising 57,477 rows cost, beside the bare tokenizer.

    python benchmarks/data.py                      57,477 rows, 184 MB of csv, three repeats of each command
    python benchmarks/data.py rows=5748,57477 repeats=1

The rows are made of sentences from the real pairwise sets below ARENA_SHARED, mixed anew, with the lengths of the real
Kaggle file: its size in bytes is met to a few per cent. A tenth of the rows repeat a prompt. Every measurement is a
process of its own; the commands alternate, medians are compared. Peak memory is the kernel's high-water mark of the
resident set (VmHWM), file pages included.
"""

import csv
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ARENA_SHARED", ROOT.parent / "shared"))
SETS = ("arena_bench_judged", "qa_feedback_dev", "hh_harmless_test", "lmsys_kaggle_sample", "ja_vicuna_judged")
ROWS = 57_477
MODELS = [f"model-{i}" for i in range(64)]


def sentences() -> list[str]:
    """Distinct sentences and lines of the real answers, with their markup."""
    import pyarrow.parquet as pq

    found: dict[str, None] = {}
    for name in SETS:
        table = pq.read_table(SHARED / "data" / name / "data.parquet", columns=["response_a", "response_b"])
        for column in table.columns:
            for cell in column.to_pylist():
                for turn in json.loads(cell):
                    found |= dict.fromkeys(re.findall(r"[^.\n]+[.\n]*", turn or ""))
    return list(found)


def generate(path: Path, rows: int, seed: int = 0) -> None:
    """Write a csv in Kaggle's format: about 3.2 kB a row, 16% of the rows with several turns, 10% repeated prompts."""
    pool = sentences()
    sizes = np.array([len(sentence) for sentence in pool])
    draw = np.random.default_rng(seed)

    def text(characters: float) -> str:
        parts, length = [], 0
        while length < characters:
            some = draw.integers(0, len(pool), 16)
            for index in some[: np.searchsorted(sizes[some].cumsum(), characters - length) + 1]:
                parts.append(pool[index])
                length += sizes[index]
        return "".join(parts)[: int(characters * 1.5) + 1]

    prompts: list[list[str]] = []
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["id", "model_a", "model_b", "prompt", "response_a", "response_b"]
            + ["winner_model_a", "winner_model_b", "winner_tie"]
        )
        for row in range(rows):
            if prompts and draw.random() < 0.1:
                asked = prompts[draw.integers(len(prompts))]
            else:
                turns = 1 if draw.random() < 0.84 else 2 + int(draw.geometric(0.5))
                asked = [text(draw.lognormal(4.7, 1.3)) for _ in range(turns)]
                prompts.append(asked)
            answers = [[text(draw.lognormal(6.33, 0.75)) for _ in asked] for _ in range(2)]
            winner = int(draw.choice(3, p=[0.349, 0.342, 0.309]))
            models = [MODELS[i] for i in draw.choice(len(MODELS), 2, replace=False)]
            votes = [int(winner == label) for label in range(3)]
            writer.writerow([row, *models, *map(json.dumps, (asked, *answers)), *votes])


# --- one measurement, in a process of its own -----------------------------------------------------------------------


def peak_memory() -> float:
    """High-water mark of this process's resident set, MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def bare(path: Path, tokenizer: Path) -> dict[str, float]:
    """The library's batch call on all texts of the file, a thousand at a time; reading is not counted."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    csv.field_size_limit(2**30)
    texts = []
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name in ("prompt", "response_a", "response_b"):
                texts += [turn or "" for turn in json.loads(row[name])]
    began = time.perf_counter()
    tokens = 0
    for start in range(0, len(texts), 1024):
        tokens += sum(map(len, made.encode_batch_fast(texts[start : start + 1024], add_special_tokens=False)))
    return {"total": time.perf_counter() - began, "tokens": tokens, "memory": peak_memory()}


def arena(path: Path, tokenizer: Path, cache: Path, near: str) -> dict[str, float]:
    """`PairData.setup()`: everything between the configuration and the first batch."""
    began = time.perf_counter()
    from arena.data.module import pairwise as module
    from arena.data.source.pairs import PairReader
    from arena.data.split.prepare import SplitSettings
    from arena.data.text.tokenizer import HubTokenizer
    from arena.data.text.truncation import TruncationSettings

    imported = time.perf_counter()
    before = peak_memory()
    times: dict[str, float] = {}

    def timed(name: str):
        function = getattr(module, name)

        def run(*arguments):
            started = time.perf_counter()
            found = function(*arguments)
            times[name] = time.perf_counter() - started
            return found

        setattr(module, name, run)

    for name in ("read_parts", "grouped", "divide", "tokenize", "fit"):
        timed(name)
    data = module.PairData(
        PairReader(), HubTokenizer("Qwen", path=str(tokenizer)), ["model_a", "model_b", "tie"], path=str(path),
        truncation=TruncationSettings(1024), cache=str(cache),
        split=SplitSettings(near_duplicates=0.8 if near == "near" else None),
    )  # fmt: skip
    data.setup()
    next(iter(data.train_dataloader()))
    total = time.perf_counter() - imported
    tokens = int(data.sequences.turns.offsets[-1])
    found = {"total": total, "import": imported - began, "tokens": tokens, "memory": peak_memory()}
    return found | {"memory_imported": before, "rows": data.table.num_rows} | times


def measure(command: str, *arguments: str) -> dict[str, float]:
    """Run one measurement in a new process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(
        [sys.executable, __file__, "child", command, *arguments], env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Generate, measure in turns, print one table."""
    import shutil
    import tempfile

    if sys.argv[1:2] == ["child"]:
        command, path, tokenizer, *rest = sys.argv[2:]
        found = (
            bare(Path(path), Path(tokenizer))
            if command == "bare"
            else arena(Path(path), Path(tokenizer), Path(rest[0]), rest[1])
        )
        print(json.dumps(found))
        return
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    sizes = [int(size) for size in given.get("rows", str(ROWS)).split(",")]
    repeats = int(given.get("repeats", 3))
    tokenizer = str(SHARED / "models" / "qwen_tokenizer")
    columns = ["read_parts", "grouped", "divide", "tokenize", "fit", "total"]
    print("\t".join(["rows", "csv MB", "command", *columns, "limit", "peak MiB", "Mtokens"]))
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            path = Path(folder) / f"{rows}.csv"
            generate(path, rows)
            results: dict[str, list[dict[str, float]]] = {"bare tokenizer": [], "first start": [], "second start": []}
            for _ in range(repeats):
                cache = Path(folder) / "cache"
                shutil.rmtree(cache, ignore_errors=True)
                results["bare tokenizer"].append(measure("bare", str(path), tokenizer))
                for name in ("first start", "second start"):
                    results[name].append(measure("arena", str(path), tokenizer, str(cache), given.get("near", "near")))
            limit = 1.3 * statistics.median(r["total"] for r in results["bare tokenizer"]) + 20
            for name, found in results.items():
                middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
                cells = [f"{middle[key]:.2f}" if key in middle else "" for key in columns]
                bound = {"first start": f"{limit:.1f}", "second start": "3.0"}.get(name, "")
                size = f"{path.stat().st_size / 1e6:.0f}"
                print(
                    "\t".join(
                        [
                            str(rows),
                            size,
                            name,
                            *cells,
                            bound,
                            f"{middle['memory']:.0f}",
                            f"{middle['tokens'] / 1e6:.1f}",
                        ]
                    ),
                    flush=True,
                )


if __name__ == "__main__":
    main()
