"""Text to token ids, without special tokens: joining prompt and answers is the work of the template.

Text is never markup: "[SEP]" or "<|im_end|>" inside a row stays text, so no row can forge the borders of a sequence.
(Added tokens that a tokenizer itself declares as not special, such as runs of blanks, are vocabulary and stay so.)
"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from arena.core.errors import InputOutputError, UsageError
from arena.data.text.backend import ENCODING, Backend, Finish, load

log = logging.getLogger("arena")

FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "*.model", "vocab.*"),
)
"""The files of a tokenizer, by name."""


class Conversation(NamedTuple):
    """The ids that a chat template writes around M messages.

    Attributes:
        pieces: ids before each message, M + 1 of them; the last are those after the reply, up to its end.
        ends: how many ids of each piece, M + 1, still belong to the message before it: up to the first special token,
            with which the template ends a message; 0 where it has none.
    """

    pieces: list[list[int]]
    ends: list[int]


class Tokenizer:
    """Texts <-> token ids.

    Args:
        backend: special ids, and functions between texts and ids.
        folder: with the tokenizer's files; None where it needs none.

    Attributes:
        size: number of ids that the model's embedding must hold.
        pad: the id of padding.
        prefix: special ids in front of a whole sequence, e.g. `[CLS]`.
        suffix: special ids after a whole sequence, e.g. `[SEP]`.
        separator: ids between two segments: `[SEP]` where there is one, otherwise the ids of a blank line.
        end: the id that ends a text; None where there is none.
        blank: every text begins with a blank that `decode` takes away again (SentencePiece).
        fingerprint: changes when the vocabulary or the behaviour does.
    """

    def __init__(self, backend: Backend, folder: Path | None = None) -> None:
        self._backend, self.folder = backend, folder
        self.size, self.pad, self.end, self.blank = backend.size, backend.pad, backend.end, backend.blank
        self.prefix, self.suffix, self.separator = backend.prefix, backend.suffix, backend.separator
        self.fingerprint = backend.fingerprint

    def save(self, folder: Path) -> None:
        """Copy the tokenizer's files, so that a run can be rebuilt from its folder alone."""
        if self.folder is None or self.folder.resolve() == folder.resolve():
            return
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(path for pattern in FILES for path in self.folder.glob(pattern)):
            shutil.copyfile(file, folder / file.name)

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """The int32 ids of each text, all texts in one call of the library, without special tokens."""
        return self.encode_first(texts)()

    def encode_first(self, texts: list[str]) -> Finish:
        """As `encode` in two parts: first what runs without Python's lock, and when the result is called, the rest."""
        return self._backend.encode(texts)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of some ids; special tokens are left out."""
        text = self._backend.decode(np.asarray(ids).tolist())
        return text.removeprefix(" ") if self.blank else text

    def vocabulary(self) -> dict[str, int]:
        """The id of each token, written as the vocabulary writes it."""
        return self._backend.vocabulary()

    def chat(self, system: str | None = None) -> tuple[list[int], list[int]]:
        """The ids before and after a single message of the user, up to where the answer begins; ChatML where the
        vocabulary has its tokens and the folder has no template.

        Raises:
            UsageError: the tokenizer has no chat template.
        """
        from arena.data.text.chat import around_message

        start, end = around_message(self._template_folder(), system, self._backend.markup)
        return self._backend.markup(start), self._backend.markup(end)

    def conversation(self, roles: Sequence[str]) -> Conversation:
        """The ids around the messages of a conversation, by the same template as `chat`.

        Args:
            roles: `system`, `user` or `assistant` of each message, M of them; the last is the reply.
        """
        from arena.data.text.chat import around_messages

        markup = self._backend.markup
        pieces = [markup(text) for text in around_messages(self._template_folder(), roles, markup)]
        ends = [next((i + 1 for i, token in enumerate(ids) if token in self._backend.special), 0) for ids in pieces]
        ends[0] = 0
        if ends[-1]:
            pieces[-1] = pieces[-1][: ends[-1]]
        elif self.end is not None:
            pieces[-1] = [*pieces[-1], self.end]
        return Conversation(pieces, [*ends[:-1], len(pieces[-1])])

    def _template_folder(self) -> Path:
        if self.folder is None:
            raise UsageError("data.template: the byte tokenizer has no chat template; choose another template or model")
        return self.folder


class ByteTokenizer(Tokenizer):
    """UTF-8 bytes as ids 0..255, then padding, begin, separator and end. Needs no files and knows every script."""

    def __init__(self) -> None:
        backend = Backend(
            size=260,
            pad=256,
            prefix=[257],
            separator=[258],
            suffix=[259],
            end=259,
            blank=False,
            special=frozenset(),
            fingerprint=f"bytes-{ENCODING}",
            encode=lambda texts: lambda: [_bytes_of(text) for text in texts],
            markup=lambda text: _bytes_of(text).tolist(),
            decode=lambda ids: bytes(i for i in ids if i < 256).decode("utf-8", "replace"),
            vocabulary=lambda: {chr(byte): byte for byte in range(256)},
        )
        super().__init__(backend)


def _bytes_of(text: str) -> np.ndarray:
    """The UTF-8 bytes of a text as int32; lone surrogates keep their three bytes and do not raise."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8).astype(np.int32)


class HubTokenizer(Tokenizer):
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

        try:
            folder = locate(name, path, package, weights=False)
            super().__init__(load(folder), folder)
        except InputOutputError as error:
            if not byte_fallback or path is not None:  # a folder given by hand is never silently ignored
                raise
            log.warning("%s: bytes instead of its tokenizer, which is not here (%s)", name, error)
            super().__init__(ByteTokenizer()._backend)
