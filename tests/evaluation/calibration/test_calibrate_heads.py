"""Several heads from the predictions of one model, and the models that are refused."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import log_softmax, softmax
from test_scaling import fixture

from arena.callback.predictions import prediction_table, write_table
from arena.core.checkpoints import digest
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.heads import Heads
from arena.core.run import RunFolder
from arena.evaluation.calibration import fitting, skill, store
from arena.evaluation.calibration.comparison import MEASURES, lines_of, measure, tsv_of
from arena.evaluation.calibration.heads import CalibrationOptions, calibrate_heads
from arena.evaluation.calibration.rows import HeadRows, group_folds, read_rows
from arena.stats.classification import macro_f1

HEADS = Heads({"stance": ["AGAINST", "FAVOR", "NONE"], "tone": ["plain", "rude"]})
SHARES = {"stance": [0.5, 0.42, 0.08], "tone": [0.85, 0.15]}
COUNTS = np.array([500, 420, 80, 850, 150])
TOO_SURE = {"stance": 2.5, "tone": 0.5}
"""Factor on the true logits: one head is too sure of itself, the other not sure enough."""


def draw(seed, rows=1500, factors=None, noise=1.8):
    """Logits of both heads whose softmax, before they are multiplied, is the truth; a fifth has no stance."""
    generator = np.random.default_rng(seed)
    found = {}
    for name, shares in SHARES.items():
        z = generator.normal(scale=noise, size=(rows, len(shares))) + np.log(shares)
        target = np.array([generator.choice(len(shares), p=row) for row in softmax(z, axis=1)])
        if name == "stance":
            target[generator.random(rows) < 0.2] = -1
        found[name] = (factors or TOO_SURE)[name] * z, target
    return found, generator.integers(0, rows // 2, rows)


def write(path, logits, group):
    columns: dict[str, Any] = {"id": [f"{i}" for i in range(len(group))]}
    for name, (z, _) in logits.items():
        columns |= dict(zip(HEADS.probability_columns(name), softmax(z, axis=1).astype(np.float32).T, strict=True))
    for name, (_, target) in logits.items():
        columns[HEADS.target_column(name)] = [HEADS.classes[name][k] if k >= 0 else None for k in target]
    columns |= {"loss": np.full(len(group), 0.5, dtype=np.float32), "group": [f"g{g}" for g in group]}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    place = tmp_path_factory.mktemp("splits")
    return [read_rows(write(place / f"{seed}.parquet", *draw(seed)), HEADS) for seed in (1, 2)]


@pytest.fixture(scope="module")
def vague(tmp_path_factory):
    """The same from a model that knows less, for which the rare classes are rarely the likeliest."""
    place = tmp_path_factory.mktemp("vague")
    return [read_rows(write(place / f"{seed}.parquet", *draw(seed, noise=1.0)), HEADS) for seed in (1, 2)]


def run(splits, test=True, **options: Any):
    defaults: dict[str, Any] = {"resamples": 20}
    chosen = CalibrationOptions(**(defaults | options))
    return calibrate_heads(HEADS, splits[0], splits[1] if test else None, COUNTS, "abc", chosen)


def test_each_head_gets_its_own_temperature(splits):
    outcome = run(splits)
    for name, factor in TOO_SURE.items():
        assert 1 / outcome.calibration.heads[name].weight[0] == pytest.approx(factor, rel=0.12)
        change = outcome.compared[name]["log_loss"]["change"]
        assert change["low"] < change["value"] < change["high"] < 0
        assert outcome.compared[name]["calibration_error"]["change"]["value"] < -0.03
        assert outcome.compared[name]["accuracy"]["change"]["value"] == 0
    labelled = int((draw(1)[0]["stance"][1] >= 0).sum())
    assert outcome.details["stance"]["rows"] == labelled < outcome.details["tone"]["rows"] == 1500


def test_the_table_is_that_of_the_measures_and_the_mean_that_of_the_heads(splits):
    outcome = run(splits)
    for name, head in splits[1].heads.items():
        calibrated = outcome.calibration.apply(splits[1].probabilities)[head.place, HEADS.slices[name]]
        for side, each in (("before", head.probabilities), ("after", calibrated)):
            found = [outcome.compared[name][what][side]["value"] for what in MEASURES]
            assert found == pytest.approx(measure(each, each.argmax(axis=1), head.target, 15), abs=1e-12)
    for what in MEASURES:
        values = [outcome.compared[name][what]["after"]["value"] for name in HEADS.names]
        assert outcome.compared["mean"][what]["after"]["value"] == pytest.approx(np.mean(values))
    lines = lines_of(outcome.compared)
    assert [line[0] for line in lines[1:]] == ["stance"] * 7 + ["tone"] * 7 + ["mean"] * 7
    table = [line.split("\t") for line in tsv_of(outcome.compared).splitlines()]
    assert {len(line) for line in table} == {11}
    assert float(table[1][2]) == outcome.compared["stance"]["log_loss"]["before"]["value"]


def test_a_rule_for_macro_f1_reports_what_unseen_rows_give(vague):
    outcome = run(vague, decision="bias")
    for name in HEADS.names:
        scores = outcome.details[name]["macro_f1"]
        assert scores["likeliest"] < scores["cross_validated"] <= scores["tuned"] + 1e-12
        assert scores["low"] < scores["cross_validated"] - scores["likeliest"] < scores["high"]
        gain = outcome.compared[name]["macro_f1"]["change"]["value"]
        assert gain == pytest.approx(scores["cross_validated"] - scores["likeliest"], abs=0.04)
        assert gain > 0.01
    plain = run(vague)
    for what in MEASURES[:5]:
        assert outcome.compared["tone"][what] == plain.compared["tone"][what], "probabilities stay"
    assert "the second class is called from 0." in outcome.lines[-1]


def test_the_columns_of_the_rule_are_what_was_measured(vague):
    calibration = run(vague, decision="thresholds", heads=["stance"]).calibration
    said = calibration.decide(calibration.apply(vague[1].probabilities))
    assert list(said) == ["predicted_stance"]
    head = vague[1].heads["stance"]
    called = np.array([HEADS.classes["stance"].index(name) for name in said["predicted_stance"]])[head.place]
    found = run(vague, decision="thresholds").compared["stance"]["macro_f1"]["after"]["value"]
    assert macro_f1(called, head.target, 3) == pytest.approx(found)


def test_a_rule_that_gains_nothing_is_not_kept(tmp_path):
    """Balanced classes that are called right: there is nothing to win for the likeliest class."""
    splits = []
    for seed in (1, 2):
        target = np.random.default_rng(seed).integers(0, 2, 400)
        stance, tone = (
            2 * np.eye(k)[target] + np.random.default_rng(9).normal(scale=0.1, size=(400, k)) for k in (3, 2)
        )
        flipped = np.where(np.arange(400) % 5 == 0, 1 - target, target)
        path = write(
            tmp_path / f"{seed}.parquet", {"stance": (stance, flipped), "tone": (tone, flipped)}, np.arange(400)
        )
        splits.append(read_rows(path, HEADS))
    outcome = run(splits, decision="bias")
    assert [head.decision for head in outcome.calibration.heads.values()] == [None, None]
    assert all("no gain: the likeliest class is called" in line for line in outcome.lines)


def test_without_test_rows_every_row_is_calibrated_by_others(splits):
    """The gain is that of rows which the fit has not seen: a little less than on its own rows."""
    outcome = run(splits, test=False, method="vector", decision="bias")
    assert outcome.measured_on["split"] == "val, cross-fitted"
    for name in HEADS.names:
        fitted = outcome.details[name]["log_loss"]
        assert outcome.compared[name]["log_loss"]["before"]["value"] == pytest.approx(fitted["before"])
        assert fitted["after"] < outcome.compared[name]["log_loss"]["after"]["value"] < fitted["before"]


def test_folds_keep_groups_together():
    group = np.random.default_rng(0).integers(0, 40, 300)
    seen = np.zeros(300, dtype=int)
    for fit, out in group_folds(group, 5, 0):
        assert not set(group[fit]) & set(group[out])
        assert (fit != out).all()
        seen += out
    assert (seen == 1).all()
    assert sum(1 for _ in group_folds(np.array([1, 1, 2]), 5, 0)) == 2


def test_bias_takes_back_a_balanced_training_and_temperature_is_told_so(tmp_path):
    """A model of the balanced problem: -log of the shares is added to the true logits."""
    splits = []
    for seed in (1, 2):
        logits, group = draw(seed, factors={"stance": 1, "tone": 1}, noise=0.6)
        for name, shares in SHARES.items():
            logits[name] = logits[name][0] - np.log(shares), logits[name][1]
        splits.append(read_rows(write(tmp_path / f"{seed}.parquet", logits, group), HEADS))
    with pytest.raises(DataError, match=r"head stance: no skill: .*with method=bias it is \d"):
        run(splits)
    outcome = run(splits, method="bias")
    for name, shares in SHARES.items():
        found = np.array(outcome.calibration.heads[name].bias)
        assert found == pytest.approx(np.log(shares) - np.log(shares).mean(), abs=0.25)
        assert outcome.compared[name]["log_loss"]["change"]["high"] < 0


@pytest.mark.slow
def test_auto_takes_vector_only_where_rows_suffice_and_it_is_better(tmp_path):
    def one(rows, shift):
        splits = []
        for seed in (1, 2):
            logits, group = draw(seed, rows, factors={"stance": 1, "tone": 1})
            for name, (z, target) in logits.items():
                logits[name] = z + shift * np.arange(z.shape[1]), target
            splits.append(read_rows(write(tmp_path / f"{seed}.parquet", logits, group), HEADS))
        return run(splits, method="auto", heads=["tone"])

    shifted, right, few = one(2400, 1.0), one(2400, 0.0), one(600, 1.0)
    assert shifted.calibration.heads["tone"].method == "vector"
    assert "vector, since vector changes the cross-fitted log loss by -" in shifted.lines[0]
    assert right.calibration.heads["tone"].method == "temperature"
    assert "temperature, since vector changes the cross-fitted log loss by " in right.lines[0]
    assert few.calibration.heads["tone"].method == "temperature"
    assert "fewer than 200" in few.lines[0]


def spoiled(split, name, probabilities):
    return replace(split, heads=split.heads | {name: replace(split.heads[name], probabilities=probabilities)})


def untrained(rows, classes, scale, seed=0):
    return softmax(np.random.default_rng(seed).normal(scale=scale, size=(rows, classes)), axis=1)


@pytest.mark.parametrize("method", ["temperature", "vector", "bias", "auto"])
@pytest.mark.parametrize(("scale", "reason"), [(0, "collapsed"), (0.05, "no skill"), (1, "no skill"), (5, "no skill")])
def test_an_untrained_model_is_refused_by_every_method(splits, method, scale, reason):
    val = splits[0]
    for name, head in val.heads.items():
        val = spoiled(val, name, untrained(len(head.target), head.probabilities.shape[1], scale))
    with pytest.raises(DataError, match=f"head stance: {reason}.*; a model that knows nothing is refused"):
        run([val, splits[1]], method=method)


def test_log_probabilities_do_not_change_the_skill(splits):
    """The prior is measured by its own shares: 1 - L(model) / L(prior) is the same with the logarithms of the file."""
    head = splits[0].heads["stance"]
    prior = {"stance": np.array([0.5, 0.42, 0.08])}
    with_logs = replace(head, logs=np.log(head.probabilities))
    (bare,), (known,) = (skill.check({"stance": each}, prior, "auto", 0, None).values() for each in (head, with_logs))
    assert known == pytest.approx(bare, abs=1e-9)


def test_one_head_without_skill_is_named_and_can_be_left_out(splits):
    head = splits[0].heads["tone"]
    val = spoiled(splits[0], "tone", untrained(len(head.target), 2, 0.5))
    with pytest.raises(DataError, match=r"head tone: no skill: .*; heads=\[stance\] calibrates without it"):
        run([val, splits[1]])
    outcome = run([val, splits[1]], heads=["stance"])
    assert list(outcome.calibration.heads) == list(outcome.compared) == ["stance"]
    before = splits[1].probabilities
    after = outcome.calibration.apply(before)
    assert (after[:, 3:] == before[:, 3:]).all()
    assert abs(after[:, :3] - before[:, :3]).max() > 0.1
    with pytest.raises(UsageError, match="there is no head 'tune'; the run has stance, tone"):
        run(splits, heads=["tune"])


def test_one_class_for_all_rows_is_a_collapse_unless_most_rows_have_it(splits):
    """The same logits and one more number: a bias that drowns them."""
    head = splits[0].heads["stance"]
    z = np.log(head.probabilities)
    drowned = replace(head, probabilities=softmax(0.2 * z + [0, 0, 5], axis=1))
    assert "the model predicts one class for 100.0% of the validation rows, which" in skill.collapse(drowned, 0.5)
    assert skill.collapse(head, 0.5) == ""
    tone = splits[0].heads["tone"]
    cautious = replace(tone, probabilities=softmax(0.1 * np.log(tone.probabilities) + [2, 0], axis=1))
    assert (cautious.probabilities.argmax(axis=1) == 0).all()
    assert skill.collapse(cautious, 0.2) == "", "the rare class is never the likeliest, and known all the same"
    assert skill.collapse(cautious, 0.0) != ""


def test_other_shares_in_validation_are_no_skill():
    """Uniform noise against a lopsided prior: it loses less on even rows, and knows nothing."""
    target = np.arange(600) % 3
    rows = HeadRows(untrained(600, 3, 0.05), target, np.arange(600), np.arange(600))
    for method in ("temperature", "bias", "vector"):
        with pytest.raises(DataError, match="no skill"):
            skill.check({"": rows}, {"": np.array([0.8, 0.15, 0.05])}, method, 0, None)


def test_a_temperature_at_its_bound_is_refused(splits):
    """Logits forty times too small and right: T would be 1 / 40."""
    head = splits[0].heads["tone"]
    val = spoiled(splits[0], "tone", softmax(np.log(head.probabilities) / 20, axis=1))
    with pytest.raises(DataError, match=r"head tone: temperature 0\.0\d+ is at the bound of \[0.05, 20.0\]"):
        run([val, splits[1]])


def test_vector_and_bias_need_every_class(splits):
    head = splits[0].heads["stance"]
    chosen = head.target != 2
    val = replace(splits[0], heads=splits[0].heads | {"stance": head.take(chosen)})
    with pytest.raises(DataError, match="head stance: a class has no validation rows, which bias scaling needs"):
        run([val, splits[1]], method="bias")
    assert run([val, splits[1]]).calibration.heads["stance"].method == "temperature"


def test_files_that_cannot_be_read_are_named(tmp_path):
    path = write(tmp_path / "x.parquet", *draw(1, 20))
    with pytest.raises(DataError, match="there is no column probability_mood_sad"):
        read_rows(path, Heads({"mood": ["sad", "glad"]}))
    with pytest.raises(DataError, match="the run has no class 'NONE'"):
        read_rows(path, Heads({"stance": ["AGAINST", "FAVOR"]}))
    with pytest.raises(DataError, match="no such predictions"):
        read_rows(tmp_path / "nothing.parquet", HEADS)


def test_a_stored_calibration_is_read_back_and_belongs_to_its_weights(splits, tmp_path):
    weights = tmp_path / "best.ckpt"
    weights.write_bytes(b"weights")
    made = run(splits, decision="bias").calibration
    known = {"labels": HEADS.classes, "sha256": digest(weights)}
    known |= {"heads": {name: asdict(head) for name, head in made.heads.items()}}
    folder, path = RunFolder(tmp_path), tmp_path / store.NAME
    assert store.read(folder, HEADS.classes, weights) is None
    path.write_text(json.dumps(known))
    found = store.read(folder, HEADS.classes, weights)
    assert found is not None
    assert found.heads == made.heads
    assert (found.apply(splits[1].probabilities) == made.apply(splits[1].probabilities)).all()
    sums = found.apply(splits[1].probabilities) @ np.array([[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]).T
    assert sums == pytest.approx(1, abs=1e-12)
    with pytest.raises(DataError, match="it is for other classes"):
        store.read(folder, dict(reversed(HEADS.classes.items())) | {"stance": ["a", "b", "c"]}, weights)
    weights.write_bytes(b"others")
    with pytest.raises(DataError, match="it was fitted for other weights"):
        store.read(folder, HEADS.classes, weights)
    path.write_text('{"heads": {}}')
    with pytest.raises(InputOutputError, match="damaged"):
        store.read(folder, HEADS.classes, weights)


def test_a_very_sure_model_is_calibrated_by_its_log_probabilities(tmp_path):
    """Logits 8 times those of the fixture have 8 times its temperature; probabilities cut at 1e-15 have not."""
    z, target = fixture()
    logs = log_softmax(8 * z, axis=1)
    labels = ["a", "b", "c"]
    facts = pa.table({"row": np.arange(60), "id": [str(i) for i in range(60)], "group": [str(i) for i in range(60)]})
    stored = np.exp(logs).astype(np.float32)
    table = prediction_table(facts, labels, np.arange(60), stored, target, np.zeros(60, np.float32), None, logs)
    write_table(tmp_path / "new.parquet", table)
    write_table(tmp_path / "old.parquet", table.select([n for n in table.column_names if not n.startswith("log_")]))
    new, old = (read_rows(tmp_path / f"{name}.parquet", Heads(labels)).heads[""] for name in ("new", "old"))
    fitted = fitting.fit("", new, "temperature", "none", 0)
    assert fitted.calibration.temperature == pytest.approx(8 * 1.662192, abs=2e-5)
    assert abs(fitting.fit("", old, "temperature", "none", 0).calibration.temperature - 8 * 1.662192) > 0.1
    assert (new.take(np.arange(5)).logits == logs[:5]).all()
    found = store.Calibration(Heads(labels), {"": store.HeadCalibration("temperature", [1 / 8] * 3, [0.0] * 3)}, "")
    assert found.apply(stored, logs) == pytest.approx(softmax(z, axis=1), abs=1e-12)
