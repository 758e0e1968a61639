"""The library behind the tokenizer of a hub model: read from a folder, and described by its special ids."""

import hashlib
import json
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arena.core.cache import file_fingerprint
from arena.core.errors import InputOutputError, first_line

PAD_NAMES = ["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "<|finetune_right_pad_id|>", "<|end_of_text|>", "</s>"]
END_NAMES = ["<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "[EOS]"]
"""How tokenizers call the end of a text, where the folder does not say it."""
ENCODING = 1
"""Raised when the same vocabulary gives other ids than before, so that caches of token ids expire."""
Finish = Callable[[], list[np.ndarray]]
"""The second part of encoding: gives the int32 ids of each text."""


@dataclass
class Backend:
    """A loaded tokenizer: its special ids and functions between texts and ids; see
    `arena.data.text.tokenizer.Tokenizer`.

    Attributes:
        special: ids of all tokens that are markup.
        encode: calls the library; the result gives the ids.
        markup: text with special tokens -> ids.
    """

    size: int
    pad: int
    prefix: list[int]
    suffix: list[int]
    separator: list[int]
    end: int | None
    blank: bool
    special: frozenset[int]
    fingerprint: str
    encode: Callable[[list[str]], Finish]
    markup: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    vocabulary: Callable[[], dict[str, int]]


def load(folder: Path) -> Backend:
    """The tokenizer in a model folder: its `tokenizer.json`, its scored pieces, or whatever transformers can make of
    its other files.

    Raises:
        InputOutputError: the folder holds no tokenizer that can be read.
    """
    from tokenizers import Tokenizer as HubFile

    path = folder / "tokenizer.json"
    try:
        own = HubFile.from_file(str(path)) if path.is_file() else from_scores(folder / "vocab.json")
        tokenizer = own or _from_transformers(folder)
    except Exception as error:
        raise InputOutputError(
            f"{folder}: no tokenizer can be read there; put the model's tokenizer.json into the folder "
            f"({first_line(error)})"
        ) from error
    # The file's bytes: writing the vocabulary out again takes half a second.
    vocabulary = file_fingerprint(path) if path.is_file() else tokenizer.to_str()
    return _describe(tokenizer, _named_tokens(folder), vocabulary)


def from_scores(path: Path) -> Any:
    """A `tokenizers.Tokenizer` from a list of `{"id", "piece", "score"}` in the order of the ids, the piece's bytes as
    latin-1 (llama2.c, TinyStories); None for another file. Of all neighbours that make a piece, those of the best score
    are joined first, as llama2.c does it.
    """
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if not isinstance(entries, list):
        return None
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    blank, special = "\u2581", ["<unk>", "<s>", "</s>"]
    pieces = [each["piece"].encode("latin-1").decode("utf-8").replace(" ", blank) for each in entries]
    pieces[: len(special)] = special
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    by_score = sorted(vocabulary, key=lambda piece: -entries[vocabulary[piece]]["score"])
    parts = [(piece[:cut], piece[cut:]) for piece in by_score for cut in range(1, len(piece))]
    merges = [(left, right) for left, right in parts if left in vocabulary and right in vocabulary]
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend(blank), normalizers.Replace(" ", blank)])  # pyright: ignore
    made.decoder = decoders.Sequence([decoders.Replace(blank, " "), decoders.ByteFallback(), decoders.Fuse()])  # pyright: ignore
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])  # pyright: ignore
    made.add_special_tokens(special)
    return made


def _from_transformers(folder: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"{type(tokenizer).__name__} has no fast form")
    return backend


def _named_tokens(folder: Path) -> dict[str, str]:
    """`pad_token`, `sep_token` and their like, as the folder's JSON files name them."""
    names: dict[str, str] = {}
    for file in (folder / "special_tokens_map.json", folder / "tokenizer_config.json"):
        for key, value in json.loads(file.read_text(encoding="utf-8")).items() if file.is_file() else ():
            content = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(content, str):
                names[key] = content
    return names


def without_surrogates(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates (legal in JSON, not in UTF-8) replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _describe(tokenizer: Any, named: dict[str, str], vocabulary: str) -> Backend:
    # Files are often saved with the truncation and padding of their training still switched on (MiniLM: 128 tokens).
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # The library's meaning: encode special tokens that occur in the text as the text they are.
    tokenizer.encode_special_tokens = True

    def first(names: list[str | None]) -> int | None:
        ids = [tokenizer.token_to_id(name) for name in names if name]
        return next((i for i in ids if i is not None), None)

    def encode(texts: list[str]) -> Finish:
        try:
            encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:  # how the library refuses lone surrogates
            encoded = tokenizer.encode_batch_fast(
                [without_surrogates(text) for text in texts], add_special_tokens=False
            )
        # array.array reads a list of numbers three times as fast as numpy does.
        return lambda: [np.frombuffer(array("i", each.ids), np.int32) for each in encoded]

    def markup(text: str) -> list[int]:
        tokenizer.encode_special_tokens = False
        try:
            return tokenizer.encode(text, add_special_tokens=False).ids
        finally:
            tokenizer.encode_special_tokens = True

    bare = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    separator = first([named.get("sep_token"), "[SEP]"])
    special = {
        # Never read where there is none (0): the attention mask hides it.
        "pad": first([named.get("pad_token"), *PAD_NAMES, named.get("eos_token")]) or 0,
        "prefix": whole[:start],
        "suffix": whole[start + len(bare) :],
        "separator": [separator] if separator is not None else tokenizer.encode("\n\n", add_special_tokens=False).ids,
    }
    behaviour = f"{ENCODING}{json.dumps(special)}{vocabulary}"
    return Backend(
        # Ids may have gaps, so the number of tokens is not enough.
        size=max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1,
        fingerprint=hashlib.sha256(behaviour.encode()).hexdigest()[:16],
        encode=encode,
        markup=markup,
        decode=tokenizer.decode,
        vocabulary=tokenizer.get_vocab,
        end=first([named.get("eos_token"), *END_NAMES]) if not special["suffix"] else special["suffix"][-1],
        blank=tokenizer.decode(bare) == " a",
        special=frozenset(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special),
        **special,
    )
