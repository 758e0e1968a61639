"""Text to token ids, without special tokens: joining prompt and answers is the work of the encoder.

Text is never markup: "[SEP]" or "<|im_end|>" inside a row stays text, so no row can forge the borders of a sequence.
(Added tokens that a tokenizer itself declares as not special, such as runs of blanks, are vocabulary and stay so.)
"""

import hashlib
import json
import logging
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from arena.data.cache import file_fingerprint
from arena.errors import InputOutputError, UsageError

log = logging.getLogger("arena")

PAD_NAMES = ["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "<|finetune_right_pad_id|>", "<|end_of_text|>", "</s>"]
SEPARATOR_NAMES = ["[SEP]"]
ENCODING = 1
"""Raised when the same vocabulary gives other ids than before, so that caches of token ids expire."""


FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "*.model",
    "vocab.*",
)
"""What a tokenizer consists of, by file name."""
Finish = Callable[[], list[np.ndarray]]


class Tokenizer(Protocol):
    """What the data package asks of a tokenizer.

    Attributes:
        size: number of ids that the model's embedding must hold.
        pad: the id of padding.
        prefix: special ids in front of a whole sequence, e.g. `[CLS]`.
        suffix: special ids behind a whole sequence, e.g. `[SEP]`.
        separator: ids between two segments: `[SEP]` where there is one, otherwise the ids of a blank line.
        fingerprint: changes when the vocabulary or the behaviour does.
    """

    size: int
    pad: int
    prefix: list[int]
    suffix: list[int]
    separator: list[int]
    fingerprint: str

    def save(self, folder: Path) -> None:
        """Keep in a folder what is needed to make this tokenizer again; nothing where it needs no file."""
        ...

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """The int32 ids of each text, without special tokens."""
        ...

    def encode_first(self, texts: list[str]) -> Finish:
        """As `encode` in two parts: first what runs without Python's lock, and when the result is called, the rest."""
        ...

    def vocabulary(self) -> dict[str, int]:
        """The id of each token, written as the vocabulary writes it."""
        ...

    def chat(self, system: str | None = None) -> tuple[list[int], list[int]]:
        """The ids before and behind a single message of the user, up to where the answer begins.

        Raises:
            UsageError: the tokenizer has no chat template.
        """
        ...


def without_surrogates(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates (legal in JSON, not in UTF-8) replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class ByteTokenizer:
    """UTF-8 bytes as ids 0..255, then padding, begin, separator and end. Needs no files and knows every script."""

    def __init__(self) -> None:
        self.size = 260
        self.pad = 256
        self.prefix = [257]
        self.separator = [258]
        self.suffix = [259]
        self.fingerprint = f"bytes-{ENCODING}"

    def save(self, folder: Path) -> None:
        """Bytes need no files."""

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """The UTF-8 bytes of each text as int32; lone surrogates keep their three bytes and do not raise."""
        return [np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8).astype(np.int32) for text in texts]

    def encode_first(self, texts: list[str]) -> Finish:
        """As `encode`; nothing here can run without Python's lock."""
        return lambda: self.encode(texts)

    def vocabulary(self) -> dict[str, int]:
        """Each byte as the character of the same number."""
        return {chr(byte): byte for byte in range(256)}

    def chat(self, system: str | None = None) -> tuple[list[int], list[int]]:
        """Bytes have no chat template."""
        raise UsageError("data.template: the byte tokenizer has no chat template; choose another template or model")


@dataclass
class Backend:
    """A loaded tokenizer: its special ids and the function from texts to ids."""

    size: int
    pad: int
    prefix: list[int]
    suffix: list[int]
    separator: list[int]
    fingerprint: str
    encode: Callable[[list[str]], list[Any]]
    markup: Callable[[str], list[int]]
    vocabulary: Callable[[], dict[str, int]]


def load(folder: Path) -> Backend:
    """The tokenizer in a model folder: its `tokenizer.json`, or whatever transformers can make of its other files.

    Raises:
        InputOutputError: the folder holds no tokenizer that can be read.
    """
    try:
        tokenizer = _from_file(folder / "tokenizer.json") or _from_transformers(folder)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputOutputError(
            f"{folder}: no tokenizer can be read there; put the model's tokenizer.json into the folder ({reason})"
        ) from error
    path = folder / "tokenizer.json"  # its bytes: writing the vocabulary out again takes half a second
    vocabulary = file_fingerprint(path) if path.is_file() else tokenizer.to_str()
    return _describe(tokenizer, _named_tokens(folder), vocabulary)


def _from_file(path: Path) -> Any:
    from tokenizers import Tokenizer as HubFile

    return HubFile.from_file(str(path)) if path.is_file() else None


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
        vocabulary=tokenizer.get_vocab,
        **special,
    )


class HubTokenizer:
    """The tokenizer of a hub model, read from a local folder; nothing is ever run from that folder.

    Args:
        name: the model's name on the hub, e.g. `Qwen/Qwen2.5-0.5B-Instruct`.
        path: a folder with its files, used instead of the hub's cache.
        package: an installed Python package that carries the folder.
        byte_fallback: become the byte tokenizer where no tokenizer can be found (for models with random weights); a
            folder given as `path` must still hold one.

    Raises:
        InputOutputError: no tokenizer can be found, and bytes may not stand in for it.
    """

    def __init__(
        self, name: str, path: str | None = None, package: str | None = None, byte_fallback: bool = False
    ) -> None:
        from arena.hub import locate

        self.folder: Path | None = None
        backend: Backend | ByteTokenizer
        try:
            self.folder = locate(name, path, package, weights=False)
            backend = load(self.folder)
        except InputOutputError as error:
            if not byte_fallback or path is not None:  # a folder given by hand is never silently ignored
                raise
            log.warning("%s: bytes instead of its tokenizer, which is not here (%s)", name, error)
            backend = ByteTokenizer()
        self.size = backend.size
        self.pad = backend.pad
        self.prefix = backend.prefix
        self.suffix = backend.suffix
        self.separator = backend.separator
        self.fingerprint = backend.fingerprint
        self._backend = backend

    def save(self, folder: Path) -> None:
        """Copy the tokenizer's files, so that a run can be rebuilt from its folder alone."""
        import shutil

        if self.folder is None or self.folder.resolve() == folder.resolve():
            return
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(path for pattern in FILES for path in self.folder.glob(pattern)):
            shutil.copyfile(file, folder / file.name)

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """The int32 ids of each text, all texts in one call of the library, without special tokens."""
        return self.encode_first(texts)()

    def encode_first(self, texts: list[str]) -> Finish:
        """As `encode`: first the library's call, then the numbers one by one."""
        if isinstance(self._backend, ByteTokenizer):
            return self._backend.encode_first(texts)
        try:
            encoded = self._backend.encode(texts)
        except TypeError:  # how the library refuses lone surrogates
            encoded = self._backend.encode([without_surrogates(text) for text in texts])
        # array.array reads a list of numbers three times as fast as numpy does.
        return lambda: [np.frombuffer(array("i", each.ids), np.int32) for each in encoded]

    def vocabulary(self) -> dict[str, int]:
        """The id of each token, written as the vocabulary writes it."""
        return self._backend.vocabulary()

    def chat(self, system: str | None = None) -> tuple[list[int], list[int]]:
        """The ids around a message in the chat template of the model's folder; ChatML where the vocabulary has its
        tokens and the folder has no template."""
        if isinstance(self._backend, ByteTokenizer) or self.folder is None:
            return ByteTokenizer().chat()
        from arena.data.chat import around_message

        start, end = around_message(self.folder, system, self._backend.markup)
        return self._backend.markup(start), self._backend.markup(end)
