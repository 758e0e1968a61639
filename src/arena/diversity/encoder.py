"""Texts to vectors of unit length, whose products are cosines."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from arena.core.errors import DataError, InputOutputError
from arena.core.hub import locate
from arena.core.schema import Count
from arena.diversity.batches import halving
from arena.diversity.counts import tokens
from arena.diversity.vectors import unit

WINDOW = 32
"""Batches whose texts are tokenised and ordered by length together: memory does not grow with the number of texts."""
HASHED = 4096
"""Texts whose n-grams are hashed at once."""


class Encoder(Protocol):
    """What scores and tables ask of an encoder.

    Attributes:
        name: says which encoder gave a number.
    """

    name: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Rows of unit length, `[N, d]` float32, in the order of the texts."""
        ...


class HashEncoder:
    """Hashed words and pairs of neighbouring words: needs no weights and sees no meaning, only shared words.

    Each n-gram adds 1 or -1 to one entry, both drawn by its hash (Weinberger et al. 2009, arXiv 0902.2206). A text
    without words is a row of zeros.

    Args:
        dimension: entries of a vector, d.
    """

    def __init__(self, dimension: Count = 64) -> None:
        self.dimension = dimension
        self.name = f"hashed words and pairs, {dimension} entries"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`."""
        parts = [self._some(texts[start : start + HASHED]) for start in range(0, len(texts), HASHED)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), dtype=np.float32)

    def _some(self, texts: Sequence[str]) -> np.ndarray:
        given = tokens([texts])
        known = np.array([crc32(word.encode("utf-8", errors="replace")) for word in given.vocabulary], dtype=np.uint64)
        word = known[given.ids]
        together = np.flatnonzero(given.text[1:] == given.text[:-1])
        pair = _mixed(word[together] * np.uint64(0x9E3779B1) + word[together + 1] + np.uint64(1))
        code = np.concatenate([_mixed(word), pair])
        text = np.concatenate([given.text, given.text[together]])
        place = text * self.dimension + (code % np.uint64(self.dimension)).astype(np.int64)
        sign = 1.0 - 2.0 * (code >> np.uint64(63)).astype(np.float64)
        shape = (len(texts), self.dimension)
        found = np.bincount(place, sign, minlength=math.prod(shape)).reshape(shape)
        # Signs that cancel out would leave no direction; without signs nothing cancels.
        unsigned = np.bincount(place, minlength=math.prod(shape)).reshape(shape)
        return unit(np.where(found.any(axis=1, keepdims=True), found, unsigned)).astype(np.float32)


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's mixing: every bit of the input moves every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class SentenceEncoder:
    """A sentence transformer: the mean of its token states at unit length, as the all-MiniLM family was trained.

    Loaded when it is first needed; computes in float32 without gradients, whatever precision the caller trains in, and
    draws no random numbers.

    Args:
        name: hub id.
        path: a local folder instead of the hub.
        package: an installed Python package that carries the weights; see `arena.core.hub.locate`.
        batch_size: texts at once; halved for good where memory does not suffice.
        max_length: tokens of a text that are read.
        device: `cuda`, `cpu`, ...; null for a GPU where there is one.
    """

    def __init__(
        self,
        name: str = "sentence-transformers/all-MiniLM-L6-v2",
        path: str | None = None,
        package: str | None = None,
        batch_size: Count = 64,
        max_length: Count = 128,
        device: str | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.package = package
        self.batch_size = batch_size
        self.max_length = max_length
        self.device = device
        self._parts: tuple[Any, Any] | None = None

    def load(self) -> None:
        """Load the weights now, so that a missing encoder shows before the work begins.

        Raises:
            InputOutputError: the weights are not on this machine and the hub cannot be reached.
        """
        if self._parts is not None:
            return
        folder = self._folder()
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_error()
        place = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        # What the folder lacks (an unused pooler) is drawn at random: not from the numbers that belong to training.
        with torch.random.fork_rng(devices=[]):
            model = AutoModel.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            )
        model = model.to(place).eval().requires_grad_(False)
        self._parts = AutoTokenizer.from_pretrained(folder, trust_remote_code=False), model

    def _folder(self) -> Path:
        try:
            return locate(self.name, self.path, self.package)
        except InputOutputError as error:
            if self.path is not None:
                raise InputOutputError(f"sentence encoder: path={self.path}: no such folder") from error
            raise InputOutputError(
                f"sentence encoder {self.name}: not on this machine and not to be had from the hub; give its path, "
                "install a package that carries it, or use arena.diversity.encoder.HashEncoder"
            ) from error

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`.

        Raises:
            InputOutputError: no weights, see `load`.
            OutOfMemoryError: memory does not suffice for a single text.
            DataError: an embedding is not finite.
        """
        self.load()
        assert self._parts is not None
        tokenizer, model = self._parts
        found = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(texts), WINDOW * self.batch_size):
            some = list(texts[start : start + WINDOW * self.batch_size])
            ids = tokenizer(some, truncation=True, max_length=self.max_length)["input_ids"]
            order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))  # the longest first: what does not fit shows
            self.batch_size = halving(
                lambda rows: self._forward([ids[i] for i in rows]),  # noqa: B023 - called before the next turn
                order,
                self.batch_size,
                found[start : start + len(some)],
            )
        if not np.isfinite(found).all():
            raise DataError(f"sentence encoder {self.name}: some embeddings are not finite; are its weights damaged?")
        return found

    def _forward(self, ids: list[list[int]]) -> np.ndarray:
        """Embeddings `[B, d]` of texts given as token ids."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        assert self._parts is not None
        tokenizer, model = self._parts
        texts = [torch.tensor(each) for each in ids]
        mask = pad_sequence([torch.ones_like(each) for each in texts], batch_first=True)
        padded = pad_sequence(texts, batch_first=True, padding_value=tokenizer.pad_token_id)
        place = model.device
        with torch.inference_mode(), torch.autocast(place.type, enabled=False):
            states = model(input_ids=padded.to(place), attention_mask=mask.to(place)).last_hidden_state
            kept = mask.to(place).unsqueeze(-1).to(states.dtype)
            return unit(((states * kept).sum(dim=1) / kept.sum(dim=1)).cpu().numpy())
