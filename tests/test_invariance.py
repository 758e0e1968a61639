"""What must not change a number: padding, batch mates, row order, batch size, and the names of the two answers."""

import numpy as np
import pytest
import torch
from support import compose, encode

from arena.config import build
from arena.config import compose as config
from arena.core.types import TextBatch
from arena.data.source.toy import ToyReader, davidson
from arena.data.text.tokenizer import ByteTokenizer

SMALL = [
    "model.pretrained=false", "model.architecture.num_hidden_layers=2", "model.architecture.hidden_size=32",
    "model.architecture.num_attention_heads=2", "model.architecture.intermediate_size=48",
]  # fmt: skip
MODELS = {
    "tiny": [],
    "minilm": SMALL,
    "mbert": SMALL,
    "deberta_v3": SMALL,
    "modernbert": SMALL,
    "qwen05b": [*SMALL, "model.architecture.num_key_value_heads=1"],
    "gemma2_9b": [*SMALL, "model.architecture.num_key_value_heads=1", "model.architecture.head_dim=16"],
}


@pytest.fixture(params=MODELS)
def model(request, monkeypatch):
    """Each architecture, shrunk, with a head that says something."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.manual_seed(0)
    chosen = compose(f"model={request.param}", *MODELS[request.param], "run_dir=out")
    built = build.instantiate(config.resolved(chosen)["model"]).eval()
    torch.nn.init.normal_(built.head.weight)
    return built


def batch_of(rows: list[torch.Tensor], length: int) -> TextBatch:
    ids = torch.full((len(rows), length), 256)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    n = len(rows)
    return TextBatch(ids, mask, torch.zeros(n, dtype=torch.long), torch.ones(n), torch.arange(n), n)


def rows_of_bytes() -> list[torch.Tensor]:
    encoded = encode(ToyReader(rows=6).table(), ByteTokenizer(), 96, "")
    return [torch.from_numpy(np.asarray(encoded.row(i))).long() for i in range(len(encoded))]


@torch.no_grad()
def test_padding_and_batch_mates_change_nothing(model):
    """Each row alone, unpadded; all together, padded to the longest; all with 40 more pads: logits within 2e-5."""
    rows = rows_of_bytes()
    alone = torch.cat([model(batch_of([row], len(row))) for row in rows])
    longest = max(map(len, rows))
    together = model(batch_of(rows, longest))
    wider = model(batch_of(rows, longest + 40))
    assert together.dtype == torch.float32
    assert alone.std() > 1e-2, "a constant model would pass anything"
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(wider, alone, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_row_order_changes_nothing(model):
    rows = rows_of_bytes()
    longest = max(map(len, rows))
    straight = model(batch_of(rows, longest))
    backward = model(batch_of(rows[::-1], longest)).flip(0)
    torch.testing.assert_close(backward, straight, atol=1e-5, rtol=1e-4)


def test_one_batch_of_eight_is_two_of_four(monkeypatch):
    """Gradients accumulate: the mean of the two halves' gradients is the gradient of the whole, within 1e-6."""
    torch.manual_seed(0)
    settings = config.resolved(compose("run_dir=out", "model.dropout=0", "model.input_dropout=0"))
    model, loss = build.instantiate(settings["model"]), build.instantiate(settings["loss"])
    torch.nn.init.normal_(model.head.weight)
    rows = (rows_of_bytes() * 2)[:8]
    target = torch.tensor([0, 1, 2, 1, 0, 0, 2, 1])
    longest = max(map(len, rows))

    def gradient(parts: list[slice]) -> list[torch.Tensor]:
        model.zero_grad()
        for part in parts:
            batch = batch_of(rows[part], longest)
            batch.target = target[part]
            (loss(model(batch), batch).loss / len(parts)).backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    for whole, halves in zip(gradient([slice(0, 8)]), gradient([slice(0, 4), slice(4, 8)]), strict=True):
        torch.testing.assert_close(whole, halves, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("max_length", [24, 40, 77, 400])
def test_swapping_the_answers_swaps_the_segments_and_nothing_else(max_length):
    """Token for token: prompt | A | B of a row and prompt | B | A of its mirror image, also where they are cut."""
    table = ToyReader(rows=50, seed=3).table()
    swapped = table.rename_columns(
        [{"response_a": "response_b", "response_b": "response_a"}.get(name, name) for name in table.column_names]
    ).select(table.column_names)
    tokenizer = ByteTokenizer()
    straight, mirrored = (encode(t, tokenizer, max_length, "") for t in (table, swapped))
    separator = tokenizer.separator[0]

    def segments(row: np.ndarray) -> list[list[int]]:
        inner = [int(i) for i in row if i not in (*tokenizer.prefix, *tokenizer.suffix)]
        cuts = [i for i, token in enumerate(inner) if token == separator]
        return [inner[: cuts[0]], inner[cuts[0] + 1 : cuts[1]], inner[cuts[1] + 1 :]]

    for i in range(50):
        prompt, a, b = segments(straight.row(i))
        assert segments(mirrored.row(i)) == [prompt, b, a]
        assert straight.row(i, swapped=True).tolist() == mirrored.row(i).tolist()


def test_swapping_names_mirrors_truth_prior_and_scores():
    """Exchange the names of the answers everywhere: log loss stays within 1e-12, per-class numbers change places."""
    truth = davidson(np.array([0.3, -1.0]), np.array([1.0, 0.5]), 1.0)
    mirror = davidson(np.array([1.0, 0.5]), np.array([0.3, -1.0]), 1.0)
    np.testing.assert_allclose(mirror, truth[:, [1, 0, 2]], atol=1e-15)

    metrics = build.instantiate(config.resolved(compose("run_dir=out"))["metric"])
    probabilities = torch.softmax(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), 1)
    target = torch.randint(0, 3, (200,), generator=torch.Generator().manual_seed(1))
    found = []
    for order in ([0, 1, 2], [1, 0, 2]):
        metrics.reset()
        metrics.update(probabilities[:, order], torch.tensor(order)[target])
        found.append(metrics.compute())
    straight, mirrored = found
    assert mirrored["log_loss"] == pytest.approx(straight["log_loss"], abs=1e-12)
    assert mirrored["accuracy"] == straight["accuracy"]
    for name in ("precision", "recall", "specificity", "negative_predictive_value"):
        assert mirrored[f"{name}/model_a"] == pytest.approx(straight[f"{name}/model_b"])
        assert mirrored[f"{name}/tie"] == pytest.approx(straight[f"{name}/tie"])


@pytest.mark.slow
def test_batch_size_of_the_evaluation_changes_nothing(train_run):
    """The validation loss of the same weights, 7 or 64 rows at a time: within 1e-6."""
    from arena.config import restore

    run = train_run("run", "trainer.max_steps=3")
    losses = []
    for size in (7, 64):
        settings = restore.settings_of(run, {"loader": {"eval_batch_size": size}})
        task, data = restore.rebuild(run, settings), build.data(settings)
        losses.append(restore.verify(run, settings, task, build.evaluation_trainer(settings, run), data))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
