"""Templates: named in the configuration, compiled for a tokenizer, wrong ones refused in one line."""

import numpy as np
import pytest
from support import compose

from arena.data.template import PLAIN, choose, compile_template
from arena.data.tokenizer import ByteTokenizer
from arena.errors import UsageError

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


@pytest.mark.parametrize("name", ["plain", "rounds", "digit"])
def test_the_templates_of_the_configuration(name):
    templates = compose("run_dir=out")["data"]["templates"]
    assert set(templates) == {"plain", "rounds", "digit", "chat"}
    layout = compile_template(ByteTokenizer(), **choose(name, templates))
    assert (layout.round is None) == (name == "plain")
