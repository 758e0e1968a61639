"""What every reference model promises: mirrored predictions, folders that read back, honest choices."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from support import ROOT

from arena.core.errors import InputOutputError, UsageError
from arena.core.types import UNLABELLED
from arena.data.source.examples import LABELLED_TEXT
from arena.data.source.rows import Rows
from arena.data.source.toy import ToyReader
from arena.data.target import labels as table
from arena.evaluation.baselines import logistic, model
from arena.evaluation.baselines.features import PairFeatures, TextFeatures
from arena.evaluation.baselines.fitting import Fitting, folds_of
from arena.evaluation.baselines.logistic import Block
from arena.evaluation.baselines.names import BASELINES, check_names
from arena.metric.probability import prior_probabilities

LABELS = ["model_a", "model_b", "tie"]


def swapped(made: pa.Table) -> pa.Table:
    other = {"response_a": "response_b", "response_b": "response_a"}
    return pa.table({name: made[other.get(name, name)] for name in made.column_names})


def fitting_on(made: pa.Table, labels: list[str]) -> tuple[Fitting, Rows]:
    rows = Rows.from_table(made, "test")
    target = table.class_indices(rows.metadata, labels)
    positions = np.flatnonzero(target >= 0)
    groups = np.array([" ".join(turns) for turns in made["prompt"].to_pylist()])[positions]
    return Fitting(PairFeatures(rows, positions), target[positions], groups, labels), rows


@pytest.fixture(scope="module")
def toy() -> pa.Table:
    return ToyReader(rows=400).table()


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "prior"])
@pytest.mark.parametrize("labels", [LABELS, ["model_b", "model_a"], ["tie", "model_a", "model_b"]])
def test_exchanging_the_answers_mirrors_the_prediction(toy, name, labels):
    fitting, rows = fitting_on(toy, labels)
    member = fitting.fit(name)
    there, back = member.predict(rows), member.predict(Rows.from_table(swapped(toy), "test"))
    assert there.std(axis=0).min() > 1e-3  # it says something
    np.testing.assert_allclose(there, back[:, table.swap_permutation(labels)], atol=1e-9)
    np.testing.assert_allclose(there.sum(axis=1), 1)


def test_labels_without_a_mirror_are_fitted_too(toy):
    fitting, rows = fitting_on(toy, ["model_a", "tie"])
    found = fitting.fit("tfidf").predict(rows)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert found.std(axis=0).min() > 1e-3


def test_the_prior_is_that_of_the_judge(toy):
    import torch

    fitting, rows = fitting_on(toy, LABELS)
    known = prior_probabilities(torch.from_numpy(np.bincount(fitting.target)), rows.num_rows)
    np.testing.assert_allclose(fitting.fit("prior").predict(rows), known.numpy(), atol=1e-7)


@pytest.mark.slow
def test_better_features_predict_better(toy):
    """Toy votes follow telling phrases, which words can see and lengths cannot."""
    more = ToyReader(rows=3000).table()
    fitting, _ = fitting_on(more.slice(0, 2000), LABELS)
    unseen = Rows.from_table(more.slice(2000), "unseen")
    target = table.class_indices(unseen.metadata, LABELS)
    loss = {
        name: -np.log(fitting.fit(name).predict(unseen)[np.arange(1000), target]).mean()
        for name in ("prior", "length", "tfidf")
    }
    assert loss["prior"] > loss["length"] > loss["tfidf"] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_a_fresh_process_reads_the_same_member(toy, name, tmp_path):
    fitting, rows = fitting_on(toy, LABELS)
    member = fitting.fit(name)
    member.save(tmp_path)
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom arena.data.source.rows import Rows\n"
        "from arena.data.source.toy import ToyReader\nfrom arena.evaluation.baselines import model\n"
        f"folder = Path({str(tmp_path)!r})\nrows = Rows.from_table(ToyReader(rows=400).table(), 'test')\n"
        f"np.save(folder / 'found.npy', model.load(folder, {name!r}).predict(rows))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), member.predict(rows))
    assert model.names(tmp_path) == [name]


def test_what_cannot_be_loaded_says_so(toy, tmp_path, monkeypatch):
    fitting, _ = fitting_on(toy, LABELS)
    fitting.fit("length").save(tmp_path)
    with pytest.raises(InputOutputError, match="no baseline 'lenght'; did you mean 'length'"):
        model.load(tmp_path, "lenght")
    monkeypatch.setattr(model, "VERSION", -1)
    with pytest.raises(InputOutputError, match="another version of arena \\(2, not -1\\)"):
        model.load(tmp_path, "length")
    (tmp_path / "length.json").write_text("{}")  # as version 1 had beside its numbers
    with pytest.raises(InputOutputError, match="another version"):
        model.load(tmp_path, "length")
    (tmp_path / "length.json").unlink()
    (tmp_path / "length.npz").write_bytes(b"PK")
    with pytest.raises(InputOutputError, match="cannot|can be read"):
        model.load(tmp_path, "length")


def test_folds_keep_groups_whole_and_are_even():
    groups = np.repeat(np.arange(60), np.random.default_rng(0).integers(1, 6, 60)).astype(str)
    fold = folds_of(groups, 3, 0)
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 10
    assert set(folds_of(np.array(["x"] * 5), 3, 0)) == {0}


def test_one_group_and_absent_classes_do_not_stop_a_fit(toy):
    rows = Rows.from_table(toy.slice(0, 12), "test")
    fitting = Fitting(PairFeatures(rows), np.array([0, 1] * 6), np.array(["g"] * 12), LABELS)
    found = fitting.fit("tfidf").predict(rows)
    assert np.isfinite(found).all()
    assert (found > 1e-4).all()


def test_rows_without_a_label_teach_a_head_nothing(toy):
    """A head that every other row has is fitted as from these rows alone, and predicts all of them."""
    texts = toy.rename_columns([{"prompt": "text", "response_a": "context"}.get(n, n) for n in toy.column_names])
    rows, number = Rows.from_table(texts, "test", LABELLED_TEXT), toy.num_rows
    words, some = TextFeatures(rows), np.arange(0, number, 2)
    target = np.stack([np.arange(number) % 3 // 2, np.full(number, UNLABELLED)], axis=1)
    target[some, 1] = np.arange(len(some)) % 3
    fitting = Fitting(words, target, np.arange(number), {"one": ["a", "b"], "two": ["x", "y", "z"]})
    member = fitting.fit("tfidf")
    offset = member.arrays["offset"][2:]
    np.testing.assert_allclose(np.exp(offset), (np.bincount(target[some, 1]) + 1) / (len(some) + 3))
    matrix, strength = (
        words.tfidf(member.arrays["words.columns"], member.arrays["words.idf"])[some],
        member.tuning["two"]["strength"],
    )
    whole = np.ones((len(some), 1), bool)
    [weights] = logistic.fit([Block(matrix, np.eye(3))], strength, target[some, 1], whole, offset)
    found = member.predict(rows)
    np.testing.assert_allclose(found[some, 2:], softmax(offset + matrix @ weights[:, 0], axis=1), atol=5e-3)
    np.testing.assert_allclose(found[:, :2].sum(axis=1), 1)
    assert fitting.out_of_fold("tfidf").shape == found.shape
    with pytest.raises(UsageError, match="length reads two answers; with several heads there are prior, tfidf"):
        fitting.fit("length")


def test_names_are_checked():
    assert check_names(["length", "prior"], "models") == ["length", "prior"]
    with pytest.raises(UsageError, match="models=lenght: .*did you mean 'length'"):
        check_names(["lenght"], "models")
    with pytest.raises(UsageError, match="twice"):
        check_names(["length", "length"], "models")


def test_length_beats_the_prior_on_human_judgements(shared):
    """And says what scikit-learn says that is given both orders of every training row."""
    from support import compose

    from arena.config import build
    from arena.config import compose as config

    path = shared / "data" / "pandalm_human" / "data.parquet"
    data = build.data(config.resolved(compose("data=pairs", f"data.path={path}", "run_dir=out")))
    data.divide_rows()
    from arena.evaluation.baselines.evaluation import fit_and_predict

    found = fit_and_predict(["prior", "length"], data, 0)
    target = data.targets("val")
    loss = {
        name: -np.log(outcome.probabilities["val"][np.arange(len(target)), target]).mean()
        for name, outcome in found.items()
    }
    assert loss["length"] < loss["prior"] - 0.02
    member, mirror = found["length"].baseline, np.array([1, 0, 2])
    sides = {}
    for split in ("train", "val"):
        features = PairFeatures(data.source, data.positions[data.rows(split)])
        sides[split] = [block.matrix for block in member.blocks(features, "length").values()]
    signed, even = sides["train"]
    rows = np.concatenate([np.concatenate([signed, even], axis=1), np.concatenate([-signed, even], axis=1)])
    outcome = np.concatenate([data.targets("train"), mirror[data.targets("train")]])
    known = LogisticRegression(C=member.tuning["length"]["strength"] / 2, max_iter=10_000, tol=1e-10).fit(rows, outcome)
    predicted = known.predict_proba(np.concatenate(sides["val"], axis=1))
    # scikit-learn fits an intercept without a penalty, arena begins at the class shares: nearly the same.
    direct = -np.log(predicted[np.arange(len(target)), target]).mean()
    assert loss["length"] == pytest.approx(direct, abs=0.01)
