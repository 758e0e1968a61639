"""Which remedy helps the rarest class, and does a small language model beat words counted well? On real tweets.

    python benchmarks/heads_ablation.py run FOLDER [--workers 1] [--seeds 0,1,2] [--only plain,focal]
    python benchmarks/heads_ablation.py table FOLDER

`run` trains `experiment=semeval_stance` plainly and with one change at a time, each with several seeds on one split,
into FOLDER/<change>_<seed>; what is finished is not run again. `table` reads the predictions: the changes are compared
on the validation rows; the plain recipe and the best there are held against TF-IDF on the test rows. That logistic
regression (scikit-learn; words, pairs of words and character pieces) chooses its regularisation and class weights by
the macro-F1 of each head on the same validation rows. Intervals are 95%, over groups of texts drawn again, all seeds
together.
The data are looked for below ARENA_SHARED (default ../shared).
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from table import aligned

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("ARENA_SHARED", ROOT.parent / "shared")) / "data" / "semeval2016_stance" / "data.parquet"
CHANGES: dict[str, list[str]] = {
    "plain": [],
    "smoothing": ["loss.head.label_smoothing=0.1"],
    "focal": ["loss@loss.head=focal", "loss.head.gamma=2"],
    "logit_adjustment": ["loss@loss.head=logit_adjustment", "loss.head.tau=1"],
    "sampler": ["data.sampling=balanced", "data.sampling_power=0.5", "data.max_copies=5"],
    "rdrop": ["loss.rdrop.alpha=0.6"],
    "layer_decay": ["optim.layer_decay=0.9"],
    "average": ["callback=ema", "callback.ema.decay=0.97"],
}
"""One change of the recipe each."""
HEADS = {"stance": "NONE", "sentiment": "neither", "opinion_towards": "none"}
"""The heads with the class that is watched: the rarest, for stance the one that is hardest."""
JUDGED = ("stance", "sentiment")
"""Heads of the comparison with TF-IDF."""
RESAMPLES = 2000


def run(folder: Path, workers: int, seeds: list[int], names: list[str]) -> None:
    """Train what is not there yet, seed after seed."""

    def one(job: tuple[int, str]) -> None:
        seed, name = job
        place = folder / f"{name}_{seed}"
        if (place / "predictions" / "test.parquet").is_file():
            return
        command = [
            sys.executable, "-m", "arena.train", "experiment=semeval_stance", f"data.path={DATA}", f"seed={seed}",
            f"hydra.run.dir={place}", "baselines=[]", "resamples=0", "evaluate.figures=false", *CHANGES[name],
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        print(f"{place.name}: {'done' if not done.returncode else done.stderr.strip()[-300:]}", flush=True)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, [(seed, name) for seed in seeds for name in names]))


def read(path: Path) -> dict[str, Any]:
    """Ids, groups, and for each head labels and predicted classes, `[N]`, in the order of the ids."""
    table = pq.read_table(path).sort_by("id")
    found: dict[str, Any] = {name: np.array(table[name].to_pylist(), dtype=str) for name in ("id", "group")}
    for head in HEADS:
        names = [name for name in table.column_names if name.startswith(f"probability_{head}_")]
        classes = np.array([name.removeprefix(f"probability_{head}_") for name in names])
        found[head] = (
            np.array(table[f"target_{head}"].to_pylist(), dtype=str),
            classes[np.stack([table[name].to_numpy() for name in names], axis=1).argmax(axis=1)],
        )
    return found


def macro_f1(target: np.ndarray, predicted: np.ndarray, weight: np.ndarray) -> float:
    """Mean F1 of the classes of `target` with weighted rows; 0 for a class that is never right."""
    return float(np.mean([f1(target, predicted, label, weight) for label in np.unique(target)]))


def f1(target: np.ndarray, predicted: np.ndarray, label: str, weight: np.ndarray) -> float:
    """F1 of one class with weighted rows."""
    hit = weight[(target == label) & (predicted == label)].sum()
    return float(2 * hit / max(weight[target == label].sum() + weight[predicted == label].sum(), 1e-9))


def draws(groups: np.ndarray) -> np.ndarray:
    """How often each row comes in each resample of whole groups, `[RESAMPLES + 1, N]`; the first is once each."""
    _, member = np.unique(groups, return_inverse=True)
    number = int(member.max()) + 1
    drawn = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), size=RESAMPLES)
    return np.concatenate([np.ones((1, len(groups))), drawn[:, member]])


def shown(values: np.ndarray, signed: bool = False) -> str:
    """Value and 95% interval of a measure on `draws`."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    form = "+.3f" if signed else ".3f"
    return f"{values[0]:{form}} ({low:{form}} to {high:{form}})"


def measure(run: dict[str, Any], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Macro-F1 over all heads and over `JUDGED`, and F1 of each watched class, on every resample."""
    macro, rare = {}, {}
    for head, label in HEADS.items():
        target, predicted = run[head]
        macro[head] = np.array([macro_f1(target, predicted, weight) for weight in weights])
        rare[f"{head}/{label}"] = np.array([f1(target, predicted, label, weight) for weight in weights])
    judged = np.mean([macro[head] for head in JUDGED], axis=0)
    return {"macro_f1": np.mean(list(macro.values()), axis=0), "judged": judged, **macro, **rare}


def mean_over_seeds(runs: list[dict[str, Any]], weights: np.ndarray) -> dict[str, np.ndarray]:
    """The mean of every measure over the seeds, on every resample."""
    measured = [measure(each, weights) for each in runs]
    return {name: np.mean([each[name] for each in measured], axis=0) for name in measured[0]}


def tfidf(val: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """What the tuned logistic regression says of the test rows; trained on all rows that are neither."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    table = pq.read_table(DATA).to_pylist()
    text = {row["id"]: f"{row['target']} {row['text']}" for row in table}
    held = set(val["id"]) | set(test["id"])
    train = [row for row in table if row["id"] not in held]
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    pieces = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5), min_df=2)
    texts = [text[row["id"]] for row in train]
    features = hstack([words.fit_transform(texts), pieces.fit_transform(texts)]).tocsr()
    seen = [hstack([w.transform([text[i] for i in part["id"]]) for w in (words, pieces)]) for part in (val, test)]
    found = {"id": test["id"], "group": test["group"]}
    for head in HEADS:
        best: tuple[float, Any, str] | None = None
        for strength in (0.3, 1, 3, 10, 30):
            for balanced in (None, "balanced"):
                model = LogisticRegression(C=strength, class_weight=balanced, max_iter=2000)
                model.fit(features, [row[head] for row in train])
                score = float(f1_score(val[head][0], model.predict(seen[0]), average="macro"))
                if best is None or score > best[0]:
                    best = score, model, f"C={strength}, class weights {balanced or 'none'}"
        assert best is not None
        print(f"TF-IDF {head}: {best[2]}, validation macro-F1 {best[0]:.3f}")
        found[head] = test[head][0], best[1].predict(seen[1])
    return found


def table(folder: Path) -> None:
    """Print both tables."""
    runs: dict[str, list[Path]] = {name: sorted(folder.glob(f"{name}_[0-9]*")) for name in CHANGES}
    runs = {
        name: done
        for name, paths in runs.items()
        if (done := [p for p in paths if (p / "predictions" / "test.parquet").is_file()])
    }
    lines = [["change", "seeds", "macro-F1", *(f"F1 {head}/{label}" for head, label in HEADS.items())]]
    seeds = {name: {path.name.rpartition("_")[2] for path in paths} for name, paths in runs.items()}
    means: dict[str, float] = {}
    for name in runs:
        common = sorted(seeds[name] & seeds["plain"])
        val = [read(folder / f"{name}_{seed}" / "predictions" / "val.parquet") for seed in common]
        base = [read(folder / f"plain_{seed}" / "predictions" / "val.parquet") for seed in common]
        weights = draws(base[0]["group"])
        mine, plain = mean_over_seeds(val, weights), mean_over_seeds(base, weights)
        columns = ["macro_f1", *(f"{head}/{label}" for head, label in HEADS.items())]
        cells = [shown(mine[c]) if name == "plain" else shown(mine[c] - plain[c], signed=True) for c in columns]
        lines.append([name, str(len(common)), *cells])
        means[name] = float(mine["macro_f1"][0])
    print("validation; plain: values, others: differences from plain with the same seeds")
    print(aligned(lines))
    chosen = max((name for name in runs if len(seeds[name]) == len(seeds["plain"])), key=lambda name: means[name])
    print(f"best validation macro-F1 of those with all seeds: {chosen}")
    compare({name: runs[name] for name in dict.fromkeys(["plain", chosen])})


def compare(runs: dict[str, list[Path]]) -> None:
    """Print what some changes reach on the test rows, seed by seed, beside TF-IDF."""
    first = next(iter(runs.values()))[0] / "predictions"
    test = read(first / "test.parquet")
    weights = draws(test["group"])
    other = measure(tfidf(read(first / "val.parquet"), test), weights)
    shown_measures = ("judged", *JUDGED, *(f"{head}/{HEADS[head]}" for head in JUDGED))
    titles = ("macro-F1 stance and sentiment", *JUDGED, *(f"F1 {head}/{HEADS[head]}" for head in JUDGED))
    lines = [["test", *titles], ["TF-IDF", *(shown(other[name]) for name in shown_measures)]]
    for name, paths in runs.items():
        each = [measure(read(path / "predictions" / "test.parquet"), weights) for path in paths]
        mean = {measured: np.mean([found[measured] for found in each], axis=0) for measured in other}
        rows = {path.name: found for path, found in zip(paths, each, strict=True)} | {f"{name}, mean": mean}
        lines += [[title, *(shown(found[m]) for m in shown_measures)] for title, found in rows.items()]
        lines.append([f"{name} - TF-IDF", *(shown(mean[m] - other[m], signed=True) for m in shown_measures)])
    print(aligned(lines))


def main() -> None:
    """The command line."""
    if len(sys.argv) < 3 or sys.argv[1] not in ("run", "table"):
        raise SystemExit(__doc__)
    options = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
    if sys.argv[1] == "table":
        table(Path(sys.argv[2]))
        return
    seeds = [int(seed) for seed in options.get("--seeds", "0,1,2").split(",")]
    names = options.get("--only", ",".join(CHANGES)).split(",")
    run(Path(sys.argv[2]).absolute(), int(options.get("--workers", "1")), seeds, names)


if __name__ == "__main__":
    main()
