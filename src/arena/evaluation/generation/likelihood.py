"""How likely a causal language model finds replies behind their prompts."""

from collections.abc import Sequence

import numpy as np
import torch

from arena.core import hub
from arena.data.text.tokenizer import HubTokenizer
from arena.diversity.batches import halving
from arena.evaluation.generation.memory import left_padded
from arena.model import backbone
from arena.model.adapter import Adapter

BETWEEN = "\n\n"
"""Between prompt and reply; a chat template would be that of one model, and any model can judge here."""


class TokenLikelihood:
    """A pretrained causal language model that reads and never writes.

    Args:
        name: hub id.
        path: a folder instead of the hub.
        max_length: tokens of prompt and reply together.

    Raises:
        InputOutputError: no such model, or its folder holds no whole language model.
    """

    def __init__(self, name: str, path: str | None, max_length: int) -> None:
        folder = hub.locate(name, path)
        self.model = backbone.load(folder, name, None, 0.0, Adapter(), causal=True).module
        self.model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self.max_length = max_length
        self.tokenizer = HubTokenizer(name, str(folder))

    def __call__(self, pairs: Sequence[tuple[str, str]], batch_size: int) -> np.ndarray:
        """Mean log probability of a reply's tokens in nats, given the prompt, `[N]` float64; NaN for empty replies.

        Args:
            pairs: prompt and reply, `N` of them.
            batch_size: of them in one pass; halved where they do not fit into memory.
        """
        encoded = self.tokenizer.encode([text for prompt, reply in pairs for text in (prompt + BETWEEN, reply)])
        sequences, scored = [], []
        for before, reply in zip(encoded[::2], encoded[1::2], strict=True):
            reply = reply[: self.max_length - 1 - len(self.tokenizer.prefix)]
            room = self.max_length - len(reply) - len(self.tokenizer.prefix)
            sequences.append(np.concatenate([self.tokenizer.prefix, before[-room:], reply]).astype(np.int64))
            scored.append(min(len(reply), len(sequences[-1]) - 1))
        found = np.full(len(pairs), np.nan)
        order = [i for i in sorted(range(len(pairs)), key=lambda i: -len(sequences[i])) if scored[i] > 0]
        halving(
            lambda rows: self._means([sequences[i] for i in rows], [scored[i] for i in rows]), order, batch_size, found,
            "checker=likelihood", "one reply; lower checker.max_length",
        )  # fmt: skip
        return found

    @torch.no_grad()
    def _means(self, sequences: list[np.ndarray], scored: list[int]) -> np.ndarray:
        """On the left padding: so all replies end at the same place, and only their logits are computed."""
        device = self.model.device
        ids, mask = (each.to(device) for each in left_padded(sequences, self.tokenizer.pad))
        place = (mask.cumsum(1) - 1).clamp(min=0)
        most = max(scored)
        logits = self.model(
            input_ids=ids, attention_mask=mask, position_ids=place, logits_to_keep=most + 1, use_cache=False
        ).logits[:, :-1]
        taken = logits.float().log_softmax(-1).gather(2, ids[:, -most:, None]).squeeze(2)
        length = torch.tensor(scored, device=device)
        known = torch.arange(most, 0, -1, device=device) <= length[:, None]
        return (taken.double().where(known, 0).sum(1) / length).cpu().numpy()
