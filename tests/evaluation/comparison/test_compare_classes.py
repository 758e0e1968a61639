"""`arena.compare` on runs that classify, from the command line to the files."""

import csv
import json
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_made_runs import LABELS, classes, folder, replies
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss
from support import HEADS, head_predictions

from arena import compare
from arena.callback.predictions import write_table
from arena.config.options import read
from arena.core.errors import DataError, UsageError

ROWS = 240


def answers(seed, strength, rows=ROWS):
    """Targets that do not depend on `seed`, and probabilities that know as much of them as `strength` says."""
    target = np.random.default_rng(99).integers(0, 3, rows)
    scores = strength * np.eye(3)[target] + np.random.default_rng(seed).normal(0, 1, (rows, 3))
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), target


def groups(rows=ROWS):
    return [f"g{i // 2}" for i in range(rows)]


def made(path, seed=0, strength=1.0, noise=0, **settings):
    return classes(folder(path, seed, **settings), *answers(noise + seed, strength), groups())


def asked(*arguments):
    return compare.compare(read(compare.CompareOptions, [*arguments, "resamples=400"])).details


@pytest.fixture
def pair(tmp_path):
    base, other = made(tmp_path / "base", strength=0.2, noise=1), made(tmp_path / "other", strength=2.0, noise=2)
    return f"base={base.path}", f"other={other.path}", f"output={tmp_path / 'out'}"


def test_values_are_those_of_scikit_learn(pair, tmp_path, capsys):
    found = asked(*pair)
    right = {}
    for arm, noise, strength in (("base", 1, 0.2), ("other", 2, 2.0)):
        probabilities, target = answers(noise, strength)
        guess = probabilities.argmax(axis=1)
        right[arm] = guess == target
        expected = {
            "log_loss": log_loss(target, probabilities),
            "accuracy": accuracy_score(target, guess),
            "brier": ((probabilities - np.eye(3)[target]) ** 2).sum(axis=1).mean(),
            "macro_f1": f1_score(target, guess, average="macro"),
        }
        assert {name: entry[arm] for name, entry in found["measures"].items()} == pytest.approx(expected, abs=1e-6)
    for entry in found["measures"].values():
        assert entry["difference"]["value"] == pytest.approx(entry["other"] - entry["base"])
        assert entry["word"] == "better for these weights"
    assert (found["rows"], found["groups"]) == (ROWS, ROWS // 2)
    only_base, only_other = (right["base"] & ~right["other"]).sum(), (right["other"] & ~right["base"]).sum()
    p = binomtest(int(only_other), int(only_base + only_other)).pvalue
    counts = {"only_base": only_base, "only_other": only_other, "p": pytest.approx(p)}
    assert found["measures"]["accuracy"]["mcnemar"] == counts
    assert found["verdict"]["line"] == "log_loss: shown better for these weights"
    said = capsys.readouterr().out
    assert "one seed in each arm" in said
    assert f"{only_other} rows only other has right" in said
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found
    with open(tmp_path / "out" / "comparison.tsv", newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    assert [line["measure"] for line in lines] == list(found["measures"])
    assert float(lines[0]["difference_low"]) == found["measures"]["log_loss"]["difference"]["low"]
    assert lines[0]["p_with_seeds"] == ""
    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_a_small_gain_on_few_rows_is_not_shown(tmp_path):
    """Accuracies of .3475 and .3566 on 400 rows, as of two models that hardly differ."""
    draw = np.random.default_rng(0)
    target = draw.integers(0, 3, 400)
    runs = []
    for name, hits in (("base", 139), ("other", 143)):
        guess = (target + 1 + draw.integers(0, 2, 400)) % 3
        some = draw.permutation(400)[:hits]
        guess[some] = target[some]
        probabilities = 0.3 + 0.1 * np.eye(3)[guess]
        runs.append(classes(folder(tmp_path / name), probabilities, target, groups(400)))
    found = asked(f"base={runs[0].path}", f"other={runs[1].path}", "metric=accuracy")
    assert list(found["measures"]) == ["accuracy"]
    entry = found["measures"]["accuracy"]
    assert (entry["base"], entry["other"], entry["word"]) == (139 / 400, 143 / 400, "not shown")
    # Independent guesses at accuracy 1/3: the variance of a paired difference is about 2 * 2/9.
    assert entry["rows_needed"] == pytest.approx(7.849 * (4 / 9) / 0.01**2, rel=0.25)
    assert found["verdict"]["line"].startswith("accuracy: not shown (the interval holds zero); to show it")
    assert (runs[1].path / "comparison" / f"{tmp_path.name}-base" / "comparison.json").is_file()


def test_seeds_of_a_recipe(tmp_path, capsys):
    for seed in range(3):
        made(tmp_path / "base" / str(seed), seed, 1.0, 10, optim__lr=0.1)
        made(tmp_path / "other" / str(seed), seed, 1.6, 20, optim__lr=0.2)
    found = asked(f"base={tmp_path / 'base'}", f"other={tmp_path / 'other' / '*'}", f"output={tmp_path}")
    assert found["base"]["seeds"] == found["other"]["seeds"] == [0, 1, 2]
    assert found["recipes_differ_in"] == [{"key": "optim.lr", "base": 0.1, "other": 0.2}]
    entry = found["measures"]["log_loss"]
    losses = [log_loss(target, p) for p, target in (answers(10 + seed, 1.0) for seed in range(3))]
    assert entry["base"] == pytest.approx(np.mean(losses), abs=1e-6)
    assert entry["seed_deviation"] == pytest.approx(np.std(losses, ddof=1), abs=1e-6)
    assert entry["p"]["with_seeds"] is not None
    assert "mcnemar" not in found["measures"]["accuracy"]
    said = capsys.readouterr().out
    assert "optim.lr: 0.1 -> 0.2" in said
    assert "one seed" not in said
    alone = asked(f"base={tmp_path}/base/0,{tmp_path}/base/1", f"other={tmp_path}/other/0", f"output={tmp_path}")
    assert alone["base"]["seeds"] == [0, 1]
    assert alone["verdict"]["word"] == "better"
    assert (
        "one seed in other: its seeds are taken to differ as much as those of the other arm" in capsys.readouterr().out
    )


def test_classes_in_another_order_and_rows_in_another_order(tmp_path):
    base = made(tmp_path / "base", noise=1)
    probabilities, target = answers(2, 1.0)
    straight = classes(folder(tmp_path / "straight"), probabilities, target, groups())
    turned = np.random.default_rng(0).permutation(ROWS)
    mixed = classes(
        folder(tmp_path / "mixed"), probabilities[turned], target[turned], [groups()[i] for i in turned],
        [f"r{i}" for i in turned],
    )  # fmt: skip
    config = mixed.config.read_text()
    mixed.config.write_text(config.replace("- model_a\n  - model_b\n  - tie", "- tie\n  - model_b\n  - model_a"))
    assert mixed.config.read_text() != config
    expected, found = (asked(f"base={base.path}", f"other={each.path}") for each in (straight, mixed))
    assert found["measures"]["log_loss"] == expected["measures"]["log_loss"]
    assert found["measures"]["macro_f1"]["difference"] == pytest.approx(expected["measures"]["macro_f1"]["difference"])


def test_common_rows(tmp_path, capsys):
    base = made(tmp_path / "base", noise=1)
    probabilities, target = answers(2, 1.0)
    other = folder(tmp_path / "other", fingerprint="data-2")
    kept = np.arange(40, ROWS)
    classes(other, probabilities[kept], target[kept], [groups()[i] for i in kept], [f"r{i}" for i in kept])
    given = f"base={base.path}", f"other={other.path}"
    with pytest.raises(DataError, match=r"the run read other data \(data-2\) .*rows=common compares"):
        asked(*given)
    folder(tmp_path / "other")  # the same data again, but fewer rows
    with pytest.raises(DataError, match="200 rows, .* has 240, and 200 are in all; rows=common compares these"):
        asked(*given)
    found = asked(*given, "rows=common")
    assert found["rows"] == 200
    assert "rows=common: 40 rows that not all runs have were left out" in capsys.readouterr().out
    other_base = answers(1, 1.0)[0][kept]
    assert found["measures"]["log_loss"]["base"] == pytest.approx(log_loss(target[kept], other_base), abs=1e-6)


BAD: dict[str, tuple] = {
    "no run": ("base=nowhere", "other=o", 74, "base=", "no such folder"),
    "not a run": ("base=empty", "other=o", 74, "base=", "not a run folder"),
    "failed": ("base=failed", "other=o", 65, "status is failed (out of memory)"),
    "itself": ("base=b", "other=b", 2, "does not differ from itself"),
    "no base": ("other=o", 2, "base: a value is needed"),
    "unknown key": ("base=b", "other=o", "resample=3", 2, "resample: no such key; did you mean 'resamples'?"),
    "unknown measure": ("base=b", "other=o", "metric=acuracy", 2, "did you mean 'accuracy'?"),
    "unknown primary": ("base=b", "other=o", "primary=macrof1", 2, "did you mean 'macro_f1'?"),
    "bands": (
        "base=b",
        "other=o",
        "bands={none: [0, 0.02], weak: 0.02}",
        2,
        "bands.none=[0, 0.02]: a number is needed",
    ),
    "margin": ("base=b", "other=o", "margin=-1", 2, "margin=-1: a number greater than 0"),
    "resamples": ("base=b", "other=o", "resamples=10", 2, "100 or more"),
    "rows": ("base=b", "other=o", "rows=some", 2, "one of same, common"),
    "split": ("base=b", "other=o", "split=val", 74, "no predictions of split val", "give split=test"),
    "kinds": ("base=b", "other=writes", 65, " classifies and ", " writes replies: "),
    "targets": ("base=b", "other=turned", 65, "240 rows have another target", "id r0"),
    "two recipes": ("base=b,faster", "other=o", 65, "no seeds of one recipe", "optim.lr (None, 0.5)"),
    "one seed twice": ("base=b,again", "other=o", 65, "two of its runs have the seed 0"),
    "no value": ("base=b", "other", 2, "cannot read 'other'"),
    "both": ("base=b", "runs=b", 2, "not both"),
    "no by": ("runs=b", 2, "by: a value is needed"),
}


@pytest.fixture(scope="module")
def bad_runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    made(place / "b", noise=1)
    made(place / "again", noise=3)
    made(place / "faster", seed=1, noise=4, optim__lr=0.5)
    made(place / "o", noise=2)
    made(place / "failed", status="failed")
    (place / "empty").mkdir()
    probabilities, target = answers(2, 1.0)
    classes(folder(place / "turned"), probabilities, (target + 1) % 3, groups())
    replies(folder(place / "writes"), np.ones(5), np.ones(5, dtype=int))
    return place


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, bad_runs, typed):
    place = next(i for i, each in enumerate(BAD[case]) if isinstance(each, int))
    arguments, code, parts = BAD[case][:place], BAD[case][place], BAD[case][place + 1 :]

    def at_home(argument):
        key, _, value = argument.partition("=")
        if key not in ("base", "other", "runs") or not value:
            return argument
        return f"{key}={','.join(str(bad_runs / each) for each in value.split(','))}"

    found, lines = typed(*map(at_home, arguments), module="compare")
    assert found == code, lines
    assert len(lines) == 1
    assert all(word in lines[0] for word in parts), lines[0]


def test_help(capsys):
    with pytest.raises(SystemExit) as end:
        read(compare.CompareOptions, ["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"  {each.name}=" in shown for each in fields(compare.CompareOptions))


def test_a_run_of_other_classes_is_refused(tmp_path):
    base = made(tmp_path / "base")
    other = made(tmp_path / "other", data__labels=[*LABELS, "both_bad"])
    with pytest.raises(DataError, match="has the classes model_a, model_b, tie, both_bad, not"):
        asked(f"base={base.path}", f"other={other.path}")
    with pytest.raises(UsageError, match="metric=3"):
        asked(f"base={base.path}", f"other={other.path}", "metric=3")


def test_several_heads(tmp_path):
    """Each head by itself, and means in which each counts the same; rows without a label do not count."""
    runs = []
    for name in ("base", "other"):
        run = folder(tmp_path / name, data__labels=HEADS)
        _, probabilities, target = head_predictions(run.predictions("test"), HEADS, 90)
        runs.append((run, probabilities, target))
    (base, probabilities, target), (other, _, _) = runs
    # The other arm says the same, but a little less surely.
    path, table = other.predictions("test"), pq.read_table(other.predictions("test"))
    for name in [each for each in table.column_names if each.startswith("probability_")]:
        share = 1 / len(HEADS[name.split("_")[1]])
        column = pa.array(0.5 * table[name].to_numpy() + 0.5 * share, pa.float32())
        table = table.set_column(table.column_names.index(name), name, column)
    write_table(path, table)
    found = asked(f"base={base.path}", f"other={other.path}")
    assert (found["rows"], found["groups"]) == (int((target >= 0).any(axis=1).sum()), 30)
    scores, losses = [], []
    for t, (head, classes_of) in enumerate(HEADS.items()):
        known, part = target[:, t] >= 0, probabilities[:, :3] if t == 0 else probabilities[:, 3:]
        guess = part.argmax(axis=1)[known]
        scores.append(f1_score(target[known, t], guess, average="macro", labels=range(len(classes_of))))
        losses.append(log_loss(target[known, t], part[known], labels=range(len(classes_of))))
        entry = found["measures"][f"{head}/macro_f1"]
        assert (entry["base"], entry["rows"]) == (pytest.approx(scores[-1]), known.sum())
        assert entry["word"] == "not shown"  # the likeliest class is the same
        assert found["measures"][f"{head}/log_loss"]["base"] == pytest.approx(losses[-1], abs=1e-6)
    assert found["measures"]["macro_f1"]["base"] == pytest.approx(np.mean(scores))
    assert found["measures"]["log_loss"]["base"] == pytest.approx(np.mean(losses), abs=1e-6)


@pytest.mark.slow
def test_runs_that_were_trained(folds, tmp_path):
    """Real runs of two losses on the same validation rows: the values are those that the runs recorded."""
    base, other = folds["0"], folds["focal"]
    found = asked(f"base={base.path}", f"other={other.path}", "split=val", f"output={tmp_path}")
    for name in ("log_loss", "accuracy", "brier", "macro_f1"):
        for arm, run in (("base", base), ("other", other)):
            recorded = run.read_result()["validation"][name]["value"]
            assert found["measures"][name][arm] == pytest.approx(recorded, abs=1e-6)
    apart = {each["key"]: (each["base"], each["other"]) for each in found["recipes_differ_in"]}
    assert apart["loss._target_"] == ("arena.loss.classification.CrossEntropy", "arena.loss.classification.Focal")
    assert all(key.startswith("loss.") for key in apart)
    with pytest.raises(DataError, match="0 are in all"):
        asked(f"base={base.path}", f"other={folds['1'].path}", "split=val")
