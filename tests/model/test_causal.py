"""A language model: logits where targets are, packed pairs that are strangers, samples of a stated distribution."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import small_folder
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.types import UNLABELLED, ReplyBatch
from arena.model.adapter import Adapter
from arena.model.causal import CausalModel
from arena.model.sampling import Sampling

PAIRS = [([5, 9, 11], [40, 41, 42, 2]), ([7], [50, 51]), ([5, 6, 7, 8, 9], [60, 61, 62])]
"""Prompts and replies in token ids."""


def small(kind: str = "llama", **options) -> CausalModel:
    torch.manual_seed(1)
    architecture = {
        "model_type": kind, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 97, "max_position_embeddings": 128,
        "tie_word_embeddings": False,
    }  # fmt: skip
    if kind == "gemma2":
        architecture |= {"head_dim": 16, "final_logit_softcapping": 2.0, "tie_word_embeddings": True}
    model = CausalModel(kind, architecture, pretrained=False, **options)
    with torch.no_grad():  # random weights of 0.02 leave all logits nearly equal
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "lora" not in name:
                parameter.mul_(8)
    return model.eval()


def batch_of(lines: list[list[int]], packed: bool = False) -> ReplyBatch:
    """`lines` say which pairs stand in one sequence."""
    rows = []
    for members in lines:
        ids, target, segment, position = [], [], [], []
        for pair in members:
            prompt, reply = PAIRS[pair]
            ids += prompt + reply
            target += [UNLABELLED] * len(prompt) + reply
            segment += [pair] * len(prompt + reply)
            position += list(range(len(prompt + reply)))
        rows.append((ids, target, segment, position))
    longest = max(len(ids) for ids, *_ in rows)

    def padded(column: int, fill: int) -> Tensor:
        return torch.tensor([row[column] + [fill] * (longest - len(row[column])) for row in rows])

    mask = (padded(2, -1) >= 0).long()
    pairs = sum(map(len, lines))
    supervised = sum(len(PAIRS[pair][1]) for members in lines for pair in members)
    return ReplyBatch(
        padded(0, 0), mask, padded(3, 0), padded(2, -1), padded(1, UNLABELLED), torch.ones(pairs), torch.arange(pairs),
        supervised, packed,
    )  # fmt: skip


def sorted_logits(model: CausalModel, batch: ReplyBatch) -> Tensor:
    found = model(batch)
    order = torch.argsort(found.pair, stable=True)
    expected = torch.tensor([token for _, reply in PAIRS for token in reply])
    assert torch.equal(found.target[order], expected)
    return found.head(found.states)[order]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2"])
def test_logits_are_those_of_the_published_model_where_targets_are(kind: str) -> None:
    model = small(kind)
    found = sorted_logits(model, batch_of([[0], [1], [2]]))
    expected = []
    for prompt, reply in PAIRS:
        logits = model.bare(torch.tensor([prompt + reply])).logits[0]
        expected.append(logits[len(prompt) - 1 : -1])
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2"])
@pytest.mark.parametrize("lines", [[[0, 1, 2]], [[2, 0], [1]]])
def test_packed_pairs_do_not_see_each_other(kind: str, lines: list[list[int]]) -> None:
    model = small(kind)
    apart = sorted_logits(model, batch_of([[0], [1], [2]]))
    packed = sorted_logits(model, batch_of(lines, packed=True))
    torch.testing.assert_close(apart, packed, rtol=1e-4, atol=1e-5)
    # As one text the same tokens do see each other: the test can fail.
    batch = batch_of(lines, packed=True)
    one_text = torch.arange(batch.input_ids.shape[1]).expand_as(batch.input_ids)
    blind = sorted_logits(model, replace(batch, packed=False, position_ids=one_text))
    assert (apart - blind).abs().max() > 1e-3


def left_padded(prompts: list[list[int]], extra: int = 0) -> tuple[Tensor, Tensor]:
    longest = max(map(len, prompts)) + extra
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def test_samples_have_the_log_probability_that_is_said_of_them() -> None:
    model = small()
    ids, mask = left_padded([[5, 9, 11], [7]])
    samples = model.sample(ids, mask, Sampling(3, 6, temperature=0.7, end_ids=(2,), pad=0), seed=4)
    assert samples.ids.shape[0] == 6
    found = model.log_probabilities(ids, mask, samples, temperature=0.7)
    for i, prompt in enumerate([[5, 9, 11]] * 3 + [[7]] * 3):
        reply = samples.ids[i, : samples.length[i]].tolist()
        logits = model.bare(torch.tensor([prompt + reply])).logits[0].detach()
        log_p = torch.log_softmax(logits / 0.7, -1)
        expected = sum(float(log_p[len(prompt) - 1 + t, token]) for t, token in enumerate(reply))
        assert float(found[i].detach()) == pytest.approx(expected, abs=1e-3)
    torch.testing.assert_close(found, model.log_probabilities(ids, mask, samples, 0.7, at_once=2), rtol=1e-4, atol=1e-4)


def test_samples_come_from_the_whole_distribution_whatever_the_folder_says() -> None:
    """A model's own generation settings (top_k, top_p) must not act: 6,000 first tokens against their probabilities."""
    model = small()
    model.bare.generation_config.top_k = 1
    model.bare.generation_config.top_p = 0.1
    model.bare.generation_config.repetition_penalty = 5.0
    ids, mask = left_padded([[5, 9, 11]])
    draws = 6000
    samples = model.sample(ids, mask, Sampling(draws, 1, temperature=1.3, pad=0), seed=0)
    counts = samples.ids[:, 0].bincount(minlength=97).double()
    p = torch.softmax(model.bare(ids).logits[0, -1].double() / 1.3, -1)
    error = (draws * p * (1 - p)).sqrt()
    assert ((counts - draws * p).abs() < 4.5 * error + 1).all()
    assert (p > 0.01).sum() > 10
    assert model.bare.generation_config.top_k == 1


def test_what_comes_behind_the_end_is_padding() -> None:
    model = small()
    ids, mask = left_padded([[5, 9, 11], [7]])
    ends = tuple(range(0, 97, 4))
    samples = model.sample(ids, mask, Sampling(8, 12, end_ids=ends, pad=3), seed=1)
    assert bool(samples.finished.any())
    for row, length, finished in zip(
        samples.ids.tolist(), samples.length.tolist(), samples.finished.tolist(), strict=True
    ):
        assert not any(token in ends for token in row[: length - 1])
        assert (row[length - 1] in ends) == finished
        assert all(token == 3 for token in row[length:])


def test_padding_on_the_left_changes_nothing() -> None:
    model = small()
    greedy = Sampling(1, 8, temperature=0.0, pad=0)
    alone = model.sample(*left_padded([[7, 8]]), greedy, seed=0).ids
    among = model.sample(*left_padded([[7, 8], [5, 9, 11, 4, 4]], extra=2), greedy, seed=0).ids
    assert torch.equal(alone[0], among[0])


def test_sampling_leaves_random_state_and_modes_as_they_were() -> None:
    model = small().train()
    model.backbone.model.layers[0].eval()
    ids, mask = left_padded([[5, 9]])
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first = model.sample(ids, mask, Sampling(2, 5, pad=0), seed=3)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    second = model.sample(ids, mask, Sampling(2, 5, pad=0), seed=3)
    assert torch.equal(first.ids, second.ids)
    assert not torch.equal(first.ids, model.sample(ids, mask, Sampling(2, 5, pad=0), seed=4).ids)
    assert model.training
    assert not model.backbone.model.layers[0].training


def test_several_greedy_samples_are_refused() -> None:
    with pytest.raises(UsageError, match="temperature=0"):
        Sampling(samples=2, temperature=0.0)


def test_adapters_are_sampled_from_and_the_head_has_none(tmp_path: Path) -> None:
    folder = small_folder("llama", tmp_path / "weights")
    model = CausalModel("llama", {}, path=str(folder), adapter=Adapter("lora", rank=4))
    assert not any("lora" in name and "lm_head" in name for name, _ in model.named_parameters())
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    assert not any("lora_" in name for name in model.recoverable)
    ids, mask = left_padded([[5, 9]])
    greedy = Sampling(1, 8, temperature=0.0, pad=0)
    before = model.sample(ids, mask, greedy, seed=0).ids
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=1.0)
    assert not torch.equal(before, model.sample(ids, mask, greedy, seed=0).ids)


@pytest.mark.slow
def test_four_bit_weights_learn_and_are_sampled_from(tmp_path: Path) -> None:
    folder = small_folder("llama", tmp_path / "weights")
    model = CausalModel("llama", {}, path=str(folder), adapter=Adapter("qlora", rank=4))
    batch = batch_of([[0], [1], [2]])
    found = model(batch)
    torch.nn.functional.cross_entropy(found.head(found.states).float(), found.target).backward()
    gradients = [p.grad for name, p in model.named_parameters() if "lora_B" in name]
    assert gradients
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert model.sample(*left_padded([[5, 9]]), Sampling(2, 5, pad=0), seed=0).ids.shape == (2, 5)


def test_checkpointed_activations_do_not_stop_the_cache() -> None:
    model = small(gradient_checkpointing=True).train()
    plain = small()
    ids, mask = left_padded([[5, 9, 11]])
    sampling = Sampling(2, 6, pad=0)
    assert torch.equal(model.sample(ids, mask, sampling, seed=2).ids, plain.sample(ids, mask, sampling, seed=2).ids)


def test_the_real_model_writes_its_known_story(shared: Path) -> None:
    """Weights and tokenizer from the published files as they lie there: vocabulary, layout and cache are all right."""
    import json

    from arena.data.text.tokenizer import HubTokenizer

    source = shared / "models" / "stories260k"
    golden = json.loads((source / "golden.json").read_text())
    model = CausalModel("stories", {}, path=str(source))
    tokenizer = HubTokenizer("stories", path=str(source))
    prompt = golden["prompt_ids"]
    text, start = golden["greedy_text"], "Once upon a time, there was a little girl"
    assert tokenizer.prefix + tokenizer.encode([start])[0].tolist() == prompt
    wanted = golden["greedy_ids"][len(prompt) :]
    found = model.sample(*left_padded([prompt]), Sampling(1, len(wanted), temperature=0.0, pad=0), seed=0).ids[0]
    assert found.tolist() == wanted
    told = start + " " + tokenizer.decode(found.numpy())
    assert told.split()[:60] == text.split()[:60]
