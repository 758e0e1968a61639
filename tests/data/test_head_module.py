"""Texts with several labels: what is read, masked, kept together, served; and what is refused, in one line."""

import csv
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support import built

from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.heads import Heads
from arena.core.types import UNLABELLED
from arena.data.loading.sampling import HeadPlan, effective_sample_size
from arena.data.module.multihead import HeadData
from arena.data.source.classes import classes_of
from arena.data.source.head_reader import HeadReader
from arena.data.text.tokenizer import ByteTokenizer

HEADS = {"stance": ["AGAINST", "FAVOR", "NONE"], "tone": ["calm", "loud"]}


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def rows_of(number=120):
    """Every fifth row has no stance, every seventh no tone, and the 35th neither."""
    return [
        {
            "text": f"text {i} about thing {i * i}",
            "topic": f"topic {i % 3}",
            "stance": "" if i % 5 == 0 else HEADS["stance"][(i * 7) % 3],
            "tone": "" if i % 7 == 0 else HEADS["tone"][i % 2],
        }
        for i in range(1, number + 1)
    ]


def data_of(path, text: str | list[str] = "text", labels=None, group=None, **options) -> HeadData:
    labels = HEADS if labels is None else labels
    data = built(HeadData, HeadReader(labels, text, group=group), ByteTokenizer(), labels, path, **options)
    data.setup("fit")
    return data


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "rows.csv", rows_of())


def test_missing_labels_are_masked_and_rows_without_any_are_left_out(path):
    data = data_of(path)
    summary = data.summary()
    assert summary["rows_read"] == 120
    assert summary["rows_dropped"] == {"unlabelled": 3}  # 35, 70, 105
    together = np.concatenate([data.targets(split) for split in ("train", "val", "test")])
    assert (together[:, 0] == UNLABELLED).sum() == 24 - 3
    assert (together[:, 1] == UNLABELLED).sum() == 17 - 3
    labelled = {head: sum(summary["labelled"][s][head] for s in ("train", "val", "test")) for head in HEADS}
    assert labelled == {"stance": 120 - 24, "tone": 120 - 17}
    for split in ("train", "val", "test"):
        shares = summary["class_shares"][split]
        assert sum(shares[f"stance_{label}"] for label in HEADS["stance"]) == pytest.approx(1)


def test_a_batch_has_a_target_for_each_head_and_counts_rows_with_any_label(path):
    data = data_of(path, batch_size=16)
    seen = []
    for batch in data.train_dataloader():
        assert batch.target.shape == (len(batch), 2)
        assert batch.target.dtype == torch.int64
        assert batch.supervised == len(batch)
        assert bool((batch.weight == 1).all())
        for row, target in zip(batch.row.tolist(), batch.target, strict=True):
            assert target.tolist() == data._target[row].tolist()
        seen += batch.row.tolist()
    assert sorted(seen) == data.rows("train").tolist()


def test_context_stands_before_the_text_with_a_separator_between(path):
    data = data_of(path, text=["text", "topic"], batch_size=1)
    batch = next(iter(data.train_dataloader()))
    ids = batch.input_ids[0].numpy()
    row = int(batch.row)
    facts = data.table["id"][row].as_py()
    expected = rows_of()[int(facts) - 1]
    separator = int(np.flatnonzero(ids == 258)[0])
    assert bytes(ids[1:separator].astype(np.uint8)).decode() == expected["topic"]
    assert bytes(ids[separator + 1 : -1].astype(np.uint8)).decode() == expected["text"]


def test_a_template_puts_words_around_the_text(path):
    data = data_of(path, template="Say: {text}!")
    batch = next(iter(data.train_dataloader()))
    assert bytes(batch.input_ids[0, 1:6].numpy().astype(np.uint8)).decode() == "Say: "


@pytest.mark.parametrize(
    ("template", "text"), [("no text", "text"), ("{text} {context}", "text"), ("{text}", ["text", "topic"])]
)
def test_a_template_that_does_not_fit_the_columns_is_refused(path, template, text):
    with pytest.raises(UsageError, match="data.template"):
        data_of(path, text=text, template=template)


def test_copies_repeat_every_row_in_training_only(path):
    data = data_of(path, copies=2, batch_size=10)
    batch = next(iter(data.train_dataloader()))
    assert batch.copies == 2
    assert len(batch) == 20
    assert batch.supervised == 20
    assert torch.equal(batch.row[:10], batch.row[10:])
    assert torch.equal(batch.input_ids[:10], batch.input_ids[10:])
    validation = data.val_dataloader()
    assert all(batch.copies == 1 for batch in validation)


def test_augmentation_changes_training_texts_only_and_anew_in_each_epoch(path):
    plain, data = data_of(path, batch_size=8), data_of(path, batch_size=8, augment={"token_dropout": 0.3})
    first, again = (list(loader) for loader in (data.train_dataloader(), data.train_dataloader()))
    before = list(plain.train_dataloader())
    assert sum(int(b.attention_mask.sum()) for b in first) < 0.85 * sum(int(b.attention_mask.sum()) for b in before)
    texts = [{int(r): ids[m > 0].tolist() for r, ids, m in zip(b.row, b.input_ids, b.attention_mask, strict=True)}
             for b in (*first, *again)]  # fmt: skip
    half = len(first)
    one, two = ({k: v for part in parts for k, v in part.items()} for parts in (texts[:half], texts[half:]))
    assert one.keys() == two.keys()
    assert sum(one[row] != two[row] for row in one) > len(one) / 2
    for mine, theirs in zip(data.val_dataloader(), plain.val_dataloader(), strict=True):
        assert torch.equal(mine.input_ids, theirs.input_ids)


def test_equal_texts_with_other_labels_stay_together_and_are_counted(tmp_path, caplog):
    rows = rows_of(60)
    for i in range(10):
        rows[i]["text"] = "the very same text"
        rows[i]["stance"] = HEADS["stance"][i % 2]
    with caplog.at_level(logging.WARNING):
        data = data_of(write(tmp_path / "rows.csv", rows))
    groups = np.concatenate([np.repeat(split, len(data.rows(split))) for split in ("train", "val", "test")])
    order = np.concatenate([data.rows(split) for split in ("train", "val", "test")])
    same = [groups[i] for i in range(len(order)) if data.table["id"][int(order[i])].as_py() in map(str, range(1, 11))]
    assert len(same) == 10
    assert len(set(same)) == 1
    assert data.summary()["notes"]["W_CONFLICT"] == 10
    assert "10 rows have the text of another row and other labels" in caplog.text


def test_rows_of_one_group_are_never_divided(tmp_path):
    rows = [row | {"user": f"user {i // 6}"} for i, row in enumerate(rows_of())]
    data = data_of(write(tmp_path / "rows.csv", rows), group="user")
    users = {}
    for split in ("train", "val", "test"):
        for row in data.rows(split):
            number = int(data.table["id"][int(row)].as_py()) - 1
            assert users.setdefault(number // 6, split) == split


def test_a_class_of_one_row_is_warned_of_and_trains(tmp_path, caplog):
    rows = rows_of()
    rows[0]["stance"] = "SOLE"
    path = write(tmp_path / "rows.csv", rows)
    with caplog.at_level(logging.WARNING):
        data = data_of(path, labels=classes_of(path, ["stance", "tone"]))
    assert "stance/SOLE (1)" in caplog.text
    where = data.heads.columns.index("stance_SOLE")
    assert [int(data.class_counts(split)[where]) for split in ("train", "val", "test")] == [1, 0, 0]


def test_an_unknown_label_in_a_validation_file_is_named(tmp_path, path):
    rows = rows_of(30)
    rows[3]["stance"] = "FAVOUR"
    val = write(tmp_path / "val.csv", rows)
    with pytest.raises(DataError) as raised:
        data_of(path, val_path=val)
    said = str(raised.value)
    assert "val.csv: row 4, column stance" in said
    assert "did you mean 'FAVOR'" in said
    data = data_of(path, val_path=val, on_bad_row="quarantine", max_rejected=0.2)
    assert data.summary()["reject_codes"] == {"E_LABEL": 1}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"stance": None}, DataError, "missing column stance"),
        ({"text": None}, DataError, "missing column text"),
    ],
)
def test_a_missing_column_is_named(tmp_path, change, kind, message):
    rows = [{k: v for k, v in row.items() if k not in change} for row in rows_of(20)]
    with pytest.raises(kind, match=message):
        data_of(write(tmp_path / "rows.csv", rows))


def test_a_head_cannot_be_the_text(path):
    with pytest.raises(UsageError, match=r"data\.text=stance: it is one of data\.heads too"):
        data_of(path, text="stance")


def test_splits_and_class_tables_are_written(tmp_path, path):
    data = data_of(path)
    data.write_splits(tmp_path / "run" / "splits.parquet")
    assert pq.read_table(tmp_path / "run" / "splits.parquet").num_rows == 117
    lines = [line.split("\t") for line in (tmp_path / "run" / "classes.tsv").read_text().splitlines()]
    assert lines[0][:5] == ["head", "class", "train", "val", "test"]
    assert [line[:2] for line in lines[1:]] == [[h, c] for h, classes in HEADS.items() for c in classes]
    counts = np.array([list(map(int, line[2:5])) for line in lines[1:]])
    assert counts.sum(axis=1).tolist() == [
        sum(row[head] == label for row in rows_of()) for head, labels in HEADS.items() for label in labels
    ]


def test_hold_out_rows_take_their_copies_out_of_training(tmp_path, path):
    val = write(tmp_path / "val.csv", rows_of(10))
    data = data_of(path, val_path=val)
    assert data.summary()["rows_dropped"]["leaked"] == 10
    with pytest.raises(DataError, match=r"data\.on_leak=drop"):
        data_of(path, val_path=val, on_leak="error")


# Sampling.


def weights_of(plan: HeadPlan, target: np.ndarray, heads: Heads) -> np.ndarray:
    found = plan.weights(target, heads)
    assert found is not None
    return found


def test_weights_are_the_largest_over_heads_and_copies_are_capped():
    heads = Heads(HEADS)
    target = np.array([[0, 0]] * 8 + [[1, 0]] * 2 + [[2, 1]] + [[UNLABELLED, 0]])
    weights = weights_of(HeadPlan("balanced"), target, heads)
    # stance: 8, 2, 1 rows -> 1, 4, 8; tone: 11, 1 rows -> 1, 11.
    assert weights.tolist() == [1.0] * 8 + [4.0] * 2 + [11.0] + [1.0]
    half = weights_of(HeadPlan("balanced", power=0.5), target, heads)
    assert half == pytest.approx(np.sqrt(weights))
    given = weights_of(HeadPlan(multipliers={"stance": {"FAVOR": 3.0}}), target, heads)
    assert given.tolist() == [1.0] * 8 + [3.0] * 2 + [1.0, 1.0]
    assert HeadPlan().weights(target, heads) is None
    sampler = HeadPlan("balanced", max_copies=2).sampler(np.arange(12), target, heads)
    assert sampler.copies is not None
    assert sampler.copies.max() == pytest.approx(2)
    assert sampler.copies.mean() == pytest.approx(1)


def test_the_effective_sample_size_of_full_balancing():
    # Shares .47, .47, .06, each class brought to a third: the notes' 0.430 of the rows; their square roots 0.871.
    counts = np.array([470, 470, 60])
    for power, share in ((1.0, 0.430), (0.5, 0.871)):
        weights = np.repeat((470 / counts) ** power, counts)
        assert effective_sample_size(weights) / 1000 == pytest.approx(share, abs=5e-4)


def test_sampled_class_counts_are_those_of_the_epochs_that_are_drawn(path):
    data = data_of(path, sampling="balanced", batch_size=16)
    drawn = np.zeros(data.heads.width)
    epochs = 60
    for _ in range(epochs):
        for batch in data.train_dataloader():
            for place, (size, where) in enumerate(zip(data.heads.sizes, data.heads.slices.values(), strict=True)):
                index = batch.target[:, place].numpy()
                drawn[where] += np.bincount(index[index >= 0], minlength=size)
    assert drawn / epochs == pytest.approx(data.sampled_class_counts(), rel=0.03)


@pytest.mark.parametrize(
    ("multipliers", "message"),
    [
        ({"stanze": {"FAVOR": 2.0}}, "no such head; did you mean 'stance'"),
        ({"stance": {"FAVOUR": 2.0}}, "no such class; did you mean 'FAVOR'"),
        ({"stance": {"FAVOR": 0}}, "greater than 0"),
    ],
)
def test_multipliers_of_nothing_are_refused(multipliers, message):
    with pytest.raises(UsageError, match=message):
        HeadPlan(multipliers=multipliers).check(Heads(HEADS))


# Pseudo-labels.


def pseudo(tmp_path, number=8):
    rows = [{"id": f"p{i}", "text": f"new text {i} {i * 17}", "stance": "NONE", "tone": "loud"} for i in range(number)]
    told = []
    for i in range(number):
        stance, tone = (0.95, 0.05, 0.0) if i % 2 else (0.5, 0.3, 0.2), (0.97, 0.03) if i % 4 < 2 else (0.6, 0.4)
        names = Heads(HEADS).columns
        told.append({"id": f"p{i}"} | {f"probability_{n}": v for n, v in zip(names, (*stance, *tone), strict=True)})
    return write(tmp_path / "pseudo.csv", rows), write(tmp_path / "told.csv", told)


def test_pseudo_labels_train_where_the_run_was_sure_and_mask_the_rest(tmp_path, path):
    rows, told = pseudo(tmp_path)
    plain = data_of(path)
    data = data_of(path, pseudo_path=rows, pseudo_labels=told, pseudo_confidence=0.9, pseudo_weight=0.5)
    # i = 0..7: stance is sure for odd i, tone for i % 4 < 2; neither for 2 and 6.
    assert data.summary()["rows_dropped"]["unsure"] == 2
    added = data.rows("train")[len(plain.rows("train")) :]
    found = {data.table["id"][int(row)].as_py(): data._target[row].tolist() for row in added}
    assert found == {
        "p0": [UNLABELLED, 0], "p1": [0, 0], "p3": [0, UNLABELLED], "p4": [UNLABELLED, 0],
        "p5": [0, 0], "p7": [0, UNLABELLED],
    }  # fmt: skip
    assert data.table["weight"].to_numpy()[added].tolist() == [0.5] * 6
    for split in ("val", "test"):
        assert data.rows(split).tolist() == plain.rows(split).tolist()


def replace(path, old, new):
    Path(path).write_text(Path(path).read_text().replace(old, new))


def test_a_pseudo_labelled_copy_of_a_validation_text_never_trains(tmp_path, path):
    plain = data_of(path)
    number = int(plain.table["id"][int(plain.rows("val")[0])].as_py())
    rows, told = pseudo(tmp_path, 2)
    replace(rows, "new text 1 17", rows_of()[number - 1]["text"])
    data = data_of(path, pseudo_path=rows, pseudo_labels=told)
    assert data.summary()["rows_dropped"]["leaked"] == 1


def test_predictions_without_the_heads_are_refused(tmp_path, path):
    rows, told = pseudo(tmp_path)
    replace(told, "probability_tone_calm", "probability_mood_calm")
    with pytest.raises(DataError, match="no column probability_tone_calm"):
        data_of(path, pseudo_path=rows, pseudo_labels=told)
    with pytest.raises(UsageError, match=r"needs data\.pseudo_labels"):
        data_of(path, pseudo_path=rows)
    with pytest.raises(InputOutputError, match="no such file"):
        data_of(path, pseudo_path=rows, pseudo_labels=str(tmp_path / "none.csv"))


# Real data.


def test_the_ten_heads_of_real_hotel_reviews(shared):
    path = str(shared / "data" / "indonlu_hoasa" / "data.parquet")
    names = ["ac", "air_panas", "bau", "general", "kebersihan", "linen", "service", "sunrise_meal", "tv", "wifi"]
    data = data_of(path, labels=classes_of(path, names), near_duplicates=0.8)
    assert data.summary()["rows_kept"] == 2283
    counts = np.stack([data.class_counts(split) for split in ("train", "val", "test")])
    large = counts.sum(axis=0) >= 100
    shares = counts[:, large] / counts[:, large].sum(axis=0)
    assert np.abs(shares - np.array([[0.7], [0.15], [0.15]])).max() < 0.02
