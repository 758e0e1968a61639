"""A causal language model of the hub that is fine-tuned on replies and can be sampled from."""

import logging
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from arena.core.errors import InputOutputError, UsageError
from arena.core.schema import Share
from arena.core.types import UNLABELLED, ClassPrior, ReplyBatch, TokenLogits
from arena.model.adapter import Adapter
from arena.model.backbone import HubModel
from arena.model.sampling import Samples, Sampling, draw

log = logging.getLogger("arena")
VALUES_AT_ONCE = 2**26
"""Logits that `log_probabilities` has in memory at a time (256 MB in float32)."""


class CausalModel(HubModel):
    """Backbone and language-model head: `model(batch) -> TokenLogits`, and `sample`.

    The head is computed where a target is and nowhere else, in chunks, by whoever needs logits
    (`arena.core.types.TokenLogits`). Several packed pairs of one sequence do not see each other. Of a backbone with
    adapters only these are trained, saved and restored, as in `arena.model.encoder`.

    Args:
        name: hub id.
        architecture: the published architecture, used where `pretrained` is false.
        path: a local folder that is used instead of the hub.
        package: an installed Python package that carries the model.
        pretrained: false builds the same architecture with random weights and needs no file.
        adapter: see `arena.model.adapter`; None trains the whole model.
        hidden_dropout: dropout of hidden states; null keeps what was published.
        attention_dropout: dropout of attention probabilities.
        gradient_checkpointing: recompute activations in the backward pass: less memory, about a third more time.

    Raises:
        InputOutputError: the weights cannot be found or do not fill the model.
        UsageError: an architecture without a language model, or an adapter's target that does not exist.
    """

    def __init__(
        self,
        name: str,
        architecture: dict,
        path: str | None = None,
        package: str | None = None,
        pretrained: bool = True,
        adapter: Adapter | None = None,
        hidden_dropout: Share | None = None,
        attention_dropout: Share = 0.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        dropout = hidden_dropout, attention_dropout
        loaded = self.take(
            name, architecture, path, package, pretrained, adapter, dropout, gradient_checkpointing, causal=True
        )
        self.backbone: Any = self.adapter.attach(loaded.module, leave_out=_head_name(loaded.module))
        self.train()
        total = sum(p.numel() for p in loaded.module.parameters()) / 1e6
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad) / 1e6
        kind = self.config.model_type
        log.info("model %s: %s, %.1fM parameters from %s; %.2fM are trained", name, kind, total, loaded.source, trained)

    @property
    def language_model(self) -> Any:
        """The model of transformers, with adapters inside its layers where there are some."""
        return self.backbone.get_base_model() if hasattr(self.backbone, "get_base_model") else self.backbone

    def init_from_class_prior(self, start: ClassPrior) -> None:
        """A language model begins with what it knows."""

    def forward(self, batch: ReplyBatch) -> TokenLogits:
        """The states from which the target tokens are predicted, and the head."""
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

    def sample(self, prompt_ids: Tensor, mask: Tensor, sampling: Sampling, seed: int) -> Samples:
        """Replies to N prompts, see `arena.model.sampling.draw`.

        Args:
            prompt_ids: `[N, P]` int64, padded on the left.
            mask: `[N, P]`, 1 where there is a token.
            sampling: the distribution.
            seed: of this call.
        """
        return draw(self.backbone, prompt_ids, mask, sampling, seed)

    def log_probabilities(
        self, prompt_ids: Tensor, mask: Tensor, samples: Samples, temperature: float = 1.0, at_once: int = 0
    ) -> Tensor:
        """log p(reply | prompt) of each sample at this temperature, nats, summed over its tokens, `[N * samples]`.

        The call decides about dropout and gradients: it is made in evaluation mode, as the sampling is.

        Args:
            prompt_ids, mask: of the N prompts, `[N, P]`.
            samples: replies to them.
            temperature: the one they were drawn at.
            at_once: sequences of a forward pass; 0 for all.
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

    def _summed(self, states: Tensor, ids: Tensor, counted: Tensor, temperature: float) -> Tensor:
        logits = self._head(states).float() / (temperature or 1.0)
        each = -functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none").view(ids.shape)
        return torch.where(counted, each, 0.0).sum(dim=1)

    def _states(self, ids: Tensor, mask: Tensor | None, positions: Tensor) -> Tensor:
        """Hidden states of the last layer, `[B, L, H]`."""
        options: dict[str, Any] = {} if mask is None else {"attention_mask": mask}
        decoder = self.language_model.get_decoder()
        return decoder(input_ids=ids, position_ids=positions, use_cache=False, **options).last_hidden_state

    def _mask(self, batch: ReplyBatch) -> Tensor | None:
        """What attends to what: the mask of padding, or which token is of the same pair and earlier, `[B, 1, L, L]`."""
        if not batch.packed:
            mask = batch.attention_mask
            return None if mask.device.type == "cpu" and bool(mask.all()) else mask
        segment = batch.segment
        same = segment[:, None, :, None] == segment[:, None, None, :]
        allowed = same & torch.ones(segment.shape[1], segment.shape[1], dtype=torch.bool, device=segment.device).tril()
        if getattr(self.config, "_attn_implementation", "sdpa") == "sdpa":
            return allowed
        numbers = self.language_model.get_input_embeddings().weight.dtype
        return torch.zeros(allowed.shape, dtype=numbers, device=segment.device).masked_fill(
            ~allowed, torch.finfo(numbers).min
        )

    def _head(self, states: Tensor) -> Tensor:
        """Logits `[..., V]`."""
        model = self.language_model
        logits = model.get_output_embeddings()(states)
        scale = getattr(self.config, "logits_scaling", None) or getattr(self.config, "logit_scale", None)
        if scale is not None:
            raise UsageError(f"model {self.name}: {self.config.model_type} scales its logits; arena does not know how")
        cap = getattr(self.config, "final_logit_softcapping", None)
        return cap * torch.tanh(logits / cap) if cap else logits


def _head_name(module: Any) -> str:
    """Where the language-model head stands in its model: it gets no adapter."""
    head = module.get_output_embeddings()
    found = next((name for name, part in module.named_modules() if part is head), None)
    if head is None or found is None:
        raise InputOutputError(f"{module.config.model_type}: this model has no language-model head")
    return found
