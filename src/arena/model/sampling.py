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


@dataclass(frozen=True)
class Sampling:
    """The distribution that replies are drawn from.

    A folder's own `generation_config.json` may have top_p 0.95 or top_k 20, which would be another distribution than
    that of the log probabilities: the model's own settings are ignored.

    Attributes:
        samples: Replies for each prompt.
        max_new_tokens: Largest length of a reply.
        temperature: Divisor of the logits; 0 takes the likeliest token each time.
        top_p: Only the likeliest tokens that together have this probability; 1 for all.
        top_k: Only that many of the likeliest tokens; 0 for all.
        end_ids: EOS ids.
        pad: Id of padding.

    Raises:
        UsageError: Several samples at temperature 0, which would all be the same.
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

    Attributes:
        ids: Token ids with the EOS id, and `pad` after it.
        length: Tokens of each reply with the EOS id.
        finished: True for a reply that ended with an EOS id.
    """

    ids: Int[Tensor, "R M"]
    length: Int[Tensor, " R"]
    finished: Bool[Tensor, " R"]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch every part of a module to evaluation mode, and back.

    Without dropout the samples and their log probabilities are of one distribution. Recomputed activations, which
    forbid the cache of keys and values, are off in this mode too: transformers recomputes only while training.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def own_stream(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators, and restore them: sampling changes no order of rows and no dropout."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def draw(
    backbone: Any, prompt_ids: Int[Tensor, "N P"], mask: Int[Tensor, "N P"], sampling: Sampling, seed: int
) -> Samples:
    """Sample replies from a language model of transformers, all prompts (padded on the left) in one call.

    The samples are a function of `seed`.
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
        with evaluating(backbone), own_stream(seed, prompt_ids.device):
            ids = backbone.generate(input_ids=prompt_ids, attention_mask=mask, generation_config=chosen)
    finally:
        base.generation_config = kept
    ids = ids[:, prompt_ids.shape[1] :]
    ended = torch.isin(ids, torch.tensor(sampling.end_ids, dtype=ids.dtype, device=ids.device))
    finished = ended.any(dim=1)
    length = torch.where(finished, ended.int().argmax(dim=1) + 1, ids.shape[1])
    beyond = torch.arange(ids.shape[1], device=ids.device) >= length[:, None]
    return Samples(ids.masked_fill(beyond, sampling.pad), length, finished)
