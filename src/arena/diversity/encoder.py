"""Texts to vectors of unit length, whose products are cosines."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from arena.core.errors import DataError, InputOutputError
from arena.core.hub import locate
from arena.core.schema import Count
from arena.diversity.batches import halving
from arena.diversity.vectors import unit
from arena.diversity.words import words

WINDOW = 32
"""Batches whose texts are tokenised and ordered by length together: bounds memory."""


class Encoder(Protocol):
    """Texts to vectors; its name stands beside the numbers that it gave."""

    name: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return rows of unit length, `[N, d]` float32, in the order of the texts."""
        ...


class HashEncoder:
    """Hashed words and pairs of neighbouring words: needs no weights and sees no meaning, only shared words.

    scikit-learn's `HashingVectorizer` of `dimension` entries. A text without words is a row of zeros.
    """

    def __init__(self, dimension: Count = 64) -> None:
        self.dimension = dimension
        self.name = f"scikit-learn's hashed words and pairs, {dimension} entries"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`."""
        from sklearn.feature_extraction.text import HashingVectorizer

        if not len(texts):
            return np.zeros((0, self.dimension), dtype=np.float32)
        # Signs that cancel out would leave no direction; without signs nothing cancels.
        options: dict[str, Any] = {"analyzer": _words_and_pairs, "n_features": self.dimension}
        hashing: Any = partial(HashingVectorizer, **options)
        signed, unsigned = (hashing(alternate_sign=each).transform(texts).toarray() for each in (True, False))
        return np.where(signed.any(axis=1, keepdims=True), signed, unsigned).astype(np.float32)


def _words_and_pairs(text: str) -> list[str]:
    cut = words(text)
    return cut + [" ".join(pair) for pair in pairwise(cut)]


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
        """Load the weights now; an `InputOutputError` where they are not here and the hub cannot be reached."""
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
        """See `Encoder`; an `InputOutputError` without weights, a `DataError` for embeddings that are not finite."""
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
