"""Several heads over one backbone: every architecture, the start, multi-sample dropout, what cannot be."""

import math

import pytest
import torch
from support import compose, small_folder

from arena.config import build
from arena.config import compose as config
from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.types import UNLABELLED, ClassPrior, TextBatch
from arena.data.text.tokenizer import ByteTokenizer
from arena.model.heads import HeadSettings, MultiHeadClassifier, MultiHeadOutput
from arena.model.tiny import TinyClassifier
from arena.task.multihead import MultiHead

LABELS = {"stance": ["AGAINST", "FAVOR", "NONE"], "tone": ["calm", "loud"]}
SHARES = torch.tensor([0.5, 0.3, 0.2, 0.9, 0.1], dtype=torch.float64)


def batch_of(rows=6, length=12, pad=0, size=200) -> TextBatch:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, size, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    ids[1, 8:] = pad
    target = torch.zeros(rows, 2, dtype=torch.int64)
    return TextBatch(ids, mask, target, torch.ones(rows), torch.arange(rows), rows)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            small_folder(kind, made[kind])
        return made[kind]

    return folder


def model_of(folder, *overrides):
    labels = "{stance: [AGAINST, FAVOR, NONE], tone: [calm, loud]}"
    composed = compose(
        "model=minilm", "task=multihead", f"model.path={folder}", f"data.path={folder}", "data.text=text",
        "data.heads=null", f"data.classes={labels}", "run_dir=x", *overrides,
    )  # fmt: skip
    return build.instantiate(config.resolved(composed)["model"])


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2", "modernbert", "qwen2", "llama", "gemma2"])
def test_every_architecture_starts_at_the_shares_of_each_head_and_trains(folders, kind):
    torch.manual_seed(0)
    model = model_of(folders(kind))
    model.init_from_class_prior(ClassPrior(SHARES))
    model.eval()
    with torch.no_grad():
        logits = model(batch_of())
    assert logits.shape == (6, 5)
    assert logits.dtype == torch.float32
    # The last layers are zero: whatever the text, the logits are the logarithms of the shares.
    assert torch.allclose(logits, SHARES.log().float().expand(6, -1), atol=1e-6)
    model.train()
    torch.nn.init.normal_(model.head.heads[0][-1].weight, std=0.1)
    model(batch_of())[:, :3].logsumexp(1).sum().backward()
    reached = [name for name, p in model.backbone.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert reached


@pytest.mark.parametrize("pooling", ["first", "last", "mean", "last4_mean", "attention"])
def test_padding_changes_nothing_whatever_the_pooling(folders, pooling):
    torch.manual_seed(0)
    model = model_of(folders("bert"), f"model.pooling={pooling}").eval()
    for head in model.head.heads:
        torch.nn.init.normal_(head[-1].weight)
    batch = batch_of()
    wider = TextBatch(
        torch.nn.functional.pad(batch.input_ids, (0, 5)), torch.nn.functional.pad(batch.attention_mask, (0, 5)),
        batch.target, batch.weight, batch.row, batch.supervised,
    )  # fmt: skip
    with torch.no_grad():
        assert torch.allclose(model(batch), model(wider), atol=1e-5)


def test_gradient_checkpointing_changes_no_gradient(folders):
    gradients = []
    for on in ("false", "true"):
        torch.manual_seed(0)
        model = model_of(folders("bert"), f"model.gradient_checkpointing={on}", "model.hidden_dropout=0",
                         "head.dropout=0").train()  # fmt: skip
        for head in model.head.heads:
            torch.nn.init.normal_(head[-1].weight, generator=torch.Generator().manual_seed(0))
        model(batch_of()).square().sum().backward()
        gradients.append([p.grad for p in model.backbone.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))


def test_heads_are_as_deep_and_wide_as_told():
    heads = MultiHeadClassifier(Heads(LABELS), 8, HeadSettings(layers=2, width=5, dropout=0.0))
    shapes = [tuple(p.shape) for p in heads.heads[1].parameters()]
    assert shapes == [(5, 8), (5,), (5, 5), (5,), (2, 5), (2,)]
    flat = MultiHeadClassifier(Heads(LABELS), 8, HeadSettings(layers=0))
    assert [tuple(p.shape) for p in flat.heads[0].parameters()] == [(3, 8), (3,)]


def test_multi_sample_dropout_is_the_mean_over_masks_and_less_noisy():
    torch.manual_seed(0)
    states = torch.randn(64, 16)
    spread = {}
    for samples in (1, 8):
        heads = MultiHeadClassifier(Heads(LABELS), 16, HeadSettings(layers=1, dropout=0.5, samples=samples))
        for name, weight in heads.named_parameters():
            if weight.ndim == 2 and name.split(".")[2] == "4":  # the last layers start at zero
                torch.nn.init.normal_(weight)
        heads.eval()
        clean = heads(states)
        heads.train()
        spread[samples] = torch.stack([heads(states) for _ in range(50)]).std(0).mean()
        assert heads(states).shape == clean.shape
    # Eight independent masks have an eighth of the variance; the weights are drawn alike but not equal.
    assert spread[8] < 0.5 * spread[1]


def test_what_one_head_is_told_does_not_reach_another():
    torch.manual_seed(0)
    heads = MultiHeadClassifier(Heads(LABELS), 8, HeadSettings())
    heads(torch.randn(4, 8))[:, :3].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in heads.heads[1].parameters())


def test_side_by_side_is_what_pairing_is_for_two_answers():
    pairing = MultiHeadOutput(LABELS)
    logits = torch.randn(3, 5)
    assert pairing.outputs == 5
    assert pairing(logits, 3) is logits
    assert torch.equal(pairing.init_from_class_prior(ClassPrior(SHARES)), SHARES)


def test_the_tiny_model_has_several_heads_too():
    torch.manual_seed(0)
    model = TinyClassifier(LABELS, head=HeadSettings(layers=0))
    model.init_from_class_prior(ClassPrior(SHARES))
    batch = batch_of(size=ByteTokenizer().pad)
    assert torch.allclose(model.eval()(batch), SHARES.log().float().expand(6, -1), atol=1e-6)
    assert batch.target.ne(UNLABELLED).all()
    first = model(batch).detach()[:, :3].softmax(1)[0, 0]
    assert math.isclose(float(first), 0.5, abs_tol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": None}, "model.head: several heads need"),
        ({"formulation": "score"}, "a text is read once"),
        ({"length_features": True}, r"model\.length_features=true"),
        ({"start": "pretrained"}, r"model\.start=pretrained"),
    ],
)
def test_what_several_heads_cannot_have_is_refused_before_anything_loads(changes, message):
    model = {"_target_": "arena.model.tiny.TinyClassifier", "labels": LABELS, "head": {}, "formulation": "joint"}
    with pytest.raises(UsageError, match=message):
        MultiHead().check_model(model | changes)
