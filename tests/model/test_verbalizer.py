"""A language model's own logits of the answer words, and padding on either side."""

import pytest
import torch
from support import compose, small_folder, stories_folder

from arena.config import build
from arena.config import compose as config
from arena.core.errors import UsageError
from arena.core.types import ClassPrior, TextBatch


def made(folder, *overrides):
    chosen = compose("model=qwen05b", f"model.path={folder}", *overrides, "run_dir=out")
    return build.instantiate(config.resolved(chosen)["model"]).eval()


def batch_of(rows, side="right", extra=0):
    longest = max(map(len, rows)) + extra
    ids, mask = torch.full((len(rows), longest), 258), torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[i, place], mask[i, place] = torch.tensor(row), 1
    nothing = torch.zeros(len(rows), dtype=torch.long)
    return TextBatch(ids, mask, nothing, nothing.float(), nothing, 0)


VERBALIZER = ["model.formulation=verbalizer"]
ROWS = [[5, 17, 80, 3], list(range(20, 45)), [7] * 12]
WORDS = torch.tensor([48, 49, 50])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma2"])
def test_zero_shot_logits_are_those_of_transformers(tmp_path, kind, side):
    """Tied and untied heads and a soft cap: the words' logits at each row's last token, each row alone."""
    from transformers import AutoModelForCausalLM

    folder = small_folder(kind, tmp_path / kind)
    model = made(folder, "model.formulation=verbalizer")
    model.init_from_class_prior(ClassPrior(torch.ones(3) / 3, WORDS))
    reference = AutoModelForCausalLM.from_pretrained(str(folder)).eval()
    with torch.no_grad():
        wanted = torch.stack([reference(input_ids=torch.tensor([row])).logits[0, -1, WORDS] for row in ROWS])
        found = model(batch_of(ROWS, side, extra=3))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert wanted.std(0).min() > 1e-3


def test_real_weights_know_their_next_word(shared, tmp_path):
    """TinyStories: 'there was a little' goes on with 'girl' or 'boy' rather than with a comma or 'the'."""
    from arena.data.text.tokenizer import HubTokenizer

    folder = stories_folder(shared / "models" / "stories260k", tmp_path / "stories")
    tokenizer = HubTokenizer("stories", path=str(folder))
    prompt = [*tokenizer.prefix, *tokenizer.encode(["Once upon a time, there was a little"])[0].tolist()]
    words = [int(tokenizer.encode([word])[0][0]) for word in ("girl", "the")]
    comma = int(tokenizer.encode(["a,"])[0][-1])
    model = made(folder, "model.formulation=verbalizer")
    model.init_from_class_prior(ClassPrior(torch.ones(3) / 3, torch.tensor([*words, comma])))
    with torch.no_grad():
        logits = model(batch_of([prompt]))[0]
    assert logits.argmax() == 0
    assert logits[0] - logits[1:].max() > 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "bert", "deberta-v2", "modernbert", "roberta"])
def test_padding_on_either_side_changes_nothing(tmp_path, kind):
    """Each row alone; padded on the right; on the left: the same logits within 2e-5, for every pooling.

    Positions are counted from the first real token, so absolute ones (BERT) move with the row.
    """
    folder = small_folder(kind, tmp_path / kind)
    names = {"bert": "minilm", "deberta-v2": "deberta_v3", "modernbert": "modernbert", "roberta": "mbert"}
    chosen = [f"model={names.get(kind, 'qwen05b')}", f"model.path={folder}"]
    settings = config.resolved(compose(*chosen, "run_dir=out"))["model"]
    for pooling in ("first", "last", "mean", "last4_mean", "attention"):
        torch.manual_seed(0)
        model = build.instantiate(settings | {"pooling": pooling}).eval()
        torch.nn.init.normal_(model.head.weight)
        if pooling == "attention":
            torch.nn.init.normal_(model.pool.query)
        with torch.no_grad():
            alone = torch.cat([model(batch_of([row])) for row in ROWS])
            right = model(batch_of(ROWS, "right", extra=5))
            torch.testing.assert_close(right, alone, atol=2e-5, rtol=1e-4)
            if kind not in ("roberta", "deberta-v2"):  # those make positions of their own from the ids of padding
                left = model(batch_of(ROWS, "left", extra=5))
                torch.testing.assert_close(left, alone, atol=2e-5, rtol=1e-4)
        assert alone.std(0).min() > 1e-2, pooling


def test_the_mean_of_the_last_four_layers(tmp_path):
    """Two layers: their two states and the embeddings' are all there is, each weighs the same."""
    from transformers import AutoModel

    folder = small_folder("bert", tmp_path / "bert")
    model = build.instantiate(
        config.resolved(compose("model=minilm", f"model.path={folder}", "model.pooling=last4_mean", "run_dir=out"))[
            "model"
        ]
    ).eval()
    torch.nn.init.normal_(model.head.weight)
    ids = torch.tensor([ROWS[1]])
    with torch.no_grad():
        states = AutoModel.from_pretrained(str(folder)).eval()(input_ids=ids, output_hidden_states=True).hidden_states
        wanted = model.head(torch.stack(states[-4:]).mean(0).mean(1))
        torch.testing.assert_close(model(batch_of([ROWS[1]])), wanted, atol=1e-5, rtol=1e-5)


def test_a_pad_token_that_is_the_end_token_is_read_where_it_is_real(tmp_path):
    """The last token is the last one of the mask, whatever its id: a row that ends with the pad id is not cut."""
    model = made(small_folder("qwen2", tmp_path / "qwen"))
    torch.nn.init.normal_(model.head.weight)
    row = [5, 17, 258, 80, 258]
    with torch.no_grad():
        alone, padded = model(batch_of([row])), model(batch_of([row, list(range(9))]))[:1]
        shorter = model(batch_of([row[:-1]]))
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)
    assert (alone - shorter).abs().max() > 1e-2


def test_a_reward_models_head_is_taken_from_the_folder(tmp_path):
    """`start=pretrained` with a score head: the scores are those of transformers' own class."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = small_folder("llama", tmp_path / "llama")
    torch.manual_seed(3)
    settings = AutoConfig.from_pretrained(str(folder), num_labels=1)
    reward = AutoModelForSequenceClassification.from_config(settings).eval()
    reward.save_pretrained(str(folder))
    model = made(folder, "model.formulation=score", "model.start=pretrained", "data.labels=[model_a,model_b]")
    both = batch_of([ROWS[0], ROWS[1]])
    nothing = torch.zeros(1, dtype=torch.long)
    pair = TextBatch(both.input_ids, both.attention_mask, nothing, nothing.float(), nothing, 0)
    with torch.no_grad():
        scores = [reward(input_ids=torch.tensor([row])).logits[0, 0] for row in ROWS[:2]]
        torch.testing.assert_close(model(pair)[0], torch.stack(scores), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=minilm", "model.pretrained=false", "model.formulation=verbalizer"], "type bert, which has no next"),
        (["model.formulation=score", "data.labels=[model_a,tie]"], "must hold both model_a and model_b"),
        (["model.formulation=symmetric", "data.labels=[tie,model_b]"], "must hold both model_a and model_b"),
        (["model=qwen05b", "model.pretrained=false", *VERBALIZER, "data.template=rounds"], "a word for every class"),
        (["model.formulation=score", "data.template=plain"], "shows two answers at a time"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_weights_load(overrides, message):
    settings = config.resolved(compose(*overrides, "run_dir=out"))
    with pytest.raises(UsageError, match=message):
        build.preflight(settings)
