"""`arena.compare` on runs that write replies: quality, diversity, and whether the samples can be compared at all."""

import csv
import json

import numpy as np
import pytest
from hand_made_runs import classes, folder, generations, replies

from arena import compare
from arena.config.options import read
from arena.core.errors import DataError

PROMPTS = 150
BASE = np.random.default_rng(1).uniform(0.3, 0.7, PROMPTS)
TOKENS = np.random.default_rng(2).integers(3, 30, PROMPTS)
LOSS = np.random.default_rng(3).uniform(1, 4, PROMPTS)


def noise(seed, size=0.02):
    return np.random.default_rng(max(0, seed)).normal(0, size, PROMPTS)


def made(path, gain=0.0, loss=0.0, seed=0, measures=None, **settings):
    """A run whose distinct_2 is `gain` above the base's (relative), and its log loss `loss` above (nats a token)."""
    number = seed + round(1000 * gain) + round(1000 * loss)
    diverse = BASE * (1 + gain) + noise(10 + number)
    told = {"distinct_2": diverse, "self_bleu_2": 1 - diverse, "mean_words": 10 + noise(5000 + number)} | (
        measures or {}
    )
    run = replies(folder(path, seed, **settings), LOSS + loss + noise(9000 + number, 0.01), TOKENS)
    return generations(run, told)


def asked(base, other, *arguments):
    return compare.compare(
        read(compare.CompareOptions, [f"base={base}", f"other={other}", "resamples=400", *arguments])
    ).details


@pytest.fixture
def base(tmp_path):
    return made(tmp_path / "base").path


def test_a_gain_of_diversity_with_equal_quality(base, tmp_path, capsys):
    other = made(tmp_path / "other", gain=0.2, seed=1, loss__lambda_=0.3).path
    found = asked(base, other)
    loss, distinct = found["measures"]["log_loss"], found["measures"]["distinct_2"]
    own = LOSS + noise(9000, 0.01)
    assert loss["base"] == pytest.approx((own * TOKENS).sum() / TOKENS.sum())  # nats per token, not per reply
    assert (loss["word"], loss["not_worse"], loss["margin"]) == ("not worse", True, 0.02)
    before, after = BASE + noise(10), BASE * 1.2 + noise(211)
    assert distinct["gain"]["value"] == pytest.approx(after.mean() / before.mean() - 1)
    assert distinct["gain"]["low"] < 0.2 < distinct["gain"]["high"]
    assert (distinct["band"], distinct["role"], distinct["counts"]) == ("moderate", "primary", True)
    bleu = found["measures"]["self_bleu_2"]
    assert bleu["gain"]["value"] == pytest.approx(1 - (1 - after).mean() / (1 - before).mean())
    assert (bleu["word"], bleu["role"]) == ("more diverse for these weights", "secondary")
    words = found["measures"]["mean_words"]
    assert ("gain" in words, words["role"]) == (False, "shown")
    assert found["verdict"]["counts"]
    assert found["verdict"]["line"].endswith("moderate for these weights, and quality is not worse")
    assert found["recipes_differ_in"] == [{"key": "loss.lambda_", "base": None, "other": 0.3}]
    said = capsys.readouterr().out
    assert "150 prompts with samples" in said
    folder_of = other / "comparison" / f"{tmp_path.name}-base"
    stored = json.loads((folder_of / "comparison.json").read_text())
    assert stored == found
    assert stored["measures"]["distinct_2"]["p"]["with_seeds"] is None  # one seed
    assert stored["bands"]["strong"] == [0.3, None]
    with open(folder_of / "comparison.tsv", newline="") as file:
        lines = {line["measure"]: line for line in csv.DictReader(file, delimiter="\t")}
    assert (lines["distinct_2"]["band"], lines["distinct_2"]["counts"]) == ("moderate", "true")
    assert (folder_of / "comparison.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_gain_that_costs_quality_does_not_count(base, tmp_path):
    other = made(tmp_path / "other", gain=0.4, loss=0.05, seed=1).path
    found = asked(base, other)
    assert (found["verdict"]["band"], found["verdict"]["counts"]) == ("strong", False)
    assert "does not count: log_loss is not shown to be not worse" in found["verdict"]["line"]
    assert found["measures"]["log_loss"]["word"] == "worse"
    assert asked(base, other, "margin=0.1")["verdict"]["counts"]
    assert asked(base, other, "margin=0.1", "bands={some: 0, lots: 0.1}")["verdict"]["band"] == "lots"


def test_the_checker_is_quality_too(tmp_path):
    base = made(tmp_path / "base", measures={"pass@1": np.full(PROMPTS, 0.6) + noise(1)}).path
    other = made(tmp_path / "other", gain=0.2, seed=1, measures={"pass@1": np.full(PROMPTS, 0.4) + noise(2)}).path
    found = asked(base, other)
    assert found["measures"]["pass@1"]["role"] == "quality"
    assert found["verdict"]["not_worse"] == {"log_loss": True, "pass@1": False}
    assert "pass@1 is not shown to be not worse" in found["verdict"]["line"]
    assert asked(base, other, "pass_margin=0.3")["verdict"]["counts"]


def test_seeds_of_the_base_are_the_measure_of_a_gain(tmp_path, capsys):
    """Three seeds of the base spread by 20%: a gain of 10% is nothing."""
    for seed, own in enumerate((-0.2, 0.0, 0.2)):
        made(tmp_path / "base" / str(seed), gain=own, seed=seed)
        made(tmp_path / "other" / str(seed), gain=0.1, seed=seed, loss__lambda_=1.0)
    found = asked(tmp_path / "base", tmp_path / "other")
    entry = found["measures"]["distinct_2"]
    assert entry["relative_seed_deviation"] == pytest.approx(0.2, rel=0.1)
    assert entry["above_seeds"] is False
    assert not found["verdict"]["counts"]
    assert "one seed" not in capsys.readouterr().out
    alone = asked(tmp_path / "base" / "1", tmp_path / "other" / "0")
    assert alone["verdict"]["counts"]  # shown for these two runs, and the notes say what that leaves open
    assert "one seed in each arm" in capsys.readouterr().out


def test_a_measure_that_was_not_computed(base, tmp_path):
    missing = {"vendi": np.full(PROMPTS, np.nan)}
    some = np.where(np.arange(PROMPTS) < 10, np.nan, BASE)
    runs = [folder(tmp_path / name, seed) for seed, name in enumerate(("one", "two"))]
    for run in runs:
        replies(run, LOSS, TOKENS)
        generations(run, {"distinct_2": some, **missing}, reasons={"vendi": "out of memory"}, alarms=["all alike"])
    found = asked(runs[0].path, runs[1].path)
    assert found["measures"]["vendi"]["base"] is None
    assert found["measures"]["vendi"]["reason"] == "in no prompt do all runs have it: out of memory"
    assert (found["measures"]["distinct_2"]["rows"], found["measures"]["distinct_2"]["left_out"]) == (140, 10)
    assert found["measures"]["distinct_2"]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert any(note.endswith("all alike") for note in found["notes"])
    with pytest.raises(DataError, match="primary=vendi: it was not computed, .*out of memory"):
        asked(runs[0].path, runs[1].path, "primary=vendi")


def test_a_base_of_nothing_has_no_relative_change(tmp_path):
    runs = []
    for seed, share in enumerate((0.0, 0.5)):
        run = made(tmp_path / str(seed), seed=seed, measures={"duplicate_share": np.full(PROMPTS, share)})
        runs.append(run.path)
    found = asked(*runs)["measures"]["duplicate_share"]
    assert (found["relative"]["value"], found["word"]) == (None, "undefined")
    assert found["reason"] == "no relative change: the base has 0"


def bad(place, **change):
    run = folder(place, seed=1)
    replies(run, LOSS, TOKENS)
    return generations(run, {"distinct_2": BASE, "mean_words": BASE}, **change)


BAD = {
    "sampling": (
        {"sampling": {"temperature": 0.7, "samples": 3, "seed": 1}, "measures": {"words": "x", "encoder": "minilm"}},
        65, "alike: measures.words (arena.diversity.words, x), sampling.samples (5, 3), sampling.temperature (1.0, 0",
    ),
    "split": ({"split": "val"}, 65, "generations of split val, not of test; give split=val"),
    "checker": ({"checker": {"name": "exact"}}, 65, "not sampled and measured alike: checker"),
    "fingerprint": ({"fingerprint": "other"}, 65, "fingerprint (data-1, other)"),
    "prompts": ({"ids": [f"q{i}" for i in range(PROMPTS)]}, 65, "150 rows", "and 0 are in all"),
    "name": ({"name": "cold"}, 74, "no generations yet (there are: cold: give name=cold)", "arena.evaluate run="),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_samples_that_cannot_be_compared(case, base, tmp_path, typed):
    change, code, *parts = BAD[case]
    other = bad(tmp_path / "other", **change).path
    found, lines = typed(f"base={base}", f"other={other}", module="compare")
    assert (found, len(lines)) == (code, 1), lines
    assert all(part in lines[0] for part in parts), lines[0]


def test_what_was_asked_for_is_not_there(base, tmp_path, typed):
    other = made(tmp_path / "other", seed=1).path
    bare = replies(folder(tmp_path / "bare", seed=2), LOSS, TOKENS).path
    for arguments, code, part in (
        ([f"other={other}", "metric=distinct"], 2, "did you mean 'distinct_2'?"),
        ([f"other={other}", "primary=mean_words"], 2, "it is no measure of diversity"),
        ([f"other={other}", "primary=self_blue_2"], 2, "did you mean 'self_bleu_2'?"),
        ([f"other={bare}"], 74, f"no generations yet; make them with python -m arena.evaluate run={bare}"),
    ):
        found, lines = typed(f"base={base}", *arguments, module="compare")
        assert (found, len(lines)) == (code, 1), lines
        assert part in lines[0], lines[0]
    (other / "generations" / "default" / "settings.json").write_text("{")
    found, lines = typed(f"base={base}", f"other={other}", module="compare")
    assert (found, "damaged" in lines[0]) == (74, True)


def sweep(*arguments):
    return compare.compare(read(compare.CompareOptions, [*arguments, "resamples=400"])).details


def test_a_sweep(tmp_path, capsys):
    """Log loss 2.., 2.1, 2.2 and diversity +0, +30%, +10%: the last is beaten by the second."""
    study = tmp_path / "study"
    for number, (strength, gain, loss) in enumerate(((0.0, 0.0, 0.0), (0.3, 0.3, 0.1), (2.0, 0.1, 0.2))):
        for seed in range(2):
            made(study / str(2 * number + seed), gain, loss, seed, loss__lambda_=strength)
    folder(study / "6", 0, status="failed", loss__lambda_=9.0)
    found = sweep(f"runs={study}", "by=loss.lambda")
    assert [point["value"] for point in found["points"]] == [0.0, 0.3, 2.0]
    assert [point["front"] for point in found["points"]] == [True, True, False]
    assert [len(point["runs"]) for point in found["points"]] == [2, 2, 2]
    first = found["points"][0]
    seeds = [(((LOSS + noise(9000 + s, 0.01)) * TOKENS).sum() / TOKENS.sum()) for s in range(2)]
    assert first["x"]["seeds"] == pytest.approx(seeds)
    assert first["x"]["value"] == pytest.approx(np.mean(seeds))
    assert first["y"]["value"] == pytest.approx(np.mean([BASE + noise(10 + s) for s in range(2)]))
    assert first["y"]["low"] < first["y"]["value"] < first["y"]["high"]
    assert first["x"]["change"] is None
    change = found["points"][1]["x"]["change"]
    assert change["value"] == pytest.approx(found["points"][1]["x"]["value"] - first["x"]["value"])
    # Paired, 0.1 nats are seen although the intervals of the means overlap.
    assert change["low"] > 0.08
    assert found["points"][1]["x"]["low"] < first["x"]["high"]
    said = capsys.readouterr().out
    assert "left out" in said
    assert "status is failed (out of memory)" in said
    place = study / "frontier"
    with open(place / "frontier.tsv", newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    assert [(line["value"], line["seed"]) for line in lines[:4]] == [
        ("0.0", "mean"), ("0.0", "0"), ("0.0", "1"), ("0.3", "mean")
    ]  # fmt: skip
    assert (place / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((place / "frontier.json").read_text()) == found


def test_a_sweep_of_runs_that_classify(tmp_path):
    target = np.arange(90) % 3
    for number, sure in enumerate((0.1, 0.5)):
        run = folder(tmp_path / "s" / str(number), loss__gamma=sure)
        classes(run, (1 - sure) / 3 + sure * np.eye(3)[target], target, [f"g{i}" for i in range(90)])
    found = sweep(f"runs={tmp_path / 's'}", "x=log_loss", "y=accuracy", "by=loss.gamma")
    assert [point["x"]["value"] for point in found["points"]] == pytest.approx([-np.log(0.4), -np.log(2 / 3)], abs=1e-6)
    assert [point["front"] for point in found["points"]] == [False, True]
    alone = sweep(f"runs={tmp_path / 's' / '1'}", "y=accuracy", "by=loss.gamma")
    assert alone["notes"] == ["by=loss.gamma: all runs have 0.5; there is nothing to choose between"]


def test_a_sweep_with_bad_input(tmp_path, typed):
    made(tmp_path / "s" / "0", loss__lambda_=0.1)
    folder(tmp_path / "failed" / "0", status="failed")
    runs = f"runs={tmp_path / 's'}"
    for arguments, code, part in (
        ([runs, "by=loss.lamda"], 2, "did you mean 'loss.lambda_'?"),
        ([runs, "by=loss"], 2, "it is a group of keys"),
        ([runs, "by=loss.lambda", "y=distinct_9"], 2, "y=distinct_9: there is no such measure"),
        ([f"runs={tmp_path / 'failed'}", "by=loss.lambda"], 65, "none of the runs is finished"),
        (["runs=nowhere", "by=loss.lambda"], 74, "runs="),
    ):
        found, lines = typed(*arguments, module="compare")
        assert (found, len(lines)) == (code, 1), lines
        assert part in lines[0], lines[0]
    made(tmp_path / "s" / "1", seed=1, loss__lambda_=0.1, optim__lr=0.5)
    found, lines = typed(runs, "by=loss.lambda", module="compare")
    assert (found, "no seeds of one recipe" in lines[0]) == (65, True)
