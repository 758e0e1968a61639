"""Files of prompts and replies: every form that is read, and what is refused in one line."""

import csv
import gzip
import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from support import compose

from arena.core.errors import DataError, InputOutputError, UsageError
from arena.data.source.examples import CONVERSATION
from arena.data.source.reply_reader import ReplyReader
from arena.task.sft import Sft


def said(rows):
    """The three texts of every row."""
    return [tuple(row[name] for name in CONVERSATION.texts) for batch in rows.texts() for row in batch.to_pylist()]


def write_csv(path, rows, delimiter=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def write_lines(path, rows):
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


PAIRS = [{"id": "a", "prompt": "Hello?", "reply": "Hi."}, {"id": "b", "prompt": "[sic] now", "reply": "null"}]
EXPECTED = [(["Hello?"], ["Hi."], [""]), (["[sic] now"], ["null"], [""])]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.jsonl.gz", "x.parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name, caplog):
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(PAIRS), path)
    elif "jsonl" in name:
        write_lines(path, PAIRS)
    else:
        write_csv(path, PAIRS, "\t" if name.endswith("tsv") else ",")
    with caplog.at_level(logging.INFO):
        rows = ReplyReader()(str(path))
    assert said(rows) == EXPECTED
    assert rows.metadata["id"].to_pylist() == ["a", "b"]
    assert "read as prompts and replies (prompt, reply)" in caplog.text


def test_columns_may_have_any_name(tmp_path):
    path = write_csv(tmp_path / "x.csv", [{"tweet": "so true", "answer text": "it is", "user": "u1", "nr": "7"}])
    rows = ReplyReader(prompt="tweet", reply="answer text", group="user", id="nr")(path)
    assert said(rows) == [(["so true"], ["it is"], [""])]
    assert rows.metadata["session"].to_pylist() == ["u1"]
    assert rows.metadata["id"].to_pylist() == ["7"]


@pytest.mark.parametrize(
    ("cell", "asked", "answers"),
    [
        ("one", ["one"], []),
        (["one"], ["one"], []),
        ('["u", "a", "v"]', ["u", "v"], ["a"]),
        (["a", "u"], [None, "u"], ["a"]),
        (["a", "u", "b", "v"], [None, "u", "v"], ["a", "b"]),
        ([], [""], []),
        ("[1, 2]", ["[1, 2]"], []),
        ("[a] or [b]", ["[a] or [b]"], []),
        ([{"role": "user", "content": "u"}], ["u"], []),
    ],
)
def test_a_prompt_is_a_text_or_turns_of_which_the_last_is_the_user_s(tmp_path, cell, asked, answers):
    rows = ReplyReader()(write_lines(tmp_path / "x.jsonl", [{"prompt": cell, "reply": "r"}]))
    assert said(rows) == [(asked, [*answers, "r"], [""])]


def talk(*messages, keys=("role", "content")):
    return [dict(zip(keys, message, strict=True)) for message in messages]


def test_chat_lists_in_both_spellings(tmp_path, caplog):
    first = talk(("system", "Be kind."), ("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "r"))
    second = talk(("gpt", "a"), ("human", "u"), ("gpt", "r"), ("human", "late"), keys=("from", "value"))
    a = write_lines(tmp_path / "a.jsonl", [{"prompt": "u", "messages": first}])
    b = write_lines(tmp_path / "b.jsonl", [{"conversations": json.dumps(second)}])
    with caplog.at_level(logging.INFO):
        rows = ReplyReader(id="id")([a, b])
    assert said(rows) == [(["u", "v"], ["a", "r"], ["Be kind."]), ([None, "u"], ["a", "r"], [""])]
    assert rows.statistics.notes["W_AFTER_REPLY"] == 1
    assert rows.statistics.formats["a.jsonl"].startswith("conversations (messages")
    other = write_lines(tmp_path / "c.jsonl", [{"dialogue": first}])
    assert said(ReplyReader(messages="dialogue")(other))[0][1] == ["a", "r"]


def test_a_system_message_for_rows_that_bring_none(tmp_path):
    path = write_lines(tmp_path / "x.jsonl", [PAIRS[0]])
    assert said(ReplyReader(system="Be brief.")(path))[0][2] == ["Be brief."]


def test_prompts_without_replies_are_read_to_answer_them(tmp_path):
    path = write_csv(tmp_path / "x.csv", [{"prompt": "p"}])
    with pytest.raises(DataError, match="missing column reply"):
        ReplyReader()(path)
    assert said(ReplyReader().unlabelled()(path)) == [(["p"], [""], [""])]
    chat = write_lines(tmp_path / "x.jsonl", [{"messages": talk(("user", "u"))}])
    assert said(ReplyReader().unlabelled()(chat)) == [(["u"], [""], [""])]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "p", "reply": " \n"}, r"row 1, column reply: the reply is empty \(E_EMPTY_REPLY\)"),
        ({"prompt": "p", "reply": None}, "the reply is empty"),
        ({"prompt": "p", "reply": 3}, r"column reply: 3 is not text \(E_TYPE\)"),
        ({"prompt": 3, "reply": "r"}, "3 is neither text nor a list of turns"),
        ({"prompt": ["u", None], "reply": "r"}, "the turn None is neither text nor null"),
        ({"prompt": '["u", "a"', "reply": "r"}, None),
        ({"prompt": '["u" "a"]', "reply": "r"}, "is not a JSON list of turns"),
        (
            {"prompt": talk(("user", "u"), ("assistant", "a")), "reply": "r"},
            r"the last message of the prompt is the assistant's; it must be the user's \(E_ROLES\)",
        ),
        ({"messages": talk(("user", "u"), ("tool", "t"))}, "message 2 is of 'tool'; known are system, user, human"),
        ({"messages": talk(("user", "u"), ("user", "v"), ("assistant", "r"))}, "message 2 is of user, expected assis"),
        ({"messages": talk(("user", "u"))}, "there is no message of the assistant"),
        ({"messages": talk(("user", "u"), ("assistant", ""))}, "the reply is empty"),
        ({"messages": [{"role": "user"}]}, "is not a message with role and content"),
        ({"messages": "u"}, "nor a JSON list of messages"),
    ],
)
def test_rows_that_are_refused_in_one_line(tmp_path, row, message):
    path = write_lines(tmp_path / "x.jsonl", [row])
    if message is None:  # a text that only begins like a list
        assert said(ReplyReader()(path))[0][0] == [row["prompt"]]
        return
    with pytest.raises(DataError, match=message) as raised:
        ReplyReader()(path)
    assert "\n" not in str(raised.value)
    assert raised.value.code == 65


def node(*overrides):
    """The node data=sft as `check` gets it."""
    made = compose("task=sft", "data=sft", *(f"data.{override}" for override in overrides), "run_dir=out").data
    plain = OmegaConf.to_container(made, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@pytest.mark.parametrize(
    ("overrides", "options", "kind", "message"),
    [
        ([], {"prompt": "tweets"}, DataError, "missing column tweets; did you mean 'tweet'"),
        (["path=none.csv"], {}, InputOutputError, r"none\.csv: no such file"),
        (["path=null"], {}, UsageError, "file of prompts and replies, or a folder"),
        (["template='Q: {prompt}'"], {}, UsageError, r"must hold \{prompt\} and then \{reply\}, once each; found"),
        (["template='{reply} {prompt}'"], {}, UsageError, "once each"),
        (["template=chatt"], {}, UsageError, "did you mean 'chat'"),
        (["max_length=8", "max_reply_length=8"], {}, UsageError, "leaves no room for a prompt"),
        (["packing=true", "batch_size=1"], {}, UsageError, "leaves nothing to pack"),
        (["fold=7", "folds=5"], {}, UsageError, "one of 0 to 4 is needed"),
        ([], {"prompt": "tweet", "reply": "tweet"}, UsageError, r"data\.reply=tweet: it is data\.prompt too"),
        ([], {"prompt": "tweet", "messages": "m"}, UsageError, "leave data.prompt and data.reply out"),
    ],
)
def test_settings_are_refused_before_anything_is_read(tmp_path, monkeypatch, overrides, options, kind, message):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "x.csv", [{"tweet": "p", "reply": "r"}])
    with pytest.raises(kind, match=message) as raised:
        Sft().check_data(node("path=x.csv", *overrides), ReplyReader(**({"prompt": "tweet"} | options)))
    assert "\n" not in str(raised.value)
    assert raised.value.code == {DataError: 65, InputOutputError: 74, UsageError: 2}[kind]


def test_a_data_set_of_the_hub_fails_in_one_line_without_a_network(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputOutputError, match="not on this machine and the hub cannot be reached"):
        ReplyReader(repo="nobody/no-such-replies").open()


def test_a_folder_laid_out_like_the_hub_is_read(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(PAIRS), tmp_path / "data" / "train-00000-of-00001.parquet")
    assert said(ReplyReader(repo=str(tmp_path))()) == EXPECTED
