"""Token sequences: what a row becomes, and that truncation never takes sides.

The byte tokenizer's ids are UTF-8 bytes, then 257 (begin), 258 (separator), 259 (end).
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import encode as encode_table

from arena.core.errors import UsageError
from arena.data.source.examples import PAIR
from arena.data.source.rows import Rows
from arena.data.text.template import compile_template
from arena.data.text.tokenizer import ByteTokenizer
from arena.data.text.tokens import tokenize
from arena.data.text.truncation import SMALLEST_ROUND, TruncationSettings, fair_token_budget, truncation_table

BEGIN, SEPARATOR, END = 257, 258, 259
ROUND = "[{prompt}|{response_a}|{response_b}]"


def make_table(*rows):
    """Rows of (prompt, response_a, response_b), each a list of turns or one turn."""
    listed = [[[cell] if isinstance(cell, str) else cell for cell in row] for row in rows]
    return pa.Table.from_pylist([dict(zip(PAIR.texts, row, strict=True)) for row in listed], PAIR.text_schema)


def tokens(text):
    return list(text.encode())


def sequences(*rows, **options):
    return encode_table(make_table(*rows), ByteTokenizer(), **options)


def encode(*rows, **options):
    made = sequences(*rows, **options)
    found = [made.row(row).tolist() for row in range(len(made))]
    assert [len(row) for row in found] == made.lengths.tolist()
    return found


def text_of(row):
    """The words of an encoded row; special ids as dots."""
    return bytes(token if token < 256 else 46 for token in row).decode()


def test_a_row_is_prefix_fields_separators_suffix():
    [row] = encode(("p", "aa", "b"))
    assert row == [BEGIN, *tokens("p"), SEPARATOR, *tokens("aa"), SEPARATOR, *tokens("b"), END]


def test_turns_are_lines_and_missing_ones_are_said():
    """ "[]" and a null turn both mean that nobody answered; an empty string is an empty answer; "null" is a word."""
    [row] = encode((["p", "q"], ["a", None], []), missing_text="?", text="{prompt}|{response_a}|{response_b}")
    assert text_of(row) == ".p\nq|a\n?|?\n?."
    assert text_of(encode(([], "a", "b"), text="{prompt}|{response_a}|{response_b}")[0]) == ".|a|b."
    assert text_of(encode(("null", "", "None"))[0]) == ".null..None."


def test_rounds_stand_one_after_the_other():
    [row] = encode((["p", "q"], ["a", "c"], ["b", "d"]), text="<{rounds}>", round=ROUND)
    assert text_of(row) == ".<[p|a|b]\n\n[q|c|d]>."


@pytest.mark.parametrize(
    ("lengths", "budget", "cap"),
    [
        ([5, 5, 5], 15, 5),  # fits exactly
        ([5, 5, 5], 14, 4),  # 4 + 4 + 4 = 12; 5 each would be 15
        ([2, 10, 10], 16, 7),  # the short one stays whole: (16 - 2) / 2
        ([2, 10, 10], 17, 7),  # the odd token goes to neither answer
        ([10, 1, 3], 9, 5),  # 1 and 3 stay whole: 9 - 4
        ([0, 0, 9], 4, 4),
        ([0, 0, 0], 3, 0),
    ],
)
def test_fair_caps_by_hand(lengths, budget, cap):
    assert fair_token_budget(np.array([lengths]), budget).tolist() == [cap]


def test_fair_caps_are_the_largest_that_fit():
    """The definition, searched by brute force: sum(min(len, c)) <= budget < sum(min(len, c + 1))."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(0, 40, (500, 3))
    for budget in (3, 7, 20, 50, 119):
        caps = fair_token_budget(lengths, budget)
        kept = np.minimum(lengths, caps[:, None]).sum(axis=1)
        more = np.minimum(lengths, caps[:, None] + 1).sum(axis=1)
        assert (kept <= budget).all()
        assert ((more > budget) | (kept == lengths.sum(axis=1))).all()


@pytest.mark.parametrize(("cut", "kept"), [("tail", "abcde"), ("head", "vwxyz"), ("middle", "abcyz")])
def test_what_a_cut_loses(cut, kept):
    """20 tokens: 4 special ones, 1 for the prompt, 1 for B: 14 would be left for A, which has 26."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    assert text_of(encode(("p", alphabet, "b"), max_length=11, cut=cut)[0]) == f".p.{kept}.b."


def test_the_last_turn_has_the_room_first():
    """Each turn costs 30 tokens of text and 4 of layout, a break costs 2; whole: 2 + 3 * 34 + 2 * 2 = 108."""
    turns = (["p" * 10, "q" * 10, "r" * 10], ["a" * 10, "c" * 10, "e" * 10], ["b" * 10, "d" * 10, "f" * 10])
    options = {"text": "{rounds}", "round": ROUND}
    whole = sequences(*[turns], **options)
    assert whole.needed.tolist() == whole.lengths.tolist() == [108]
    # The two last turns need 72. Then 1 to 35 tokens are not enough for a stump of the first turn.
    for limit in (72, 76, 107):
        [row] = encode(turns, max_length=limit, **options)
        last = "[qqqqqqqqqq|cccccccccc|dddddddddd]\n\n[rrrrrrrrrr|eeeeeeeeee|ffffffffff]."
        shown = text_of(row)
        assert shown.endswith(last)
        assert len(shown) <= limit
    # No room for a second turn at all, and less than the last one needs: a fair share of it.
    assert text_of(encode(turns, max_length=24, **options)[0]) == ".[rrrrrr|eeeeee|ffffff]."
    assert SMALLEST_ROUND > 30 - 6


def test_a_long_turn_is_cut_to_what_is_left():
    turns = (["p" * 99, "q"], ["a" * 99, "c"], ["b" * 99, "d"])
    [row] = encode(turns, max_length=60, text="{rounds}", round=ROUND)
    # 60 - 2 special - (4 + 3) last turn - (4 + 2) for the other one leave 45: 15 for each text.
    assert text_of(row) == f".[{'p' * 15}|{'a' * 15}|{'b' * 15}]\n\n[q|c|d]."
    [row] = encode(turns, max_length=60, turns="all", text="{rounds}", round=ROUND)
    assert text_of(row) == f".[{'p' * 15}|{'a' * 15}|{'b' * 15}]\n\n[q|c|d]."
    # One token for each of six texts, 8 for layout, 2 for the break, 2 special: 18 show both turns, 17 one.
    assert text_of(encode(turns, max_length=18, turns="all", text="{rounds}", round=ROUND)[0]) == ".[p|a|b]\n\n[q|c|d]."
    assert text_of(encode(turns, max_length=17, turns="all", text="{rounds}", round=ROUND)[0]) == ".[q|c|d]."


cells = st.lists(st.one_of(st.none(), st.text(alphabet="xyz ", max_size=40)), max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=5),
    max_length=st.integers(20, 120),
    cut=st.sampled_from(["tail", "head", "middle"]),
    turns=st.sampled_from(["last", "all"]),
    template=st.sampled_from([{}, {"text": "<{rounds}>", "round": ROUND}]),
)
def test_no_row_is_too_long_and_swapping_swaps(rows, max_length, cut, turns, template):
    """Whatever the turns: the length is as announced and within the limit, and exchanging the answers of the input is
    exchanging them afterwards, token for token."""
    made = sequences(*rows, max_length=max_length, cut=cut, turns=turns, **template)
    other = sequences(*[(p, b, a) for p, a, b in rows], max_length=max_length, cut=cut, turns=turns, **template)
    assert (made.lengths <= max_length).all()
    assert (made.lengths <= made.needed).all()
    assert (made.is_cut | (made.lengths == made.needed)).all()
    for row in range(len(rows)):
        ids = made.row(row)
        assert len(ids) == made.lengths[row]
        assert other.row(row).tolist() == made.row(row, swapped=True).tolist()
        assert other.row(row, swapped=True).tolist() == ids.tolist()


def test_the_sequences_count_what_was_cut():
    made = sequences(("p", "a", "b"), ("p", "a" * 50, "b"), max_length=20)
    assert made.is_cut.tolist() == [False, True]
    assert made.needed.tolist() == [7, 56]
    assert made.lengths.tolist() == [7, 20]
    assert made.row(1).dtype == np.int32


def test_the_truncation_report_by_hand():
    """Rows need 4 special tokens and 3, 60 and 63 of text. At 24 there is room for 20."""
    table = make_table(("p", "a", "b"), ("p" * 20, "a" * 39, "b"), ("p" * 3, "a" * 30, "b" * 30))
    tokenizer = ByteTokenizer()
    turns = tokenize(Rows.from_table(table, "x"), tokenizer)
    short, long = truncation_table(turns, compile_template(tokenizer), [24, 100], TruncationSettings())
    assert (short["share_cut"], short["share_answer_invisible"]) == (pytest.approx(2 / 3), 0.0)
    # A plain cut at the right end keeps 24 tokens: rows 1 and 2 have 59 and 33 tokens of prompt and A before B.
    assert short["share_b_invisible_right_cut"] == pytest.approx(2 / 3)
    # Row 1: 9 + 9 + 1 and 4 = 23 (the odd token goes to nobody); row 2: 3 + 8 + 8 and 4 = 23.
    assert short["kept_tokens_share"] == pytest.approx((7 + 23 + 23) / (7 + 64 + 67))
    assert long == {
        "max_length": 100, "share_cut": 0.0, "share_answer_invisible": 0.0,
        "share_b_invisible_right_cut": 0.0, "kept_tokens_share": 1.0,
    }  # fmt: skip


def test_an_answer_that_only_an_earlier_turn_has_can_become_invisible():
    made = sequences((["p" * 80, "q"], ["a" * 80, ""], ["b" * 80, "d"]), max_length=20)
    assert made.invisible.tolist() == [True]
    assert sequences((["p" * 80, "q"], ["a" * 80, ""], ["b" * 80, "d"])).invisible.tolist() == [False]


def test_many_rows_are_encoded_as_few():
    """The work is done in blocks of about a thousand rows; the borders between blocks must not show."""
    rows = [(f"p{i}", f"a{i}" * (i % 7), f"b{i}") for i in range(3000)]
    together = encode(*rows, max_length=24)
    assert together[1020:1030] == encode(*rows[1020:1030], max_length=24)
    assert len(sequences()) == 0


def test_a_length_that_leaves_no_room():
    """Begin, two separators and end are 4 tokens; one token for each field makes 7."""
    assert encode(("pp", "aa", "bb"), max_length=7)[0] == [BEGIN, 112, SEPARATOR, 97, SEPARATOR, 98, END]
    with pytest.raises(
        UsageError, match=r"data\.max_length=6 is too small: data\.template takes 4 tokens .* give 7 or more"
    ):
        encode(("pp", "aa", "bb"), max_length=6)


def test_real_rows(shared):
    path = shared / "data" / "ja_vicuna_judged" / "data.parquet"
    if not path.exists():
        pytest.skip("no ja_vicuna_judged here")
    columns = {name: [json.loads(cell) for cell in pq.read_table(path)[name].to_pylist()] for name in PAIR.texts}
    made = encode_table(pa.table(columns, PAIR.text_schema), ByteTokenizer(), max_length=1024)
    whole = [sum(len(text[0].encode()) for text in row) + 4 for row in zip(*columns.values(), strict=True)]
    assert made.needed.tolist() == whole
    assert made.is_cut.tolist() == [length > 1024 for length in whole]
    assert made.lengths[~made.is_cut].tolist() == [length for length in whole if length <= 1024]
    assert made.lengths.max() <= 1024
    assert made.lengths[made.is_cut].min() > 1024 - len(PAIR.texts)
    assert not made.invisible.any()
