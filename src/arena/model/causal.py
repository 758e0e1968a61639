"""A causal language model of the hub that is fine-tuned on replies and can be sampled from."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from arena.core.errors import UsageError
from arena.core.shapes import Float, Int
from arena.core.types import UNLABELLED, ClassPrior, ReplyBatch, TokenLogits
from arena.model.backbone import HubModel
from arena.model.sampling import Prompts, Samples, Sampling, draw

VALUES_AT_ONCE = 2**26
"""Logits that `log_probabilities` has in memory at a time (256 MB in float32)."""


class CausalModel(HubModel):
    """Backbone and language-model head: `model(batch) -> TokenLogits`, and `sample`. Options: see `HubModel`.

    The head is computed where a target is and nowhere else, in chunks, by whoever needs logits
    (`arena.core.types.TokenLogits`). Several packed pairs of one sequence do not see each other.
    """

    causal = True

    def init_from_class_prior(self, class_prior: ClassPrior) -> None:
        """Do nothing: a language model has no classes."""

    def forward(self, batch: ReplyBatch) -> TokenLogits:
        """Compute the states from which the target tokens are predicted."""
        wanted = batch.target[:, 1:] != UNLABELLED
        # Their number is known on the host, so finding them costs no synchronisation: a stable sort puts them in front.
        index = (~wanted).flatten().to(torch.uint8).argsort(stable=True)[: batch.supervised]
        width = wanted.shape[1]
        line, place = index // max(width, 1), index % max(width, 1)
        states = self._states(batch.input_ids, self._mask(batch), batch.position_ids)
        return TokenLogits(
            states=states[line, place],
            target=batch.target[line, place + 1],
            pair=batch.segment[line, place + 1],
            head=self._head,
            vocabulary=self.vocabulary_size,
        )

    def sample(self, prompt_ids: Prompts, mask: Prompts, sampling: Sampling, seed: int) -> Samples:
        """Sample replies to N prompts that are padded on the left, see `arena.model.sampling.draw`."""
        return draw(self.backbone, prompt_ids, mask, sampling, seed)

    def log_probabilities(
        self, prompt_ids: Prompts, mask: Prompts, samples: Samples, temperature: float = 1.0, at_once: int = 0
    ) -> Float[Tensor, " R"]:
        """Compute log p(reply | prompt) of each of the R = N * samples replies, nats, summed over its tokens.

        The caller chooses dropout and gradients: call it in evaluation mode, as the sampling is.
        """
        times = len(samples.ids) // len(prompt_ids)
        step = at_once or len(samples.ids)
        parts = []
        for start in range(0, len(samples.ids), step):
            rows = torch.arange(start, min(start + step, len(samples.ids)), device=prompt_ids.device)
            chosen = Samples(samples.ids[rows], samples.length[rows], samples.finished[rows])
            parts.append(self._log_probabilities(prompt_ids[rows // times], mask[rows // times], chosen, temperature))
        return torch.cat(parts)

    def _log_probabilities(self, prompt_ids: Tensor, mask: Tensor, samples: Samples, temperature: float) -> Tensor:
        reply = torch.arange(samples.ids.shape[1], device=mask.device) < samples.length[:, None]
        whole = torch.cat([mask, reply.to(mask.dtype)], dim=1)
        ids = torch.cat([prompt_ids, samples.ids], dim=1)
        states = self._states(ids, whole, (whole.cumsum(1) - 1).clamp(min=0))[:, prompt_ids.shape[1] - 1 : -1]
        columns = max(1, VALUES_AT_ONCE // (self.vocabulary_size * max(1, len(ids))))
        total = states.new_zeros(len(ids), dtype=torch.float32)
        for start in range(0, states.shape[1], columns):
            part = slice(start, start + columns)
            total = total + checkpoint(
                self._summed, states[:, part], samples.ids[:, part], reply[:, part], temperature,
                use_reentrant=False, preserve_rng_state=False,
            )  # fmt: skip
        return total

    def _summed(self, states: Tensor, ids: Tensor, counted: Tensor, temperature: float) -> Float[Tensor, " R"]:
        logits = self._head(states).float() / (temperature or 1.0)
        each = -functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none").view(ids.shape)
        return torch.where(counted, each, 0.0).sum(dim=1)

    def _states(self, ids: Int[Tensor, "B L"], mask: Tensor | None, positions: Tensor) -> Float[Tensor, "B L H"]:
        options: dict[str, Any] = {} if mask is None else {"attention_mask": mask}
        decoder = self.bare.get_decoder()
        return decoder(input_ids=ids, position_ids=positions, use_cache=False, **options).last_hidden_state

    def _mask(self, batch: ReplyBatch) -> Tensor | None:
        """Make the mask of padding, or of earlier tokens of the same pair `[B, 1, L, L]` where pairs are packed."""
        if not batch.packed:
            mask = batch.attention_mask
            return None if mask.device.type == "cpu" and bool(mask.all()) else mask
        segment = batch.segment
        same = segment[:, None, :, None] == segment[:, None, None, :]
        allowed = same & torch.ones(segment.shape[1], segment.shape[1], dtype=torch.bool, device=segment.device).tril()
        if getattr(self.config, "_attn_implementation", "sdpa") == "sdpa":
            return allowed
        numbers = self.bare.get_input_embeddings().weight.dtype
        lowest = torch.finfo(numbers).min
        return torch.zeros(allowed.shape, dtype=numbers, device=segment.device).masked_fill(~allowed, lowest)

    def _head(self, states: Float[Tensor, "*m H"]) -> Float[Tensor, "*m V"]:
        logits = self.bare.get_output_embeddings()(states)
        scale = getattr(self.config, "logits_scaling", None) or getattr(self.config, "logit_scale", None)
        if scale is not None:
            raise UsageError(f"model {self.name}: {self.config.model_type} scales its logits; arena does not know how")
        cap = getattr(self.config, "final_logit_softcapping", None)
        return cap * torch.tanh(logits / cap) if cap else logits
