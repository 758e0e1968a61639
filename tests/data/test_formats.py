"""Each format from a few rows in its true schema; what the columns mean is decided by their names alone."""

import gzip
import json
import logging
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arena.core.errors import DataError
from arena.data.source.examples import PAIR
from arena.data.source.pairs import FORMATS, PairReader, recognise

PLAIN = ["id", "prompt", "response_a", "response_b"]
KAGGLE = [*PLAIN, "model_a", "model_b", "winner_model_a", "winner_model_b", "winner_tie"]
ARENA_100K = (
    "question_id model_a model_b winner conversation_a conversation_b turn anony language tstamp conv_metadata "
)
ARENA_100K += "is_code is_refusal dedup_tag category_tag judge_hash"
ARENA_140K = "id model_a model_b winner evaluation_session_id evaluation_order conversation_a conversation_b "
ARENA_140K += "full_conversation conv_metadata category_tag language is_code timestamp"
ARENA_33K = "question_id model_a model_b winner judge conversation_a conversation_b turn anony language tstamp "
ARENA_33K += "openai_moderation toxic_chat_tag"
COLUMNS = [
    (KAGGLE, "kaggle"),
    (PLAIN, "kaggle_test"),
    ([*PLAIN, "winner", "model_a", "model_b", "language"], "wsdm"),
    ([*PLAIN, "scored"], "wsdm_test"),
    ([*PLAIN, "winner", "source"], "arena"),
    ([*PLAIN, "winner", "probability"], "arena"),
    ([*PLAIN, "winner", "session"], "arena"),
    ([*PLAIN, "winner", "group"], "arena"),
    (ARENA_100K.split(), "arena100k"),
    (ARENA_140K.split(), "arena140k"),
    (ARENA_33K.split(), "arena33k"),
    (["chosen", "rejected"], "hh_rlhf"),
    (["prompt", "chosen", "rejected"], "hh_rlhf"),
]


def said(*turns):
    """User and assistant in turn, as the arena's sets write it."""
    return [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]


def parts(*turns):
    """The same with a list of parts in each message, as in arena-human-preference-140k."""
    return [
        message | {"content": [{"type": "text", "text": message["content"], "image": None, "mimeType": None}]}
        for message in said(*turns)
    ]


def rows_of(path):
    """All rows of a file as dictionaries."""
    rows = PairReader()(str(path))
    texts = pa.Table.from_batches(list(rows.texts())).to_pylist()
    return [fact | text for fact, text in zip(rows.metadata.to_pylist(), texts, strict=True)]


@pytest.mark.parametrize(("columns", "key"), COLUMNS, ids=[key for _, key in COLUMNS])
def test_columns_tell_the_format(columns, key):
    assert recognise(columns) is FORMATS[key]
    assert recognise(columns[::-1]) is FORMATS[key]


def test_every_format_can_be_given_as_layout():
    for key in FORMATS:
        assert PairReader(layout=key).layout == key  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("columns", "missing"), [
    ([*PLAIN, "winner_tie"], "missing column winner_model_a, winner_model_b"),
    (["question_id", "conversation_a", "winner"], "missing column conversation_b"),
    (["question_id", "conversation_a", "conversation_b"], "missing column winner"),
    (["id", "chosen"], "missing column prompt, response_a, response_b"),
])  # fmt: skip
def test_missing_columns(tmp_path, columns, missing):
    (tmp_path / "x.csv").write_text(",".join(columns) + "\n")
    with pytest.raises(DataError, match=missing):
        PairReader().open(str(tmp_path / "x.csv"))


def test_arena_100k(tmp_path):
    row = dict.fromkeys(ARENA_100K.split()) | {
        "question_id": "58210e39b3fd4441a2bd4a518bb44c2d", "model_a": "chatgpt-4o-latest-20240808",
        "model_b": "gemini-1.5-flash", "winner": "tie (bothbad)", "turn": 2, "anony": True, "language": "English",
        "conversation_a": said("What is the difference between OpenCL and CUDA?", "OpenCL is open.", "And?", "More."),
        "conversation_b": said("What is the difference between OpenCL and CUDA?", "One is NVIDIA's.", "And?", "Ok."),
        "conv_metadata": {"bold_count_a": {"**": 4, "__": 0}, "sum_user_tokens": 17}, "is_code": True,
        "tstamp": 1723593653.0, "category_tag": {"math_v0.1": {"math": False}}, "judge_hash": "c926",
    }  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    (found,) = rows_of(tmp_path / "train.parquet")
    assert found["id"] == "58210e39b3fd4441a2bd4a518bb44c2d"
    assert found["prompt"] == ["What is the difference between OpenCL and CUDA?", "And?"]
    assert found["response_a"] == ["OpenCL is open.", "More."]
    assert found["response_b"] == ["One is NVIDIA's.", "Ok."]
    assert (found["winner"], found["language"], found["session"]) == ("tie", "English", None)
    assert (found["model_a"], found["model_b"]) == ("chatgpt-4o-latest-20240808", "gemini-1.5-flash")
    assert found["source"] == "train.parquet"


def arena_140k_row(**changes) -> dict[str, Any]:
    return dict[str, Any].fromkeys(ARENA_140K.split()) | {
        "id": "7d9c", "model_a": "claude-3-5-haiku", "model_b": "grok-3", "winner": "both_bad", "language": "pl",
        "evaluation_session_id": "e1", "evaluation_order": 1, "conversation_a": parts("Hi", "Hello."),
        "conversation_b": parts("Hi", "Hey."), "is_code": False,
    } | changes  # fmt: skip


def test_arena_140k(tmp_path):
    rows = [arena_140k_row(), arena_140k_row(id="8e", evaluation_order=2, winner="model_b")]
    two = [{"type": "text", "text": text, "image": None, "mimeType": None} for text in ("one", "two")]
    rows[1]["conversation_a"][0]["content"] = rows[1]["conversation_b"][0]["content"] = two
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    first, second = rows_of(tmp_path / "train.parquet")
    assert (first["winner"], second["winner"]) == ("tie", "model_b")
    assert first["session"] == second["session"] == "e1"
    assert (first["prompt"], first["response_a"], first["response_b"]) == (["Hi"], ["Hello."], ["Hey."])
    assert second["prompt"] == ["one\ntwo"]


def test_an_image_is_no_text(tmp_path):
    row = arena_140k_row()
    row["conversation_b"][0]["content"].append({"type": "image", "text": None, "image": "ab", "mimeType": "image/png"})
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"row 1, column conversation_b: a part of type 'image' is not text \(E_IMAGE"):
        PairReader()(str(tmp_path / "x.parquet"))


def test_arena_33k(tmp_path):
    row = dict.fromkeys(ARENA_33K.split()) | {
        "question_id": "58210e39b3fd4441a2bd4a518bb44c2d", "model_a": "chatglm-6b", "model_b": "koala-13b",
        "winner": "model_b", "judge": "arena_user_973", "turn": 1, "anony": True, "language": "English",
        "conversation_a": said("What is CUDA?", "A car."), "conversation_b": said("What is CUDA?", "A platform."),
        "tstamp": 1682351591.1322, "toxic_chat_tag": {"roberta-large": {"flagged": False}},
    }  # fmt: skip
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
    (found,) = rows_of(tmp_path / "x.jsonl")
    assert (found["winner"], found["response_a"], found["response_b"]) == ("model_b", ["A car."], ["A platform."])


def test_a_shared_system_message_is_left_out_and_noted(tmp_path):
    system = [{"role": "system", "content": "Answer in Latin."}]
    row = {"question_id": "q", "winner": "tie", "conversation_a": system + said("p", "a")}
    row["conversation_b"] = system + said("p", "b")
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
    rows = PairReader()(str(tmp_path / "x.jsonl"))
    assert rows.statistics.notes == {"W_SYSTEM": 1}
    assert next(rows.texts())["prompt"].to_pylist() == [["p"]]
    row["conversation_b"] = said("p", "b")
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"the system message differs from that of conversation_a \(E_TURNS_MISMATCH"):
        PairReader()(str(tmp_path / "x.jsonl"))


TALK = "\n\nHuman: What are some words?\n\nAssistant: Here is a list.\n\nHuman: What's your favorite?\n\nAssistant:"


def test_hh_rlhf(tmp_path):
    """Both sides share all but the last answer; only the first blank behind the colon belongs to the mark."""
    rows = [{"chosen": f"{TALK}  I {i} like it.", "rejected": f"{TALK} No\n\nreally {i}"} for i in range(64)]
    with gzip.open(tmp_path / "train.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    found = rows_of(tmp_path / "train.jsonl.gz")
    assert [row["id"] for row in found] == [str(i) for i in range(1, 65)]
    for i, row in enumerate(found):
        assert row["prompt"] == ["What are some words?", "What's your favorite?"]
        better, worse = ["Here is a list.", f" I {i} like it."], ["Here is a list.", f"No\n\nreally {i}"]
        assert (row["response_a"], row["response_b"]) == (
            (better, worse) if row["winner"] == "model_a" else (worse, better)
        )
    # 64 fair coins: fewer than 12 or more than 52 heads has a probability below 10^-6.
    assert 12 <= sum(row["winner"] == "model_a" for row in found) <= 52


def test_hh_rlhf_places_do_not_depend_on_the_order(tmp_path):
    rows = [{"chosen": f"{TALK} yes {i}", "rejected": f"{TALK} no {i}"} for i in range(20)]
    found = []
    for order in (rows, rows[::-1]):
        (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in order))
        found.append(
            {tuple(row["response_a"] + row["response_b"]): row["winner"] for row in rows_of(tmp_path / "x.jsonl")}
        )
    assert found[0] == found[1]


def test_chosen_and_rejected_as_messages(tmp_path):
    row = {"chosen": said("p", "good"), "rejected": said("p", "bad"), "id": "r7"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "x.parquet")
    (found,) = rows_of(tmp_path / "x.parquet")
    answers = {"model_a": found["response_a"], "model_b": found["response_b"]}
    assert answers.pop(found["winner"]) == ["good"]
    assert list(answers.values()) == [["bad"]]
    assert (found["id"], found["prompt"]) == ("r7", ["p"])


@pytest.mark.parametrize(("cells", "winner", "probability"), [
    (["0.2", "0.5", "0.3"], "model_b", [0.2, 0.5, 0.3]),
    ([0.3333333, 0.3333333, 0.3333334], "tie", [0.3333333, 0.3333333, 0.3333334]),
    (["0.5", "0.5", "0"], "model_a", [0.5, 0.5, 0.0]),
    (["1.0", "0.0", "0.0"], "model_a", None),
    ([0, 0, 1], "tie", None),
])  # fmt: skip
def test_kaggle_probabilities(cells, winner, probability):
    raw = dict(zip(KAGGLE, ["1", '["p"]', '["a"]', '["b"]', None, None, *cells], strict=True))
    row = FORMATS["kaggle"].row(raw, 0, [])
    assert (row["winner"], row["probability"]) == (winner, probability)


def test_arena_files_may_give_probability_weight_and_session():
    raw = {"id": 7, "prompt": ["p"], "response_a": '["a"]', "response_b": ["b"], "winner": None}
    raw |= {"probability": [0.1, 0.2, 0.7], "weight": 2, "group": 12}
    row = FORMATS["arena"].row(raw, 0, [])
    assert (row["id"], row["winner"], row["weight"], row["session"]) == ("7", "tie", 2.0, "12")
    assert [row[name] for name in PAIR.texts] == [["p"], ["a"], ["b"]]
    assert FORMATS["arena"].row(raw | {"winner": "model_a"}, 0, [])["winner"] == "model_a"
    assert FORMATS["arena"].row(raw | {"session": "s"}, 0, [])["session"] == "s"


def test_the_log_says_which_format(tmp_path, caplog):
    (tmp_path / "x.jsonl").write_text(json.dumps({"chosen": f"{TALK} a", "rejected": f"{TALK} b"}) + "\n")
    with caplog.at_level(logging.INFO, "arena"):
        PairReader()(str(tmp_path / "x.jsonl"))
    assert caplog.messages == [
        "x.jsonl: read as HH-RLHF",
        "read 1 = 1 kept + 0 rejected + 0 merged; nothing to remark",
    ]
