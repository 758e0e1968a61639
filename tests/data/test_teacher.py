"""A teacher's predictions: which rows need one, what is refused, what training is served, and a run that learns."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import built, compose

from arena.config.compose import resolved
from arena.config.options import read
from arena.core.errors import DataError, InputOutputError
from arena.data.module.pairwise import PairData
from arena.data.source.toy import ToyReader
from arena.data.text.tokenizer import ByteTokenizer
from arena.evaluate import EvaluateOptions
from arena.task.pairwise import Pairwise

LABELS = ["model_a", "model_b", "tie"]


def truth(rows=300):
    """Id and true probabilities of the toy's rows."""
    table = ToyReader(rows=rows).table()
    return table["id"].to_pylist(), np.array(table["true_probability"].to_pylist())


def write(path, ids, probabilities, prefix="probability_", labels=LABELS):
    columns = {"id": ids} | {prefix + label: probabilities[:, k] for k, label in enumerate(labels)}
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    return str(path)


def make_data(teacher, labels=LABELS, **options):
    data = built(
        PairData, ToyReader(rows=300), ByteTokenizer(), labels, **{"batch_size": 16, **options}, teacher=teacher
    )
    data.setup("fit")
    return data


@pytest.mark.parametrize(
    ("name", "prefix"), [("t.parquet", "probability_"), ("t.csv", "winner_"), ("t.csv", "probability_")]
)
def test_training_batches_carry_the_teacher(tmp_path, name, prefix):
    """As a run folder holds it and as `arena.predict` writes it; in another order of rows and of classes."""
    ids, probabilities = truth()
    order = np.random.default_rng(0).permutation(300)
    path = write(
        tmp_path / name, [ids[i] for i in order], probabilities[order][:, [2, 0, 1]], prefix, ["tie", *LABELS[:2]]
    )
    data = make_data(path)
    table = data.table["id"].to_pylist()
    seen = 0
    for batch in data.train_dataloader():
        assert batch.teacher is not None
        assert str(batch.teacher.dtype) == "torch.float32"
        for row, said in zip(batch.row.tolist(), batch.teacher, strict=True):
            np.testing.assert_allclose(said.numpy(), probabilities[ids.index(table[row])], rtol=1e-6)
            seen += 1
    assert seen == len(data.rows("train"))
    assert all(batch.teacher is None for loader in (data.val_dataloader(), data.test_dataloader()) for batch in loader)
    assert all(batch.teacher is None for batch in make_data(None).train_dataloader())


def test_the_teacher_is_exchanged_with_the_answers(tmp_path):
    ids, probabilities = truth()
    data = make_data(write(tmp_path / "t.parquet", ids, probabilities), swap="both")
    table = data.table["id"].to_pylist()
    target = dict(zip(data.rows("train").tolist(), data.targets("train").tolist(), strict=True))
    found: dict[int, list] = {}
    for batch in data.train_dataloader():
        assert batch.teacher is not None
        for row, said, label in zip(batch.row.tolist(), batch.teacher.tolist(), batch.target.tolist(), strict=True):
            a, b, tie = probabilities[ids.index(table[row])]
            exchanged = said == pytest.approx([b, a, tie], rel=1e-6)
            assert exchanged or said == pytest.approx([a, b, tie], rel=1e-6)
            if abs(a - b) > 1e-3:
                assert label == ([1, 0, 2][target[row]] if exchanged else target[row])
            found.setdefault(row, []).append(exchanged)
    assert all(len(orders) == 2 for orders in found.values())


def test_only_training_rows_need_a_teacher(tmp_path):
    ids, probabilities = truth()
    plain = make_data(None)
    names = plain.table["id"].to_pylist()
    train = [names[row] for row in plain.rows("train")]
    rows = [ids.index(name) for name in train]
    make_data(write(tmp_path / "train.csv", train, probabilities[rows]))
    path = write(tmp_path / "less.csv", train[3:], probabilities[rows[3:]])
    with pytest.raises(DataError) as error:
        make_data(path)
    assert str(error.value).startswith(f"data.teacher={path}: 3 of {len(train)} training rows have no prediction there")
    assert f"(first: id {train[0]})" in str(error.value)


@pytest.mark.parametrize("row", [[0.6, -0.1, 0.5], [0.5, float("nan"), 0.5], [0.5, 0.3, 0.19], [0.6, 0.3, 0.2]])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_what_is_no_probability(tmp_path, row, name):
    ids, probabilities = truth()
    first = make_data(None)
    broken = first.table["id"].to_pylist()[first.rows("train")[0]]
    probabilities[ids.index(broken)] = row
    with pytest.raises(DataError, match=f"data.teacher=.*id {broken} has .* which are no probabilities"):
        make_data(write(tmp_path / name, ids, probabilities))


def test_rounded_probabilities_are_made_to_sum_to_one(tmp_path):
    ids, probabilities = truth()
    data = make_data(write(tmp_path / "t.csv", ids, probabilities.round(4)))
    batch = next(iter(data.train_dataloader()))
    assert batch.teacher is not None
    np.testing.assert_allclose(batch.teacher.sum(1).numpy(), 1, rtol=1e-6)


def test_other_classes(tmp_path):
    ids, probabilities = truth()
    three = write(tmp_path / "three.csv", ids, probabilities)
    ours = r"but data\.labels has 2 \(model_a, model_b\)"
    with pytest.raises(DataError, match=rf"it has 3 classes \(model_a, model_b, tie\), {ours}"):
        make_data(three, LABELS[:2], on_tie="drop")
    two = write(tmp_path / "two.csv", ids, probabilities[:, :2], labels=["model_b", "tie"])
    with pytest.raises(DataError, match=rf"it has 2 classes \(model_b, tie\), {ours}"):
        make_data(two, LABELS[:2], on_tie="drop")


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputOutputError, match=r"data\.teacher=.*none\.csv: no such file"):
        make_data(str(tmp_path / "none.csv"))
    (tmp_path / "x.csv").write_text("id,loss\n1,2\n")
    with pytest.raises(DataError, match="it needs the column id and one probability for each class"):
        make_data(str(tmp_path / "x.csv"))
    (tmp_path / "y.csv").write_text("row,probability_model_a,probability_model_b,probability_tie\n1,1,0,0\n")
    with pytest.raises(DataError, match="it needs the column id"):
        make_data(str(tmp_path / "y.csv"))
    ids, probabilities = truth()
    with pytest.raises(DataError, match=f"id {ids[0]} occurs twice"):
        make_data(write(tmp_path / "z.csv", [ids[0], *ids], probabilities[[0, *range(300)]]))


def test_columns_are_looked_at_before_the_rows_are_read(tmp_path):
    settings = resolved(compose("loss=distillation", "run_dir=out"))["data"]
    (tmp_path / "x.csv").write_text("id,probability_model_a,probability_model_b\n1,1,0\n")
    settings["target"]["teacher"] = str(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"it has 2 classes .* but data\.labels has 3"):
        Pairwise().check_data(settings, ToyReader(rows=10))
    settings["target"]["teacher"] = write(tmp_path / "y.csv", *truth(10))
    Pairwise().check_data(settings, ToyReader(rows=10))


@pytest.mark.slow
def test_a_run_learns_from_a_teacher(train_run, tmp_path):
    """The teacher knows the truth of the toy. Other losses refuse it; afterwards the run is rebuilt without it."""
    from arena import evaluate
    from arena.core.errors import UsageError

    ids, probabilities = truth(120)
    teacher = write(tmp_path / "t.parquet", ids, probabilities)
    with pytest.raises(UsageError, match=r"data\.teacher is given but loss=cross_entropy does not use it"):
        train_run("other", f"data.teacher={teacher}", "trainer.max_steps=1")
    run = train_run("run", f"data.teacher={teacher}", "loss=distillation", "loss.share=0.8", "trainer.max_steps=5")
    loss = run.read_result()["validation"]
    assert loss["loss"]["value"] == pytest.approx(loss["log_loss"]["value"], abs=1e-6)
    found = evaluate.evaluate(read(EvaluateOptions, [f"run={run.path}", "resamples=0"])).details
    assert found["metrics"]["log_loss"]["value"] == pytest.approx(loss["log_loss"]["value"], abs=1e-6)
    (tmp_path / "t.parquet").unlink()
    with pytest.raises(InputOutputError, match=r"data\.teacher=.*no such file"):
        evaluate.evaluate(read(EvaluateOptions, [f"run={run.path}", "resamples=0"]))
    path = tmp_path / "rows.jsonl"
    rows = ToyReader(rows=20, seed=5).table().drop_columns(["true_probability"]).to_pylist()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [f"run={run.path}", f"data.path={path}", "resamples=0", "verify=false"]
    assert evaluate.evaluate(read(EvaluateOptions, given)).rows == 20
