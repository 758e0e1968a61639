"""Text to token ids, without special tokens: joining prompt and answers is the work of the encoder.

Text is never markup: "[SEP]" or "<|im_end|>" inside a row stays text, so no row can forge the borders of a sequence.
(Added tokens that a tokenizer itself declares as not special, such as runs of blanks, are vocabulary and stay so.)
"""

import logging
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from arena.core.errors import InputOutputError, UsageError
from arena.data.text.backend import ENCODING, Backend, load

log = logging.getLogger("arena")

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
        end: the id that ends a text; None where there is none.
        blank: whether every text begins with a blank that `decode` takes away again (SentencePiece).
        fingerprint: changes when the vocabulary or the behaviour does.
    """

    size: int
    pad: int
    prefix: list[int]
    suffix: list[int]
    separator: list[int]
    end: int | None
    blank: bool
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

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of some ids; special tokens are left out."""
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

    def conversation(self, roles: Sequence[str]) -> "Conversation":
        """The ids around the messages of a conversation.

        Args:
            roles: `system`, `user` or `assistant` of each message, M of them; the last is the reply.

        Raises:
            UsageError: the tokenizer has no chat template.
        """
        ...


class Conversation(NamedTuple):
    """What a chat template writes around M messages.

    Attributes:
        pieces: ids before each message, M + 1 of them; the last are those behind the reply, up to its end.
        ends: how many ids of each piece, M + 1, still belong to the message before it: up to the first special token,
            with which the template ends a message; 0 where it has none.
    """

    pieces: list[list[int]]
    ends: list[int]


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
        self.end: int | None = 259
        self.blank = False
        self.fingerprint = f"bytes-{ENCODING}"

    def save(self, folder: Path) -> None:
        """Bytes need no files."""

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """The UTF-8 bytes of each text as int32; lone surrogates keep their three bytes and do not raise."""
        return [np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8).astype(np.int32) for text in texts]

    def encode_first(self, texts: list[str]) -> Finish:
        """As `encode`; nothing here can run without Python's lock."""
        return lambda: self.encode(texts)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of some ids; U+FFFD stands for bytes that are no UTF-8."""
        return bytes(i for i in np.asarray(ids).tolist() if i < 256).decode("utf-8", "replace")

    def vocabulary(self) -> dict[str, int]:
        """Each byte as the character of the same number."""
        return {chr(byte): byte for byte in range(256)}

    def chat(self, system: str | None = None) -> tuple[list[int], list[int]]:
        """Bytes have no chat template."""
        raise UsageError("data.template: the byte tokenizer has no chat template; choose another template or model")

    def conversation(self, roles: Sequence[str]) -> Conversation:
        """Bytes have no chat template."""
        raise UsageError("data.template: the byte tokenizer has no chat template; data.template=plain needs none")


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
        from arena.core.hub import locate

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
        self.end = backend.end
        self.blank = backend.blank
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

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of some ids; special tokens are left out."""
        if isinstance(self._backend, ByteTokenizer):
            return self._backend.decode(ids)
        text = self._backend.decode(np.asarray(ids).tolist())
        return text.removeprefix(" ") if self.blank else text

    def vocabulary(self) -> dict[str, int]:
        """The id of each token, written as the vocabulary writes it."""
        return self._backend.vocabulary()

    def chat(self, system: str | None = None) -> tuple[list[int], list[int]]:
        """The ids around a message in the chat template of the model's folder; ChatML where the vocabulary has its
        tokens and the folder has no template."""
        if isinstance(self._backend, ByteTokenizer) or self.folder is None:
            return ByteTokenizer().chat()
        from arena.data.text.chat import around_message

        start, end = around_message(self.folder, system, self._backend.markup)
        return self._backend.markup(start), self._backend.markup(end)

    def conversation(self, roles: Sequence[str]) -> Conversation:
        """The ids around messages, by the same template as `chat`."""
        if isinstance(self._backend, ByteTokenizer) or self.folder is None:
            return ByteTokenizer().conversation(roles)
        from arena.data.text.chat import around_messages

        pieces = [self._backend.markup(text) for text in around_messages(self.folder, roles, self._backend.markup)]
        ends = [next((i + 1 for i, token in enumerate(ids) if token in self._backend.special), 0) for ids in pieces]
        ends[0] = 0
        if ends[-1]:
            pieces[-1] = pieces[-1][: ends[-1]]
        elif self.end is not None:
            pieces[-1] = [*pieces[-1], self.end]
        return Conversation(pieces, [*ends[:-1], len(pieces[-1])])
