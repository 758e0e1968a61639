"""Templates: named in the configuration, compiled for a tokenizer, wrong ones refused in one line."""

import numpy as np
import pytest
from support import compose

from arena.core.errors import UsageError
from arena.data.text.template import PLAIN, check_words, choose, compile_template, word_tokens
from arena.data.text.tokenizer import ByteTokenizer

ROUND = "[{prompt}|{response_a}|{response_b}]"


def test_a_template_of_words():
    layout = compile_template(ByteTokenizer(), "Q: {prompt}\n{{A}} {response_a}\nB {response_b}")
    shown = [piece if isinstance(piece, str) else piece.tolist() for piece in layout.whole]
    assert shown == [
        [257], list(b"Q: "), "prompt", list(b"\n{A} "), "response_a", list(b"\nB "), "response_b", [259],
    ]  # fmt: skip


def test_fixed_tokens_are_counted():
    """Begin, two separators, end: 4. A second turn adds a line break to each of three fields."""
    layout = compile_template(ByteTokenizer())
    assert layout.base + layout.per_turn == 4
    assert layout.per_turn == 3
    rounds = compile_template(ByteTokenizer(), "<{rounds}>", ROUND)
    assert rounds.base + rounds.per_turn == 4 + 4
    assert rounds.per_turn == 4 + 2  # brackets and bars, and the blank line between two turns
    assert rounds.between.dtype == np.int32


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{prompt}{response_a}", r"found \{response_b\} 0 times"),
        ("{prompt}{prompt}{response_a}{response_b}", r"found \{prompt\} 2 times"),
        ("{prompt}{response_a}{response_b}{answer}", r"found \{answer\}"),
        ("{prompt}{response_a}{response_b:>9}", r"found \{response_b:>9\}"),
        ("{prompt}{response_a!r}{response_b}", r"found \{response_a!r\}"),
        ("{prompt}{response_a}{response_b", "write a brace in the text as two"),
        ("{}{response_a}{response_b}", r"found \{\}"),
    ],
)
def test_wrong_templates(template, message):
    with pytest.raises(UsageError, match=message) as caught:
        compile_template(ByteTokenizer(), template)
    assert str(caught.value).startswith("data.template needs {prompt}, {response_a}, {response_b} once each")


def test_wrong_rounds():
    with pytest.raises(UsageError, match=r"data\.template needs \{rounds\} once; .* found \{prompt\}"):
        compile_template(ByteTokenizer(), PLAIN, ROUND)
    with pytest.raises(UsageError, match=r"round of data\.template needs .* found \{response_b\} 0 times"):
        compile_template(ByteTokenizer(), "{rounds}", "{prompt}{response_a}")
    with pytest.raises(UsageError, match="a system message needs chat: true"):
        compile_template(ByteTokenizer(), PLAIN, system="Judge.")
    with pytest.raises(UsageError, match="the byte tokenizer has no chat template"):
        compile_template(ByteTokenizer(), PLAIN, chat=True)


def test_templates_are_chosen_by_name_or_given_as_text():
    templates = {"mine": {"text": PLAIN}, "short": PLAIN}
    assert choose("mine", templates) == choose("short", templates) == choose(PLAIN, {}) == {"text": PLAIN}
    with pytest.raises(UsageError, match=r"data\.template=mind: no such template; did you mean 'mine'\?"):
        choose("mind", templates)
    with pytest.raises(UsageError, match=r"data\.templates\.bad\.txt: no such key; did you mean 'text'\?"):
        choose("bad", {"bad": {"txt": PLAIN}})


@pytest.mark.parametrize("name", ["plain", "rounds", "digit", "answer", "answer_rounds"])
def test_the_templates_of_the_configuration(name):
    templates = compose("run_dir=out")["data"]["templates"]
    assert set(templates) == {"plain", "rounds", "digit", "chat", "answer", "answer_rounds"}
    formulation = "score" if name.startswith("answer") else "joint"
    layout = compile_template(ByteTokenizer(), **choose(name, templates, formulation))
    assert (layout.round is None) == (name in ("plain", "answer"))


def test_auto_takes_what_fits_the_formulation():
    templates = compose("run_dir=out")["data"]["templates"]
    for formulation, name in {"joint": "plain", "symmetric": "plain", "score": "answer", "verbalizer": "digit"}.items():
        assert choose("auto", templates, formulation) == choose(name, templates, formulation)


@pytest.mark.parametrize(("name", "formulation"), [("answer", "joint"), ("plain", "score"), ("digit", "score")])
def test_one_answer_or_two_must_be_what_the_model_reads(name, formulation):
    with pytest.raises(UsageError, match=f"model.formulation={formulation} reads"):
        choose(name, compose("run_dir=out")["data"]["templates"], formulation)


def test_answer_words_are_one_token_for_every_class():
    words = check_words({"model_a": "0", "model_b": "1", "tie": "2"}, ["model_b", "model_a"])
    assert word_tokens(words, ByteTokenizer()) == [ord("1"), ord("0")]
    with pytest.raises(UsageError, match="there is none for tie"):
        check_words({"model_a": "0", "model_b": "1"}, ["model_a", "model_b", "tie"])
    with pytest.raises(UsageError, match="different words"):
        check_words({"model_a": "0", "model_b": "0"}, ["model_a", "model_b"])
    with pytest.raises(UsageError, match="'yes' for model_a has 3 tokens after"):
        word_tokens({"model_a": "yes"}, ByteTokenizer())
