"""The task with a diversity term: it samples inside the step and measures what the term does to the gradient."""

import logging
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor

from arena.errors import UsageError
from arena.loss.polychromic import surrogate
from arena.model.sampling import Sampling, evaluating
from arena.task import Task

log = logging.getLogger("arena")


class DiversityTask(Task):
    """As `Task`, for `arena.loss.polychromic.Polychromic`: the loss is quality - lambda * diversity.

    Every `compute_every_n_steps` steps it is scored: replies to some prompts of the batch are sampled where the
    estimator needs them, the norms of both gradients are taken apart, and all that is logged at once, at that step,
    whatever `trainer.log_every_n_steps` is:

    | name | |
    |---|---|
    | train/quality | cross entropy, nats a token |
    | train/diversity | D |
    | train/combined | quality - lambda D |
    | train/diversity_share | lambda abs(D) / (abs(quality) + lambda abs(D)): how large it looks |
    | train/gradient_ratio | norm of the gradient of lambda D over that of the quality: how much it does |
    | train/token_entropy | nats |
    | train/generation_seconds, train/sampled_tokens, train/duplicate_share, train/empty_share, train/scored_prompts | |

    Attributes:
        scored: these values of the step that was scored last, without `train/`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scored: dict[str, float] = {}
        self._fresh = False
        self._texts: dict[int, tuple[str, str]] = {}

    def on_fit_start(self) -> None:
        """Refuse what cannot work, and say of a detached score what it is.

        Raises:
            UsageError: sharded weights, which cannot be sampled from.
        """
        if self.loss.samples and isinstance(self.trainer.strategy, FSDPStrategy):
            raise UsageError(
                "loss.estimator: sampling in the step needs whole weights, which trainer=fsdp does not keep; take "
                "trainer=ddp with adapter=lora, or loss.estimator=entropy"
            )
        if self.loss.estimator == "detached" and self.loss.weight:
            log.warning(
                "loss.estimator=detached: the score of sampled text is subtracted as a number and has no gradient; "
                "this trains exactly as loss.lambda=0, only the logged loss falls; loss.estimator=leave_one_out trains"
            )

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """quality - lambda * diversity in nats; without the second part between two steps that sample."""
        output, diversity = self.loss.both(self.model(batch), batch)
        facts: dict[str, float] = {}
        due = self.global_step % self.loss.every == 0
        if due and self.loss.samples:
            diversity, facts = self._sampled(batch, batch_index)
        counted = due or not self.loss.samples
        loss = output.loss - self.loss.weight * diversity if counted else output.loss
        if due:
            self._note(output, diversity, facts)
        self.log("train/loss", loss, batch_size=output.n, prog_bar=True)
        for name, value in output.parts.items():
            self.log(f"train/{name}", value, batch_size=output.n)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Write down what was measured, once the step is counted."""
        if self._fresh:
            self._fresh = False
            values = {f"train/{name}": value for name, value in self.scored.items()}
            for logger in self.trainer.loggers:
                logger.log_metrics(values, step=self.trainer.global_step)

    def _sampled(self, batch: Any, batch_index: int) -> tuple[Tensor, dict[str, float]]:
        """The diversity of sampled replies with its gradient, and facts about them."""
        loss = self.loss
        if batch.prompts is None:
            raise UsageError("data.prompts=true is needed: the loss samples replies to the prompts of a batch")
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        ids, mask = (each[: loss.examples] for each in batch.prompts)
        sampling = Sampling(
            loss.replies, loss.max_new_tokens, loss.temperature, end_ids=tuple(data.end_ids), pad=data.tokenizer.pad
        )
        began = time.perf_counter()
        seed = np.random.SeedSequence([loss.seed, self.global_step, self.global_rank, batch_index]).generate_state(1)
        with evaluating(self.model):
            samples = self.model.sample(ids, mask, sampling, int(seed[0]))
            lengths = samples.length.tolist()
            rows = zip(samples.ids.cpu().numpy(), lengths, strict=True)
            texts = [data.tokenizer.decode(row[:length]) for row, length in rows]
            seconds = time.perf_counter() - began
            sets = [texts[i : i + loss.replies] for i in range(0, len(texts), loss.replies)]
            value, credit = self._judged(sets, batch, data)
            if loss.trains:
                log_probability = self.model.log_probabilities(ids, mask, samples, loss.temperature, loss.at_once)
            else:
                log_probability = torch.zeros(len(texts), device=ids.device)
        diversity = surrogate(
            value.to(ids.device), credit.to(ids.device), log_probability.view(credit.shape), loss.every / loss.divisor
        )
        facts = {
            "generation_seconds": seconds,
            "sampled_tokens": sum(lengths) / len(lengths),
            "duplicate_share": 1 - sum(len(set(each)) for each in sets) / len(texts),
            "empty_share": sum(not text.strip() for text in texts) / len(texts),
            "scored_prompts": float(torch.isfinite(value).sum()),
        }
        return diversity, facts

    def _judged(self, sets: list[list[str]], batch: Any, data: Any) -> tuple[Tensor, Tensor]:
        """D(S) of each set, `[m]`, and what each reply adds to it, D(S) - D(S without it), `[m, n]`; float32."""
        rewards = None
        if self.loss.reward is not None:
            if not self._texts:
                known = zip(data.prompt_texts("train"), data.references("train"), strict=True)
                self._texts = dict(zip(data.rows("train").tolist(), known, strict=True))
            asked = [self._texts[row] for row in batch.row[: len(sets)].tolist()]
            rewards = [
                np.array([self.loss.reward.check(prompt, text, reference) for text in each])
                for (prompt, reference), each in zip(asked, sets, strict=True)
            ]
        found = self.loss.score.many(sets, rewards)
        value = np.array([whole for whole, _ in found])
        credit = np.stack([whole - without for whole, without in found])
        return torch.from_numpy(value).float(), torch.from_numpy(credit).float()

    def _note(self, output: Any, diversity: Tensor, facts: dict[str, float]) -> None:
        """Keep what was measured at a scored step; it has to wait for the device in any case, to decode."""
        weight, quality, value = self.loss.weight, float(output.loss.detach()), float(diversity.detach())
        ratio = 0.0
        if self.loss.trains:
            trained = [p for p in self.parameters() if p.requires_grad]
            times = self.loss.every if self.loss.samples else 1
            norms = [_norm(torch.autograd.grad(part, trained, retain_graph=True, allow_unused=True))
                     for part in (output.loss, diversity)]  # fmt: skip
            ratio = weight * norms[1] / times / max(norms[0], 1e-30)
        total = abs(quality) + weight * abs(value)
        self.scored = {
            "quality": quality,
            "diversity": value,
            "combined": quality - weight * value,
            "diversity_share": weight * abs(value) / total if total else 0.0,
            "gradient_ratio": ratio,
            "token_entropy": float(output.parts["entropy"]),
            **facts,
        }
        self._fresh = True


def _norm(gradients: Iterable[Tensor | None]) -> float:
    """Euclidean norm over all gradients."""
    return float(sum(each.float().square().sum() for each in gradients if each is not None)) ** 0.5
