"""Cross entropy of reply tokens: exact, whatever the chunks, the pairs and the padding."""

import pytest
import torch
from torch import Tensor, nn

import arena.loss.language as language
from arena.core.types import UNLABELLED, ReplyBatch, TokenLogits
from arena.loss.language import LanguageModel

WIDTH, VOCABULARY, TOKENS, PAIRS = 6, 13, 29, 4


def example(weight: Tensor | None = None) -> tuple[TokenLogits, ReplyBatch, nn.Linear]:
    torch.manual_seed(5)
    head = nn.Linear(WIDTH, VOCABULARY, bias=False)
    pair = torch.sort(torch.randint(0, PAIRS - 1, (TOKENS,)))[0]  # the last pair has no reply token
    states = torch.randn(TOKENS, WIDTH, requires_grad=True)
    logits = TokenLogits(states, torch.randint(0, VOCABULARY, (TOKENS,)), pair, head, VOCABULARY)
    empty = torch.full((PAIRS, 1), UNLABELLED)
    batch = ReplyBatch(
        empty, empty, empty, empty, empty, torch.ones(PAIRS) if weight is None else weight, torch.arange(PAIRS), TOKENS
    )
    return logits, batch, head


def test_it_is_cross_entropy_with_the_same_gradients() -> None:
    logits, batch, head = example()
    output = LanguageModel()(logits, batch)
    expected = nn.functional.cross_entropy(head(logits.states), logits.target)
    assert output.n == TOKENS
    torch.testing.assert_close(output.loss, expected)
    parameters = [logits.states, head.weight]
    found, wanted = (torch.autograd.grad(each, parameters, retain_graph=True) for each in (output.loss, expected))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, batch, head = example()
    whole = LanguageModel()(logits, batch).loss
    gradient = torch.autograd.grad(whole, head.weight)[0]
    monkeypatch.setattr(language, "VALUES_AT_ONCE", 5 * VOCABULARY)
    monkeypatch.setattr(language, "FEWEST", 5)
    cut = LanguageModel()(logits, batch).loss
    torch.testing.assert_close(whole, cut)
    torch.testing.assert_close(gradient, torch.autograd.grad(cut, head.weight)[0])


@pytest.mark.slow
def test_memory_does_not_grow_with_tokens_times_vocabulary() -> None:
    """What autograd keeps for 4,096 tokens of a vocabulary of 32,768 (512 MB of logits) stays under 32 MB."""
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept = max(kept, tensor.untyped_storage().nbytes())
        return tensor

    torch.manual_seed(0)
    head = nn.Linear(8, 32768, bias=False)
    states = torch.randn(4096, 8, requires_grad=True)
    logits = TokenLogits(
        states, torch.zeros(4096, dtype=torch.int64), torch.zeros(4096, dtype=torch.int64), head, 32768
    )
    batch = example()[1]
    batch.supervised = 4096
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        LanguageModel()(logits, batch)
    assert 0 < kept < 32 * 2**20


def test_a_pair_without_reply_tokens_is_undefined_and_the_others_are_means() -> None:
    logits, batch, head = example()
    found = LanguageModel().per_example_outputs(logits, batch)
    each = nn.functional.cross_entropy(head(logits.states), logits.target, reduction="none")
    for pair in range(PAIRS - 1):
        here = logits.pair == pair
        assert float(found["tokens"][pair]) == int(here.sum())
        torch.testing.assert_close(found["log_loss"][pair], each[here].mean())
    assert found["tokens"][PAIRS - 1] == 0
    assert found["log_loss"][PAIRS - 1].isnan()
    total = (found["log_loss"] * found["tokens"])[: PAIRS - 1].sum() / TOKENS
    torch.testing.assert_close(total, LanguageModel()(logits, batch).loss)


def test_weights_count_and_no_token_is_a_zero_with_a_graph() -> None:
    weight = torch.tensor([2.0, 0.0, 1.0, 1.0])
    logits, batch, head = example(weight)
    each = nn.functional.cross_entropy(head(logits.states), logits.target, reduction="none")
    torch.testing.assert_close(LanguageModel()(logits, batch).loss, (weight[logits.pair] * each).sum() / TOKENS)
    none = TokenLogits(logits.states[:0], logits.target[:0], logits.pair[:0], head, VOCABULARY)
    batch.supervised = 0
    output = LanguageModel()(none, batch)
    assert float(output.loss.detach()) == 0
    output.loss.backward()


def test_label_smoothing_is_torchs_and_the_reported_log_loss_is_not_smoothed() -> None:
    logits, batch, head = example()
    output = LanguageModel(label_smoothing=0.1)(logits, batch)
    expected = nn.functional.cross_entropy(head(logits.states), logits.target, label_smoothing=0.1)
    torch.testing.assert_close(output.loss, expected)
    torch.testing.assert_close(
        output.parts["log_loss"], nn.functional.cross_entropy(head(logits.states), logits.target)
    )


def test_entropy_is_that_of_the_predicted_distributions() -> None:
    logits, batch, head = example()
    expected = torch.distributions.Categorical(logits=head(logits.states)).entropy().mean()
    torch.testing.assert_close(LanguageModel()(logits, batch).parts["entropy"], expected)
