"""The data of prompts and replies as a whole: divided, counted, served, resumed; on real conversations too."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support import built, compose

from arena.core.errors import DataError, UsageError
from arena.core.types import UNLABELLED
from arena.data.loading.loader import EvaluationLoader, without_targets
from arena.data.module.sft import ReplyData
from arena.data.source.reply_reader import ReplyReader
from arena.data.source.toy_replies import ToyReplies
from arena.data.text.tokenizer import ByteTokenizer, HubTokenizer

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "val", "test")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def rows_of(number=120):
    """Prompts of one to three words; every sixth repeats the one before."""
    draw = np.random.default_rng(1)
    rows = []
    for i in range(number):
        prompt = rows[-1]["prompt"] if i % 6 == 5 else " ".join([f"question {i}"] + ["more"] * int(draw.integers(3)))
        rows.append({"prompt": prompt, "reply": f"answer {i * i}", "user": f"u{i // 4}", "weight": 1 + i % 2})
    return rows


def data_of(path, group=None, **options) -> ReplyData:
    options = {"val_share": 0.15, "test_share": 0.15, "batch_size": 8, "window": 4, **options}
    data = built(ReplyData, ReplyReader(group=group), ByteTokenizer(), path, **options)
    data.setup("fit")
    return data


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "rows.jsonl", rows_of())


def test_only_tokens_of_the_reply_are_learned(path):
    data = data_of(path)
    seen = []
    for batch in data.train_dataloader():
        for place, row in enumerate(batch.row.tolist()):
            known = rows_of()[int(data.table["id"][row].as_py()) - 1]
            target = batch.target[batch.segment == place]
            learned = target[target != UNLABELLED]
            assert data.tokenizer.decode(learned.numpy()) == known["reply"]
            assert learned[-1] in data.end_ids
            ids = batch.input_ids[batch.segment == place].tolist()
            assert ids == [*data.prompt_ids(row).tolist(), *data.sequences.reply(row).tolist()]
            assert learned.tolist() == data.sequences.reply(row).tolist()
            assert data.tokenizer.decode(data.prompt_ids(row)) == known["prompt"] + "\n"
            assert batch.weight[place] == known["weight"]
        seen += batch.row.tolist()
    assert sorted(seen) == data.rows("train").tolist()


def test_what_the_data_tell_of_themselves(tmp_path, path, caplog):
    with caplog.at_level(logging.INFO):
        data = data_of(path, max_length=20, max_reply_length=10)
    summary = data.summary()
    assert summary["rows_read"] == summary["rows_kept"] == 120
    replies = [len(row["reply"]) + 1 for row in rows_of()]
    assert summary["truncated"]["replies"] == pytest.approx(np.mean(np.array(replies) > 10))
    assert summary["truncated"]["prompts"] > 0.5
    json.dumps(summary, allow_nan=False)
    for split in SPLITS:
        ids = [data.sequences.reply(row) for row in data.rows(split)]
        counts = np.bincount(np.concatenate(ids), minlength=260)
        assert data.class_counts(split).tolist() == counts.tolist()
        assert summary["reply_tokens"][split] == counts.sum() == data.targets(split).sum()
        known = [rows_of()[int(id) - 1] for id in data.covariates(split)["id"].to_pylist()]
        assert data.reference_replies(split) == [row["reply"] for row in known]
        assert data.prompt_texts(split) == [row["prompt"] for row in known]
        table = data.covariates(split)
        assert table["row"].to_pylist() == data.rows(split).tolist()
        assert table["reply_tokens"].to_pylist() == [len(each) for each in ids]
        assert (np.array(table["prompt_tokens"]) + np.array(table["reply_tokens"])).tolist() == table[
            "tokens"
        ].to_pylist()
    assert data.sampled_class_counts().tolist() == data.class_counts("train").tolist()
    assert float(data.class_prior(torch.from_numpy(data.sampled_class_counts())).shares.sum()) == pytest.approx(1)
    assert "lost their oldest tokens" in caplog.text
    assert "template plain, replies end with 259" in caplog.text
    data.write_splits(tmp_path / "splits.parquet")
    assert pq.read_table(tmp_path / "splits.parquet").num_rows == 120


def test_equal_prompts_and_groups_are_never_divided(path):
    for group, key in ((None, "prompt"), ("user", "user")):
        data, found = data_of(path, group), {}
        for split in SPLITS:
            for row in data.rows(split):
                name = rows_of()[int(data.table["id"][int(row)].as_py()) - 1][key]
                assert found.setdefault(name, split) == split
        assert set(found.values()) == set(SPLITS)


def test_conversations_that_begin_alike_are_apart_and_those_that_are_alike_together(tmp_path):
    rows = [{"prompt": ["Hi!", f"Hello {i // 2}.", "So?"], "reply": f"{i}"} for i in range(40)]
    rows += [{"prompt": [f"Opened {i // 2}", "So?"], "reply": f"{i}"} for i in range(20)]
    data = data_of(write(tmp_path / "rows.jsonl", rows))
    groups = data.table["group"].to_pylist()
    assert len(set(groups)) == 30
    assert all(groups[i] == groups[i + 1] for i in range(0, 60, 2))
    near = [
        {"prompt": "a long prompt of many words, the same but for the end " * 3 + str(i), "reply": "r"}
        for i in range(9)
    ]
    together = data_of(write(tmp_path / "near.jsonl", [*rows, *near]), near_duplicates=0.8)
    assert len(set(together.table["group"].to_pylist()[60:])) == 1


def test_hold_out_files_and_limits(tmp_path, path):
    held = write(tmp_path / "held.jsonl", rows_of()[:12])
    data = data_of(path, test_path=held, limit=60)
    assert len(data.rows("test")) == 12
    assert data.summary()["rows_dropped"] == {"limit": 60, "leaked": 12}
    with pytest.raises(DataError, match="data.on_leak=drop"):
        data_of(path, test_path=held, on_leak="error")


def test_packing_serves_the_same_rows_in_the_same_number_of_steps(path):
    plain, packed = data_of(path), data_of(path, packing=True, max_length=100)
    one, other = list(plain.train_dataloader()), list(packed.train_dataloader())
    assert [b.row.tolist() for b in one] == [b.row.tolist() for b in other]
    assert sum(b.input_ids.shape[0] for b in other) < 0.6 * sum(b.input_ids.shape[0] for b in one)
    assert [b.supervised for b in one] == [b.supervised for b in other]
    assert not any(batch.packed for batch in packed.val_dataloader())
    with pytest.raises(UsageError, match="no two pairs fit into data.max_length=23"):
        data_of(path, packing=True, max_length=23)
    with pytest.raises(UsageError, match="nothing to pack"):
        data_of(path, packing=True, batch_size=1)


def test_a_loader_goes_on_where_another_one_stopped(path):
    data = data_of(path, packing=True)
    whole = [batch.row.tolist() for _ in range(2) for batch in data.train_dataloader()]
    again = data_of(path, packing=True)
    loader = iter(again.train_dataloader())
    begun = [next(loader).row.tolist() for _ in range(3)]
    resumed = data_of(path, packing=True)
    resumed.load_state_dict(again.state_dict())
    rest = [batch.row.tolist() for _ in range(2) for batch in resumed.train_dataloader()]
    assert begun + rest == whole


def test_processes_share_the_rows_and_filled_up_batches_count_nothing(path):
    data = data_of(path, eval_batch_size=5)
    rows = data.rows("val")
    parts = [list(EvaluationLoader(rows, data.collate(False), 5, rank=rank, world_size=3)) for rank in range(3)]
    assert len({len(part) for part in parts}) == 1
    counted = [batch.row.tolist() for part in parts for batch in part if batch.supervised]
    assert sorted(sum(counted, [])) == rows.tolist()
    empty = without_targets(parts[0][0])
    assert bool((empty.target == UNLABELLED).all())
    assert not bool(empty.weight.any())


def test_prompts_without_replies_can_be_served(tmp_path):
    data = built(
        ReplyData, ReplyReader(), ByteTokenizer(), write(tmp_path / "x.jsonl", [{"prompt": "p"}, {"prompt": "longer"}])
    )
    rows = data.read()
    loader, tokens = data.predict_loader(rows)
    assert [batch.row.tolist() for batch in loader] == [[1, 0]]
    assert data.tokenizer.decode(tokens.prompt(1)) == "longer\n"


# Generated stories.


def test_toy_stories_follow_their_distribution():
    rows = ToyReplies(4000, seed=3).table().to_pylist()
    seen = [0.0, 0.0]
    surprise = []
    for row in rows:
        known = ToyReplies.distribution(row["prompt"][0])
        assert sum(known.values()) == pytest.approx(1)
        reply = row["reply"][0]
        surprise.append(-np.log(known[reply]))
        for place, frequent in enumerate(list(known)[:2]):
            seen[place] += reply == frequent
    # Binomial: 4000 draws, five standard deviations.
    for count, share in zip(seen, (0.5, 0.26), strict=True):
        assert abs(count / 4000 - share) < 5 * np.sqrt(share * (1 - share) / 4000)
    entropy = np.mean([ToyReplies.entropy(row["prompt"][0]) for row in rows])
    assert abs(np.mean(surprise) - entropy) < 5 * np.std(surprise) / np.sqrt(4000)
    short = ToyReplies(50, seed=3).table().to_pylist()
    assert short == rows[:50]
    assert ToyReplies(50, seed=4).table().to_pylist() != short
    assert 0.6 < len({row["prompt"][0] for row in rows}) / 4000 < 0.8


def test_toy_stories_need_no_file():
    data = built(ReplyData, ToyReplies(300), ByteTokenizer(), separator=" ", max_length=400, batch_size=32)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert len(batch) == 32
    assert not data.sequences.is_cut.any()
    whole = data.tokenizer.decode(batch.input_ids[0].numpy())
    assert ". " in whole


@pytest.mark.parametrize("name", ["sft", "toy_replies"])
def test_the_configurations_fit_the_classes(name, tmp_path, monkeypatch, path):
    from omegaconf import OmegaConf

    from arena.config import build
    from arena.core import schema
    from arena.task.sft import Sft

    named = [f"data.path={path}"] if name == "sft" else ["toy_rows=80"]
    config = compose(f"data={name}", *named, f"run_dir={tmp_path}")
    keys = ["data", "tokenizer", "seed", "toy_rows", "run_dir", "suggested"]
    data = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True)
    assert isinstance(data, dict)
    schema.check(data)
    Sft().check_data(data["data"], build.instantiate(data["data"]["reader"]))
    made = build.instantiate(data["data"])
    made.setup("fit")
    assert made.table.num_rows == (120 if name == "sft" else 80)


# Real data.


@pytest.mark.slow
def test_real_conversations_stay_whole(shared):
    reader = ReplyReader(prompt="context", reply="reply", group="conversation")
    tokenizer = HubTokenizer("Qwen", path=str(shared / "models" / "qwen_tokenizer"))
    path = shared / "data" / "topical_chat" / "data.parquet"
    data = built(ReplyData, reader, tokenizer, str(path), near_duplicates=0.8, max_length=256)
    data.setup("fit")
    known = {row["id"]: row for row in pq.read_table(path).to_pylist()}
    assert data.summary()["rows_kept"] == len(known) == 37551
    where = {}
    for split in SPLITS:
        ids = data.covariates(split)["id"].to_pylist()
        assert len(ids) > 3000
        for id in ids:
            assert where.setdefault(known[id]["conversation"], split) == split
        assert data.reference_replies(split)[:50] == [known[id]["reply"] for id in ids[:50]]
        for row, id in zip(data.rows(split)[:50].tolist(), ids[:50], strict=True):
            assert tokenizer.decode(data.sequences.reply(row)) == known[id]["reply"]
            for turn in json.loads(known[id]["context"]):
                assert turn in tokenizer.decode(data.prompt_ids(row))


@pytest.mark.slow
def test_real_questions(shared):
    tokenizer = HubTokenizer("Qwen", path=str(shared / "models" / "qwen_tokenizer"))
    path = shared / "data" / "gsm8k" / "data.parquet"
    reader = ReplyReader(prompt="question", reply="solution")
    options = {"limit": 300, "template": "Q: {prompt}\nA: {reply}", "packing": True, "batch_size": 16}
    data = built(ReplyData, reader, tokenizer, str(path), **options)
    data.setup("fit")
    known = {row["question"]: row["solution"] for row in pq.read_table(path).slice(0, 300).to_pylist()}
    assert [known[text] for text in data.prompt_texts("val")] == data.reference_replies("val")
    row = int(data.rows("val")[0])
    assert tokenizer.decode(data.prompt_ids(row)) == f"Q: {data.prompt_texts('val')[0]}\nA: "
    assert tokenizer.decode(data.sequences.reply(row)) == data.reference_replies("val")[0]
    assert os.path.basename(path) in data.summary()["formats"]
    batch = next(iter(data.train_dataloader()))
    assert batch.input_ids.shape[0] < len(batch) == 16
