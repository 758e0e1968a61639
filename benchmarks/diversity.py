"""What measuring the diversity of samples costs: self-BLEU beside nltk, all measures.

    python benchmarks/diversity.py                 three repeats of each, 10,000 prompts x 10 samples
    python benchmarks/diversity.py repeats=1 prompts=1000

Samples are 20 to 40 words drawn with Zipf's law from 20,000; a third of each sample's pairs of words are its prompt's.
Self-BLEU is of 10,000 samples, and the embeddings of "all measures" are hashed words. nltk and arena take turns on the
same lists of words; medians are compared. Every measurement of memory is a process of its own and says how far the
high-water mark of the resident set (VmHWM) rose while it measured. Needs nltk.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from table import aligned, spread

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = 10


def samples(prompts: int, seed: int = 0) -> list[list[str]]:
    """Ten texts for each prompt."""
    draw = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = ["".join(letters[draw.integers(0, 26, draw.integers(2, 9))]) for _ in range(20_000)]
    zipf = np.cumsum(1 / np.arange(1, 20_001))

    def drawn(size: int) -> list[str]:
        return [vocabulary[i] for i in np.searchsorted(zipf / zipf[-1], draw.random(size) * (1 - 1e-9))]

    found = []
    for _ in range(prompts):
        topic = drawn(20)
        texts = []
        for _ in range(SAMPLES):
            cut: list[str] = []
            for place in draw.integers(0, 57, draw.integers(10, 21)):
                cut += topic[place : place + 2] if place < 19 else drawn(2)
            texts.append(" ".join(cut))
        found.append(texts)
    return found


def self_bleu(repeats: int) -> list[str]:
    """Both on 1,000 groups of 10; nltk as its documentation has it, a text's references being the nine others."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    from arena.diversity.ngrams import count
    from arena.diversity.ngrams import self_bleu as of_set
    from arena.diversity.words import words

    sets = [[words(text) for text in texts] for texts in samples(1_000)]
    smooth = SmoothingFunction().method1
    times: dict[str, list[float]] = {"nltk": [], "arena": []}
    theirs, ours = np.zeros(0), np.zeros(0)
    for _ in range(repeats):
        began = time.perf_counter()
        theirs = np.array(
            [
                sentence_bleu(texts[:i] + texts[i + 1 :], texts[i], smoothing_function=smooth)
                for texts in sets
                for i in range(SAMPLES)
            ]
        )
        times["nltk"].append(time.perf_counter() - began)
        began = time.perf_counter()
        ours = np.concatenate([of_set(count(texts, 4)) for texts in sets])
        times["arena"].append(time.perf_counter() - began)
    faster = statistics.median(times["nltk"]) / statistics.median(times["arena"])
    difference = float(np.abs(ours - theirs).max())
    what = f"self-BLEU-4 of 10,000 samples, nltk {spread(times['nltk'])} s"
    return [what, spread(times["arena"], 2), "", f"{faster:.0f} x as fast (5), off by {difference:.0e} (1e-6)"]


# --- measurements of memory, each in a process of its own ------------------------------------------------------------


def peak_memory() -> float:
    """High-water mark of this process's resident set, MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def all_measures(prompts: int) -> dict[str, float]:
    """`measure` of everything."""
    from arena.diversity.encoder import HashEncoder
    from arena.diversity.table import measure

    sets = {str(i): texts for i, texts in enumerate(samples(prompts))}
    before, began = peak_memory(), time.perf_counter()
    found = measure(sets, HashEncoder())
    seconds = time.perf_counter() - began
    assert not found.reasons, found.reasons
    return {"seconds": seconds, "memory": peak_memory() - before}


def measured(*arguments: str) -> dict[str, float]:
    """One measurement in a new process."""
    done = subprocess.run([sys.executable, __file__, "child", *arguments], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def line(what: str, results: list[dict[str, float]], limit: str) -> list[str]:
    """One line of the table."""
    seconds, memory = ([each[key] for each in results] for key in ("seconds", "memory"))
    return [what, spread(seconds, 2), spread(memory), limit]


def main() -> None:
    """The command line."""
    sys.path.insert(0, str(ROOT / "src"))
    if sys.argv[1:2] == ["child"]:
        print(json.dumps(all_measures(int(sys.argv[2]))))
        return
    if "--help" in sys.argv:
        print(__doc__)
        return
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    repeats, prompts = int(given.get("repeats", 3)), given.get("prompts", "10000")
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    bleu = self_bleu(repeats)
    everything = [measured(prompts) for _ in range(repeats)]
    lines = [
        ["what", "seconds", "MiB more", "result (limit)"],
        bleu,
        line(f"all measures of {int(prompts):,} x {SAMPLES} samples", everything, "(60 s)"),
    ]
    print(aligned(lines))


if __name__ == "__main__":
    main()
