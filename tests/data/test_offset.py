"""Learning on top of a baseline: what the batches carry, where training starts, what is refused, and all of it once."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support import built, compose

from arena import baseline
from arena.config import build
from arena.config.compose import resolved
from arena.config.options import read
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.run import RunFolder
from arena.data.module.pairwise import PairData
from arena.data.source.toy import ToyReader
from arena.data.target import offset as offsets
from arena.data.text.tokenizer import ByteTokenizer
from arena.model.formulation import with_offset
from arena.model.tiny import TinyClassifier
from arena.task.pairwise import Pairwise

LABELS = ["model_a", "model_b", "tie"]
ROWS = 300


def said(rows=ROWS, seed=0):
    """Ids of the toy's rows and probabilities at random."""
    probabilities = np.random.default_rng(seed).dirichlet([2.0, 2.0, 2.0], rows)
    return ToyReader(rows=rows).table()["id"].to_pylist(), probabilities


def write(path, ids, probabilities):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {f"probability_{label}": probabilities[:, k] for k, label in enumerate(LABELS)}
    pq.write_table(pa.table({"id": ids} | columns), path)
    return str(path)


def make_data(offset, **options):
    data = built(
        PairData, ToyReader(rows=ROWS), ByteTokenizer(), LABELS, **{"batch_size": 16, **options}, offset=offset
    )
    data.setup("fit")
    return data


def test_every_loader_carries_it_and_exchanged_rows_carry_it_mirrored(tmp_path):
    ids, probabilities = said()
    data = make_data(write(tmp_path / "o.parquet", ids, probabilities), swap="both")
    place = [ids.index(name) for name in data.table["id"].to_pylist()]
    expected = np.log(probabilities[place])
    served = []
    for batch in data.train_dataloader():
        assert batch.offset is not None
        for row, values in zip(batch.row.tolist(), batch.offset.tolist(), strict=True):
            exchanged = values == pytest.approx(expected[row][[1, 0, 2]].tolist(), abs=1e-5)
            assert exchanged or values == pytest.approx(expected[row].tolist(), abs=1e-5)
            served.append((row, exchanged))
    assert sorted(served) == [(row, order) for row in data.rows("train").tolist() for order in (False, True)]
    for loader in (data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            assert batch.offset is not None
            np.testing.assert_allclose(batch.offset.numpy(), expected[batch.row.numpy()], atol=1e-5)
    rows = data.read()
    for swapped, order in ((False, [0, 1, 2]), (True, [1, 0, 2])):
        for batch in data.predict_loader(rows, swapped)[0]:
            assert batch.offset is not None
            np.testing.assert_allclose(
                batch.offset.numpy(), np.log(probabilities)[batch.row.numpy()][:, order], atol=1e-5
            )
    assert next(iter(make_data(None).train_dataloader())).offset is None


@pytest.mark.parametrize(
    ("formulation", "ties"),
    [("joint", "davidson"), ("symmetric", "davidson"), ("score", "davidson"), ("score", "rao_kupper")],
)
def test_a_model_that_has_learned_nothing_says_what_the_baseline_says(tmp_path, formulation, ties):
    """Its head is zero, so its log loss is the baseline's, however the classes are shared out."""
    ids, probabilities = said()
    path = write(tmp_path / "o.parquet", ids, probabilities)
    node = resolved(compose(f"model.formulation={formulation}", f"model.ties={ties}", "run_dir=out"))
    data = make_data(path, formulation=formulation, templates=node["data"]["templates"], val_share=0.3)
    task = build.task(node)
    build.init_from_class_prior(task, data)
    task.model.eval()
    place = [ids.index(name) for name in data.table["id"].to_pylist()]
    for batch in data.val_dataloader():
        rows = batch.row.numpy()
        with torch.no_grad():
            found = torch.log_softmax(task.model(batch).double(), dim=1).numpy()
        np.testing.assert_allclose(found, np.log(probabilities[place])[rows], atol=2e-6)
        loss = -found[np.arange(len(rows)), batch.target.numpy()].mean()
        alone = -np.log(probabilities[place][rows, batch.target.numpy()]).mean()
        assert loss == pytest.approx(alone, abs=1e-6)


def test_the_sum_is_of_logits():
    model = TinyClassifier(LABELS)
    torch.nn.init.normal_(model.head.weight)
    model.eval()
    data = make_data(None)
    batch = next(iter(data.val_dataloader()))
    extra = torch.randn(len(batch), 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, shifted = model(batch), model(replace(batch, offset=extra))
    torch.testing.assert_close(shifted, plain + extra)
    assert with_offset(plain, batch) is plain


def test_a_row_without_one_is_an_error(tmp_path):
    ids, probabilities = said()
    path = write(tmp_path / "less.parquet", ids[5:], probabilities[5:])
    with pytest.raises(DataError) as error:
        make_data(path)
    message = str(error.value)
    first = next(name for name in make_data(None).table["id"].to_pylist() if name in ids[:5])
    assert message.startswith(f"data.offset={path}: 5 of 300 rows have no prediction there (first: id {first})")
    assert "python -m arena.predict run=BASELINE" in message
    assert "\n" not in message


def test_several_files_and_the_folder_of_a_run(tmp_path):
    ids, probabilities = said()
    cuts = {"train": slice(0, 200), "val": slice(200, 250), "test": slice(250, 300)}
    files = [
        write(tmp_path / "run" / "predictions" / f"{name}.parquet", ids[cut], probabilities[cut])
        for name, cut in cuts.items()
    ]
    assert [str(path) for path in offsets.files_of(str(tmp_path / "run"))] == files
    for given in (files, str(tmp_path / "run")):
        found = offsets.log_probabilities(given, ids[::-1], LABELS)
        np.testing.assert_allclose(found, np.log(probabilities[::-1]), atol=1e-6)
    with pytest.raises(DataError, match=f"id {ids[0]} is in another file of data.offset too"):
        offsets.log_probabilities([*files, files[0]], ids, LABELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputOutputError, match="no predictions in this folder; name a run of arena.baseline"):
        offsets.files_of(str(tmp_path / "empty"))


def test_certainty_is_bounded(tmp_path):
    """A class with the probability 0 could never be learned, and its row would have an infinite loss."""
    path = write(tmp_path / "o.parquet", ["x"], np.array([[1.0, 0.0, 0.0]]))
    found = offsets.log_probabilities(path, ["x"], LABELS)
    assert found[0].tolist() == pytest.approx([0, math.log(offsets.FLOOR), math.log(offsets.FLOOR)])


def test_preflight_looks_at_the_files(tmp_path):
    ids, probabilities = said()
    path = write(tmp_path / "o.parquet", ids, probabilities)
    data = resolved(compose(f"data.offset={path}", "run_dir=out"))["data"]
    Pairwise().check_data(data, None)
    with pytest.raises(DataError, match=r"data\.offset=.*it has 3 classes"):
        Pairwise().check_data(data | {"labels": LABELS[:2]}, None)
    with pytest.raises(InputOutputError, match=r"data\.offset=.*nowhere\.csv: no such file"):
        Pairwise().check_data(
            data | {"target": data["target"] | {"offset": [path, str(tmp_path / "nowhere.csv")]}}, None
        )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A baseline of 300 toy rows."""
    folder = tmp_path_factory.mktemp("offset") / "base"
    given = [f"output={folder}", "data.limit=300", "resamples=0", "models=[prior,length]"]
    baseline.baseline(read(baseline.BaselineOptions, given))
    return RunFolder(folder)


@pytest.mark.slow
def test_the_baseline_predicts_its_training_rows_out_of_fold(base):
    """Each fold by a model that was fitted on the others: refitted here with the chosen strength, rows of a fold have
    the probabilities that were written."""
    from arena.evaluation.baselines import fitting, logistic

    settings = resolved(compose("data.limit=300", "run_dir=out"))
    data = build.data(settings)
    data.divide_rows()
    fitted = fitting.fitting_of(data, 0)
    member = fitted.fit("length")
    table = pq.read_table(base.path / "predictions" / "length" / "train.parquet")
    assert table["id"].to_pylist() == data.covariates("train")["id"].to_pylist()
    written = np.stack([table[f"probability_{label}"].to_numpy() for label in LABELS], axis=1)
    blocks = list(member.blocks(fitted.features, "length").values())
    strength, offset = member.tuning["length"]["strength"], member.arrays["offset"]
    for held_out in range(3):
        inside = fitted.fold != held_out
        groups = data.groups("train")
        assert not set(groups[inside]) & set(groups[~inside])
        weights = logistic.fit(blocks, strength, fitted.target, inside[:, None], offset)
        found = member.probabilities(offset + logistic.scores(blocks, weights)[:, 0])
        np.testing.assert_allclose(written[~inside], found[~inside], atol=2e-3)
    result = base.read_result()["members"]["length"]["out_of_fold"]
    loss = -np.log(written[np.arange(len(written)), data.targets("train")]).mean()
    assert result == {"log_loss": pytest.approx(loss, abs=1e-5), "folds": 3}
    best = base.read_result()["best_member"]
    assert base.predictions("train").read_bytes() == (base.path / f"predictions/{best}/train.parquet").read_bytes()


@pytest.mark.slow
def test_from_the_baseline_to_a_prediction(base, train_run, arena, tmp_path):
    run = train_run("top", "data.limit=300", "data.batch_size=16", f"data.offset={base.path}", "trainer.max_steps=2")
    result = run.read_result()
    assert result["status"] == "completed"
    # Two steps of a small model: still about the baseline's loss, which a model without it would not have.
    assert result["test"]["log_loss"]["value"] == pytest.approx(
        base.read_result()["test"]["log_loss"]["value"], abs=0.05
    )
    rows = ToyReader(rows=40, seed=7).table()
    new = tmp_path / "new.jsonl"
    with open(new, "w") as file:
        for row in rows.select(["id", "prompt", "response_a", "response_b"]).to_pylist():
            file.write(json.dumps(row) + "\n")
    place = [f"data.path={new}"]
    refused = arena("predict", f"run={run.path}", *place, "output=p.csv")
    assert (refused.returncode, refused.stderr.count("\n")) == (65, 1)
    assert f"python -m arena.predict run={base.path} data.path={new}" in refused.stderr
    made = arena("predict", f"run={base.path}", *place, "output=base.parquet")
    assert made.returncode == 0, made.stderr
    offset = f"data.offset={tmp_path / 'base.parquet'}"
    done = arena("predict", f"run={run.path}", *place, offset, "output=p.parquet")
    assert done.returncode == 0, done.stderr
    both = arena("predict", f"run=[{run.path},{base.path}]", *place, offset, "weights=[1,3]", "output=both.parquet")
    assert both.returncode == 0, both.stderr
    alone, below, mixed = (
        np.stack([pq.read_table(tmp_path / name)[f"winner_{label}"].to_numpy() for label in LABELS], axis=1)
        for name in ("p.parquet", "base.parquet", "both.parquet")
    )
    assert 0 < np.abs(alone - below).max() < 0.2
    np.testing.assert_allclose(mixed, (alone + 3 * below) / 4, atol=1e-6)


@pytest.mark.slow
def test_an_offset_for_a_run_without_one_is_refused(train_run, tmp_path):
    from arena.config import restore

    run = train_run("plain", "trainer.max_steps=1", "test=false")
    with pytest.raises(UsageError, match="was trained without one"):
        restore.settings_of(run, {"path": "x.csv", "target": {"offset": "o.csv"}})
