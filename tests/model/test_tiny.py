"""The tiny model: what it must not depend on, and that it can learn."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from arena.core.types import TextBatch
from arena.model.tiny import TinyClassifier

LABELS = ["model_a", "model_b", "tie"]
PAD = 256


def batch_of(rows: list[list[int]], extra: int = 0, target: list[int] | None = None) -> TextBatch:
    """Right-padded to the longest row and `extra` more."""
    length = max(map(len, rows)) + extra
    return TextBatch(
        input_ids=torch.tensor([row + [PAD] * (length - len(row)) for row in rows]),
        attention_mask=torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows]),
        target=torch.tensor(target or [0] * len(rows)),
        weight=torch.ones(len(rows)),
        row=torch.arange(len(rows)),
        supervised=len(rows),
    )


def example_rows(count: int = 6, seed: int = 0) -> list[list[int]]:
    """begin, prompt, separator, A, separator, B, end: of random bytes and different lengths."""
    generator = torch.Generator().manual_seed(seed)

    def piece() -> list[int]:
        size = int(torch.randint(1, 30, (1,), generator=generator))
        return torch.randint(0, 256, (size,), generator=generator).tolist()

    return [[257, *piece(), 258, *piece(), 258, *piece(), 259] for _ in range(count)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors as small as these lose time to a second thread, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model() -> TinyClassifier:
    """In evaluation mode, with a head that is not zero."""
    torch.manual_seed(0)
    model = TinyClassifier(LABELS).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


@pytest.mark.parametrize("labels", [LABELS, ["yes", "no"]])
def test_first_loss_is_that_of_a_uniform_guess(labels):
    batch = batch_of(example_rows())
    logits = TinyClassifier(labels)(batch)
    assert logits.shape == (6, len(labels))
    assert functional.cross_entropy(logits, batch.target).item() == pytest.approx(math.log(len(labels)), abs=1e-6)


@pytest.mark.parametrize("extra", [1, 7, 8, 61])
def test_padding_changes_nothing(model, extra):
    rows = example_rows()
    torch.testing.assert_close(model(batch_of(rows, extra)), model(batch_of(rows)), atol=1e-5, rtol=0)


def test_batch_mates_change_nothing(model):
    rows = example_rows()
    alone = torch.cat([model(batch_of([row])) for row in rows])
    torch.testing.assert_close(model(batch_of(rows)), alone, atol=1e-5, rtol=0)


def test_ids_behind_the_end_change_nothing(model):
    batch = batch_of(example_rows())
    expected = model(batch)
    batch.input_ids = torch.where(batch.attention_mask == 1, batch.input_ids, 258)
    torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=0)


def test_an_empty_row_is_finite_and_harms_no_other(model):
    batch = batch_of(example_rows())
    expected = model(batch)
    batch.attention_mask[0] = 0
    logits = model(batch)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(logits[1:], expected[1:], atol=1e-5, rtol=0)


def test_the_order_of_the_answers_matters(model):
    prompt, a, b = [72, 105], [65] * 9, [66] * 20
    forward = model(batch_of([[257, *prompt, 258, *a, 258, *b, 259]]))
    backward = model(batch_of([[257, *prompt, 258, *b, 258, *a, 259]]))
    assert (forward - backward).abs().max() > 1e-3


def test_gradients_reach_every_parameter(model):
    batch = batch_of(example_rows(), target=[0, 1, 2, 0, 1, 2])
    functional.cross_entropy(model.train()(batch), batch.target).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_half_precision_gives_float32_logits_near_the_full_ones(model):
    batch = batch_of(example_rows())
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, model(batch), atol=0.1, rtol=0.05)


def test_same_seed_same_bits():
    def trained() -> torch.Tensor:
        torch.manual_seed(3)
        model = TinyClassifier(LABELS)
        _train(model, lambda step: batch_of(example_rows(seed=step)), steps=3)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(trained(), trained())


def test_learns_which_answer_holds_a_word():
    """The answer that holds "good" wins. Chance is ln 2 = 0.69 nats on rows that were never trained on."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)

    def draw(_: int) -> TextBatch:
        rows, target = [], []
        for _ in range(32):
            noise = torch.randint(97, 123, (3, 12), generator=generator).tolist()
            winner = int(torch.randint(0, 2, (1,), generator=generator))
            noise[1 + winner][4:8] = list(b"good")
            rows.append([257, *noise[0], 258, *noise[1], 258, *noise[2], 259])
            target.append(winner)
        return batch_of(rows, target=target)

    model = TinyClassifier(["model_a", "model_b"])
    _train(model, draw, steps=80)
    batch = draw(0)
    assert functional.cross_entropy(model.eval()(batch), batch.target).item() < 0.35


def test_without_separators_all_is_one_segment():
    torch.manual_seed(0)
    model = TinyClassifier(LABELS, separator=None, segments=1, vocabulary_size=300, layers=2, stride=3, width=24)
    assert model(batch_of(example_rows())).shape == (6, 3)


def _train(model: TinyClassifier, draw: Callable[[int], TextBatch], steps: int) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        batch = draw(step)
        optimiser.zero_grad()
        functional.cross_entropy(model(batch), batch.target).backward()
        optimiser.step()
