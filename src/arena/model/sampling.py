"""Replies of a language model: drawn from a stated distribution, with a random stream of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.schema import Count, NonNegative, Share, WholeNumber


@dataclass(frozen=True)
class Sampling:
    """Everything that decides which distribution a reply is drawn from.

    A folder's own `generation_config.json` may say top_p 0.95 or top_k 20, and samples from that are not what a log
    probability speaks of: the model's own settings are taken away for the call, and transformers' leave the rest off.

    Attributes:
        samples: replies for each prompt.
        max_new_tokens: tokens of a reply at most.
        temperature: what the logits are divided by; 0 takes the likeliest token each time.
        top_p: only the likeliest tokens that together have this probability; 1 for all.
        top_k: only that many of the likeliest tokens; 0 for all.
        end_ids: ids that end a reply.
        pad: id that fills up what comes behind the end.

    Raises:
        UsageError: several samples at temperature 0, which would all be the same.
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
    """Replies to N prompts, those of one prompt beside each other.

    Attributes:
        ids: token ids, `[N * samples, T]` int64; the id that ended a reply is among them, `pad` behind it.
        length: tokens of each reply with the one that ended it, `[N * samples]` int64.
        finished: whether a reply ended by itself, `[N * samples]` bool.
    """

    ids: Tensor
    length: Tensor
    finished: Tensor


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Every part of the module in evaluation mode, and afterwards in the mode that it had.

    Without dropout what is sampled and what its log probability speaks of are one distribution. Recomputed
    activations, which forbid the cache of keys and values, are off in this mode too: transformers recomputes only while
    training.
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
    """torch's generators seeded, and afterwards as they were: sampling changes no order of rows and no dropout."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def draw(backbone: Any, prompt_ids: Tensor, mask: Tensor, sampling: Sampling, seed: int) -> Samples:
    """Replies of a language model of transformers, all prompts in one call.

    Args:
        backbone: has `generate`.
        prompt_ids: `[N, P]` int64, padded on the left.
        mask: 1 where there is a token, `[N, P]`.
        sampling: the distribution.
        seed: of this call's own random stream.
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
    with evaluating(backbone), own_stream(seed, prompt_ids.device), _without_defaults(backbone):
        ids = backbone.generate(input_ids=prompt_ids, attention_mask=mask, generation_config=chosen)
    ids = ids[:, prompt_ids.shape[1] :]
    ended = torch.isin(ids, torch.tensor(sampling.end_ids, dtype=ids.dtype, device=ids.device))
    finished = ended.any(dim=1)
    length = torch.where(finished, ended.int().argmax(dim=1) + 1, ids.shape[1])
    beyond = torch.arange(ids.shape[1], device=ids.device) >= length[:, None]
    return Samples(ids.masked_fill(beyond, sampling.pad), length, finished)


@contextmanager
def _without_defaults(backbone: Any) -> Iterator[None]:
    """The model without generation settings of its own, from which transformers fills what a call leaves open."""
    from transformers import GenerationConfig

    base = backbone.get_base_model() if hasattr(backbone, "get_base_model") else backbone
    kept = base.generation_config
    base.generation_config = GenerationConfig()
    try:
        yield
    finally:
        base.generation_config = kept
