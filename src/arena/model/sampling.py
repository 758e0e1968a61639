"""Sampling of replies from a language model, with a random stream of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.schema import Count, NonNegative, Share, WholeNumber
from arena.core.shapes import Bool, Int

Prompts = Int[Tensor, "N P"]
"""Ids or mask of N prompts, padded on the left."""


@dataclass(frozen=True)
class Sampling:
    """The distribution that replies are drawn from; temperature 0 takes the likeliest token each time.

    A folder's own `generation_config.json` may have top_p 0.95 or top_k 20, which would be another distribution than
    that of the log probabilities: the model's own settings are ignored. `top_p=1` and `top_k=0` take all tokens.
    """

    samples: Count = 1
    max_new_tokens: Count = 64
    temperature: NonNegative = 1.0
    top_p: Share = 1.0
    top_k: WholeNumber = 0
    end_ids: tuple[int, ...] = ()
    pad: int = 0

    def __post_init__(self) -> None:
        if self.samples > 1 and self.temperature == 0:
            raise UsageError(f"temperature=0: all {self.samples} samples would be the same; take a temperature above 0")


@dataclass
class Samples:
    """R = N * samples replies to N prompts, those of one prompt beside each other.

    `ids` hold the EOS id of a reply that `finished`, and `pad` after it; `length` counts it.
    """

    ids: Int[Tensor, "R M"]
    length: Int[Tensor, " R"]
    finished: Bool[Tensor, " R"]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch every part of a module to evaluation mode, and back; without dropout the samples and their log
    probabilities are of one distribution, and without recomputed activations there is a cache of keys and values."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@torch.no_grad()
def draw(backbone: Any, prompt_ids: Prompts, mask: Prompts, sampling: Sampling, seed: int) -> Samples:
    """Sample replies from a language model of transformers, all prompts (padded on the left) in one call.

    The random stream is of its own: sampling changes no order of rows and no dropout.
    """
    from transformers import GenerationConfig

    random = sampling.temperature > 0
    chosen = GenerationConfig(
        do_sample=random,
        temperature=sampling.temperature if random else None,
        top_p=sampling.top_p if random else None,
        top_k=sampling.top_k if random else None,
        num_return_sequences=sampling.samples,
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=list(sampling.end_ids) or None,
        pad_token_id=sampling.pad,
        bos_token_id=None,
        use_cache=True,
    )
    # transformers fills what a call leaves open from the model's own settings.
    base = backbone.get_base_model() if hasattr(backbone, "get_base_model") else backbone
    kept, base.generation_config = base.generation_config, GenerationConfig()
    try:
        devices = [prompt_ids.device] if prompt_ids.device.type == "cuda" else []
        with evaluating(backbone), torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            ids = backbone.generate(input_ids=prompt_ids, attention_mask=mask, generation_config=chosen)
    finally:
        base.generation_config = kept
    ids = ids[:, prompt_ids.shape[1] :]
    ended = torch.isin(ids, torch.tensor(sampling.end_ids, dtype=ids.dtype, device=ids.device))
    finished = ended.any(dim=1)
    length = torch.where(finished, ended.int().argmax(dim=1) + 1, ids.shape[1])
    beyond = torch.arange(ids.shape[1], device=ids.device) >= length[:, None]
    return Samples(ids.masked_fill(beyond, sampling.pad), length, finished)
