"""The library behind the tokenizer of a hub model: read from a folder, and described by its special ids."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.core.cache import file_fingerprint
from arena.core.errors import InputOutputError, first_line

PAD_NAMES = ["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "<|finetune_right_pad_id|>", "<|end_of_text|>", "</s>"]
SEPARATOR_NAMES = ["[SEP]"]
ENCODING = 1
"""Raised when the same vocabulary gives other ids than before, so that caches of token ids expire."""
END_NAMES = ["<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "[EOS]"]
"""How tokenizers call the end of a text, where the folder does not say it."""


@dataclass
class Backend:
    """A loaded tokenizer: its special ids and functions between texts and ids; see
    `arena.data.text.tokenizer.Tokenizer`.

    Attributes:
        special: ids of all tokens that are markup.
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
    encode: Callable[[list[str]], list[Any]]
    markup: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    vocabulary: Callable[[], dict[str, int]]


def load(folder: Path) -> Backend:
    """The tokenizer in a model folder: its `tokenizer.json`, its scored pieces, or whatever transformers can make of
    its other files.

    Raises:
        InputOutputError: the folder holds no tokenizer that can be read.
    """
    try:
        tokenizer = (
            _from_file(folder / "tokenizer.json") or from_scores(folder / "vocab.json") or _from_transformers(folder)
        )
    except Exception as error:
        raise InputOutputError(
            f"{folder}: no tokenizer can be read there; put the model's tokenizer.json into the folder "
            f"({first_line(error)})"
        ) from error
    path = folder / "tokenizer.json"  # its bytes: writing the vocabulary out again takes half a second
    vocabulary = file_fingerprint(path) if path.is_file() else tokenizer.to_str()
    return _describe(tokenizer, _named_tokens(folder), vocabulary)


def _from_file(path: Path) -> Any:
    from tokenizers import Tokenizer as HubFile

    return HubFile.from_file(str(path)) if path.is_file() else None


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
    for file in ["special_tokens_map.json", "tokenizer_config.json"]:
        if (folder / file).is_file():
            for key, value in json.loads((folder / file).read_text(encoding="utf-8")).items():
                content = value.get("content") if isinstance(value, dict) else value
                if key.endswith("_token") and isinstance(content, str):
                    names[key] = content
    return names


def _describe(tokenizer: Any, named: dict[str, str], vocabulary: str) -> Backend:
    # Files are often saved with the truncation and padding of their training still switched on (MiniLM: 128 tokens).
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # The library's meaning: encode special tokens that occur in the text as the text they are.
    tokenizer.encode_special_tokens = True

    def first(names: list[str | None]) -> int | None:
        ids = [tokenizer.token_to_id(name) for name in names if name]
        return next((i for i in ids if i is not None), None)

    bare = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    pad = first([named.get("pad_token"), *PAD_NAMES, named.get("eos_token")])
    separator = first([named.get("sep_token"), *SEPARATOR_NAMES])
    special = {
        "pad": 0 if pad is None else pad,  # never read: the attention mask hides it
        "prefix": whole[:start],
        "suffix": whole[start + len(bare) :],
        "separator": [separator] if separator is not None else tokenizer.encode("\n\n", add_special_tokens=False).ids,
    }

    def markup(text: str) -> list[int]:
        tokenizer.encode_special_tokens = False
        try:
            return tokenizer.encode(text, add_special_tokens=False).ids
        finally:
            tokenizer.encode_special_tokens = True

    behaviour = f"{ENCODING}{json.dumps(special)}{vocabulary}"
    return Backend(
        # Ids may have gaps, so the number of tokens is not enough.
        size=max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1,
        fingerprint=hashlib.sha256(behaviour.encode()).hexdigest()[:16],
        encode=lambda texts: tokenizer.encode_batch_fast(texts, add_special_tokens=False),
        markup=markup,
        decode=tokenizer.decode,
        vocabulary=tokenizer.get_vocab,
        end=first([named.get("eos_token"), *END_NAMES]) if not special["suffix"] else special["suffix"][-1],
        blank=tokenizer.decode(bare) == " a",
        special=frozenset(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special),
        **special,
    )
