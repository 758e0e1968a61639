"""The task with a diversity term: samples inside the step, and the gradient of the term apart from the quality's."""

import logging
import math
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.update import Apart, all_sum, norm
from arena.diversity.scores import Credits, credits_of
from arena.loss.polychromic import surrogate
from arena.model.sampling import Sampling, evaluating
from arena.task.module import Task

log = logging.getLogger("arena")
TINY = 1e-30
"""In place of a norm of 0."""


class DiversityTask(Task):
    """The task of `arena.loss.polychromic.Polychromic`: the loss is quality - lambda * diversity.

    Every `compute_every_n_steps` steps are scored: replies to some prompts of each batch are sampled where the
    estimator needs them, the gradient of the diversity is kept apart, and the following is logged at that step,
    whatever `trainer.log_every_n_steps` is. All are means over the update:

    | name | |
    |---|---|
    | train/quality | cross entropy, nats a token |
    | train/diversity | D |
    | train/combined | quality - lambda D |
    | train/diversity_share | lambda abs(D) / (abs(quality) + lambda abs(D)) |
    | train/gradient_ratio | norm of the gradient of lambda D over that of the quality |
    | train/clipped_gradient_ratio | the same after clipping |
    | train/token_entropy | nats |
    | train/generation_seconds, train/sampled_tokens | in all of the update, and tokens a reply |
    | train/duplicate_share, train/empty_share | replies that equal another of their set, and without visible text |
    | train/scored_prompts | sets of replies in D |
    | train/undefined_share | sets without a score (`arena.diversity.scores.credits_of`) |

    The gradients of the quality and of a sampled diversity are clipped apart, each to `trainer.gradient_clip_val`, and
    the second is multiplied by `compute_every_n_steps` after that: clipped together, a term that comes at every eighth
    step with eight times its gradient would lose most of it. `scored` holds the values of the step scored last.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scored: dict[str, float] = {}
        self._fresh = False
        self._texts: dict[int, tuple[str, str]] = {}
        self._apart = Apart()
        self._sums: Any = Counter()
        self._term: dict[nn.Parameter, Tensor] = {}
        self._norms = (0.0, 0.0)
        self._means: dict[str, Tensor] = {}

    def on_fit_start(self) -> None:
        """Refuse sharded weights, which cannot be sampled from (`UsageError`); warn of a detached score."""
        if self.loss.samples and isinstance(self.trainer.strategy, FSDPStrategy):
            raise UsageError(
                "loss.estimator: sampling in the step needs whole weights, which trainer=fsdp does not keep; take "
                "trainer=ddp with adapter=lora, or loss.estimator=entropy"
            )
        if self.loss.estimator == "detached" and self.loss.lambda_:
            log.warning(
                "loss.estimator=detached: the score of sampled text is subtracted as a number and has no gradient; "
                "this trains exactly as loss.lambda=0, only the logged loss falls; loss.estimator=leave_one_out trains"
            )

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """The part of a batch in the loss of its update; the gradient of a sampled diversity is added to it later."""
        output, diversity = self.loss.both(self.model(batch), batch)
        quality, sampled, weight = output.loss, self.loss.samples, output.n
        if self._due:
            if sampled:
                diversity, weight = self._sampled(batch, batch_index)
            self._sums.update(diversity=float(diversity.detach()) * weight, weight=weight)
            if self.loss.trains:
                self._apart.add(diversity, weight, self.parameters(), self.trainer)
            output.parts["quality"] = quality.detach()
        loss = quality - self.loss.lambda_ * (diversity.detach() if sampled else diversity)
        self._update.add(replace(output, loss=loss))
        return self.share(replace(output, loss=quality if sampled else loss))

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Keep the values of a scored step: only now are gradients of 16 bits unscaled."""
        if self._due:
            self._keep_scored()

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradient of the quality, and add that of a sampled diversity, clipped by itself."""
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        if not self._due:
            return
        ratio, (quality, diversity) = self.scored["gradient_ratio"], self._norms
        if self.loss.samples:
            limit = gradient_clip_val or math.inf
            ratio = min(diversity, limit) / max(min(quality, limit), TINY)
            factor = -self.loss.compute_every_n_steps * self.loss.lambda_ * min(1.0, limit / max(diversity, TINY))
            for parameter, gradient in self._term.items():
                gradient.mul_(factor)
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        self._term = {}
        self.scored["clipped_gradient_ratio"] = ratio

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the values of a scored step, once the step is counted."""
        if self._fresh:
            self._fresh = False
            values = {f"train/{name}": value for name, value in self.scored.items()}
            for logger in self.trainer.loggers:
                logger.log_metrics(values, step=self.trainer.global_step)

    @property
    def _due(self) -> bool:
        """True at a step that is scored."""
        return self.global_step % self.loss.compute_every_n_steps == 0

    def _sampled(self, batch: Any, batch_index: int) -> tuple[Tensor, int]:
        """The diversity of sampled replies with its gradient, and the number of sets that it is the mean of."""
        loss = self.loss
        if batch.prompts is None:
            raise UsageError("data.prompts=true is needed: the loss samples replies to the prompts of a batch")
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        ids, mask = (each[: loss.max_examples_for_diversity] for each in batch.prompts)
        sampling = Sampling(
            loss.n_generations,
            loss.max_new_tokens,
            loss.temperature,
            end_ids=tuple(data.end_ids),
            pad=data.tokenizer.pad,
        )
        began = time.perf_counter()
        seed = np.random.SeedSequence([loss.seed, self.global_step, self.global_rank, batch_index]).generate_state(1)
        with evaluating(self.model):
            samples = self.model.sample(ids, mask, sampling, int(seed[0]))
            lengths = samples.length.tolist()
            rows = zip(samples.ids.cpu().numpy(), lengths, strict=True)
            texts = [data.tokenizer.decode(row[:length]) for row, length in rows]
            self._sums["generation_seconds"] += time.perf_counter() - began
            sets = [texts[i : i + loss.n_generations] for i in range(0, len(texts), loss.n_generations)]
            found = self._credits(sets, batch, data)
            if loss.trains:
                log_probability = self.model.log_probabilities(
                    ids, mask, samples, loss.temperature, loss.sequences_at_once
                )
            else:
                log_probability = torch.zeros(len(texts), device=ids.device)
        value, credit = (torch.from_numpy(each).float().to(ids.device) for each in (found.value, found.credit))
        diversity = surrogate(value, credit, log_probability.view(credit.shape), 1 / loss.length_divisor)
        self._sums.update(
            replies=len(texts), tokens=sum(lengths), duplicates=len(texts) - sum(len(set(each)) for each in sets),
            empty=sum(not text.strip() for text in texts), sets=len(sets), undefined=int(found.undefined.sum()),
        )  # fmt: skip
        return diversity, int(np.isfinite(found.value).sum())

    def _credits(self, sets: list[list[str]], batch: Any, data: Any) -> Credits:
        """D(S) of each set, and the part of each reply in it."""
        rewards = None
        if self.loss.reward is not None:
            if not self._texts:
                known = zip(data.prompt_texts("train"), data.reference_replies("train"), strict=True)
                self._texts = dict(zip(data.rows("train").tolist(), known, strict=True))
            known = [self._texts[row] for row in batch.row[: len(sets)].tolist()]
            rewards = [
                np.array([self.loss.reward.check(prompt, text, reference) for text in each])
                for (prompt, reference), each in zip(known, sets, strict=True)
            ]
        return credits_of(self.loss.score, sets, rewards)

    def _log_update(self, means: dict[str, Tensor]) -> None:
        self._means = dict(means)
        means.pop("quality", None)
        super()._log_update(means)

    def _keep_scored(self) -> None:
        quality, weight, sums, self._sums = float(self._means["quality"]), self.loss.lambda_, self._sums, Counter()
        names = sorted(sums)
        total = all_sum(torch.tensor([sums[name] for name in names], dtype=torch.float64), self.trainer).tolist()
        sums = dict(zip(names, total, strict=True))
        value = sums["diversity"] / max(sums["weight"], 1.0)
        self._term = self._apart.finish(self.trainer)
        gradients = {p: p.grad for p in self.parameters() if p.grad is not None}
        if not self.loss.samples:  # then the gradients are those of the difference
            gradients = {p: each + weight * self._term.get(p, 0.0) for p, each in gradients.items()}
        self._norms = norm(gradients.values()), weight * norm(self._term.values())
        total_size = abs(quality) + weight * abs(value)
        self.scored = {
            "quality": quality,
            "diversity": value,
            "combined": quality - weight * value,
            "diversity_share": weight * abs(value) / total_size if total_size else 0.0,
            "gradient_ratio": self._norms[1] / max(self._norms[0], TINY),
            "token_entropy": float(self._means["entropy"]),
        }
        if self.loss.samples:
            self.scored |= {
                "generation_seconds": sums["generation_seconds"] / self.trainer.world_size,
                "sampled_tokens": sums["tokens"] / sums["replies"],
                "duplicate_share": sums["duplicates"] / sums["replies"],
                "empty_share": sums["empty"] / sums["replies"],
                "scored_prompts": sums["weight"],
                "undefined_share": sums["undefined"] / sums["sets"],
            }
        self._fresh = True
