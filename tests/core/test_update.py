"""An update is the mean over all of its items, whatever the micro-batches; a rare term keeps its weight."""

from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from arena.core.types import UNLABELLED, LossOutput, ReplyBatch, TextBatch, TokenLogits
from arena.loss.classification import CrossEntropy
from arena.loss.language import LanguageModel
from arena.loss.multi_head import MultiHead
from arena.task.module import Task
from arena.task.sampling import DiversityTask

pytestmark = pytest.mark.filterwarnings(
    "ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated", "ignore:.*does not have many workers.*",
    "ignore:.*smaller than the logging interval.*", "ignore:You defined a `validation_step`",
)  # fmt: skip


class Descent:
    """Plain gradient descent: a weight moves by the learning rate times its gradient."""

    def __init__(self, lr: float = 1.0) -> None:
        self.lr = lr

    def build(self, model: nn.Module, *_: Any) -> dict[str, Any]:
        return {"optimizer": torch.optim.SGD(model.parameters(), self.lr)}


def moved(task: Task, batches: list[Any], k: int, **options: Any) -> dict[str, Tensor]:
    """By how much each weight of the model falls in one epoch with k micro-batches an update."""
    before = {name: each.detach().clone() for name, each in task.model.named_parameters()}
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=k, enable_checkpointing=False, **quiet, **options
    )
    loader: Any = torch.utils.data.DataLoader(batches, batch_size=None)  # pyright: ignore
    trainer.fit(task, loader)
    return {name: before[name] - each.detach() for name, each in task.model.named_parameters()}


class Bias(nn.Module):
    """The same logits for every row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(width))

    def forward(self, batch: TextBatch) -> Tensor:
        return self.logits.expand(len(batch), -1)


def rows(target: Tensor) -> TextBatch:
    known = target != UNLABELLED
    labelled = known.any(-1) if target.ndim > 1 else known
    ones = torch.ones(len(target), 1, dtype=torch.int64)
    return TextBatch(ones, ones, target, labelled.float(), torch.arange(len(target)), int(labelled.sum()))


@pytest.mark.parametrize("k", [2, 4])
def test_nine_labels_as_eight_and_one(k):
    """Logits 0, eight labels a and one b: the mean of p - y is (1/2 - 8/9, 1/2 - 1/9); the mean of the means is 0."""
    target = torch.tensor([0] * 8 + [1])
    task = Task(Bias(2), CrossEntropy(["a", "b"]), None, Descent())
    found = moved(task, [rows(target[:8]), rows(target[8:])], k)["logits"]
    torch.testing.assert_close(found, torch.tensor([0.5 - 8 / 9, 0.5 - 1 / 9]))
    assert float(task.trainer.callback_metrics["train/loss"]) == pytest.approx(np.log(2))


class Head(nn.Module):
    """States are given; the logits are a linear map of them."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.head = nn.Linear(6, vocabulary, bias=False)

    def forward(self, batch: Any) -> TokenLogits:
        states, target = batch.input_ids[0], batch.target[0]
        pair = torch.zeros(len(target), dtype=torch.int64)
        return TokenLogits(states, target, pair, self.head, self.head.out_features)


def test_404_tokens_as_4_and_400():
    draw = torch.Generator().manual_seed(0)
    states, target = torch.randn(404, 6, generator=draw), torch.randint(0, 9, (404,), generator=draw)

    def tokens(part: slice) -> ReplyBatch:
        some = target[part][None]
        line = torch.zeros_like(some)
        return ReplyBatch(states[part][None], line, line, line, some, torch.ones(1), line[0, :1], some.numel())

    found = []
    for parts in ([slice(0, 404)], [slice(0, 4), slice(4, 404)]):
        torch.manual_seed(0)
        task = Task(Head(9), LanguageModel(), None, Descent())
        change = moved(task, [tokens(part) for part in parts], len(parts))["head.weight"]
        found.append((change, float(task.trainer.callback_metrics["train/loss"])))
    (whole, loss), (divided, same) = found
    torch.testing.assert_close(divided, whole)
    assert same == pytest.approx(loss, rel=1e-6)


def test_heads_with_missing_labels_and_a_row_without_any():
    """Five rows and three, of which one has no label; the second micro-batch has no label of head y at all."""
    none = UNLABELLED
    target = torch.tensor([[0, 1], [1, none], [2, 0], [0, none], [1, 1], [2, none], [none, none], [0, none]])
    found = []
    for parts in ([target], [target[:5], target[5:]]):
        loss = MultiHead({"x": ["a", "b", "c"], "y": ["d", "e"]})
        loss.set_class_counts(torch.tensor([3, 2, 2, 1, 2]), torch.tensor([3, 2, 2, 1, 2]))
        found.append(moved(Task(Bias(5), loss, None, Descent()), [rows(part) for part in parts], len(parts))["logits"])
    torch.testing.assert_close(found[1], found[0])


def test_a_short_last_window_is_a_mean_of_its_own():
    """Three micro-batches in windows of two: the third moves the weights as far as the first two together."""
    task = Task(Bias(2), CrossEntropy(["a", "b"]), None, Descent(1e-6))
    found = moved(task, [rows(torch.zeros(4, dtype=torch.int64))] * 3, 2)["logits"]
    torch.testing.assert_close(found, torch.tensor([-1e-6, 1e-6]), rtol=1e-4, atol=0)


class Plane(nn.Module):
    """Two weights: quality falls along the first, diversity grows along the second."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(2))

    def forward(self, batch: Any) -> Tensor:
        return self.at


class Tilted(nn.Module):
    """quality = 0.5 x and D = 0.3 y."""

    samples, trains, lambda_ = True, True, 1.0

    def __init__(self, every: int) -> None:
        super().__init__()
        self.compute_every_n_steps = every

    def both(self, at: Tensor, batch: Any) -> tuple[LossOutput, Tensor]:
        return LossOutput(0.5 * at[0], 1, {"entropy": torch.tensor(1.0)}), torch.tensor(0.0)


class Given(DiversityTask):
    """As if replies had been sampled: two prompts, whose mean diversity is 0.3 y."""

    def _sampled(self, batch: Any, batch_index: int) -> tuple[Tensor, int]:
        self._sums.update(replies=1, tokens=1, duplicates=0, empty=0, sets=1, undefined=0, generation_seconds=0)
        return 0.3 * self.model.at[1], 2

    def on_fit_start(self) -> None:
        """The loss is none of arena's."""


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("every", [1, 4, 8])
def test_lambda_means_the_same_for_every_k_under_clipping(every, accumulate, clip):
    """Eight updates with gradients of 0.5 and 0.3, so 2.4 of diversity; clipped together it was 1.85 and .98 for every
    fourth and eighth step: 0.3 k / sqrt(0.5^2 + (0.3 k)^2) at each."""
    task = Given(Plane(), Tilted(every), None, Descent())
    found = moved(task, [torch.zeros(1)] * 8 * accumulate, accumulate, gradient_clip_val=clip)["at"]
    torch.testing.assert_close(found, torch.tensor([8 * 0.5, -8 * 0.3]))
    assert task.scored["gradient_ratio"] == pytest.approx(0.6)
    assert task.scored["clipped_gradient_ratio"] == pytest.approx(0.6)
    assert task.scored["scored_prompts"] == 2 * accumulate


def test_the_ratio_after_clipping():
    """Clipped to 0.4 the quality loses a fifth and the diversity nothing: 0.3 / 0.4."""
    task = Given(Plane(), Tilted(4), None, Descent())
    found = moved(task, [torch.zeros(1)] * 8, 1, gradient_clip_val=0.4)["at"]
    torch.testing.assert_close(found, torch.tensor([8 * 0.4, -8 * 0.3]), rtol=1e-4, atol=0)
    assert task.scored["gradient_ratio"] == pytest.approx(0.6)
    assert task.scored["clipped_gradient_ratio"] == pytest.approx(0.75)
