"""Token sequences: what a row becomes, and that truncation never takes sides.

The byte tokenizer's ids are UTF-8 bytes, then 257 (begin), 258 (separator), 259 (end).
"""

import numpy as np
import pyarrow as pa
import pytest

from arena.data.pairs import SCHEMA, PairReader
from arena.data.text import FIELDS, encode_table, fair_caps, join_turns, parse_template
from arena.data.tokenizer import ByteTokenizer
from arena.errors import UsageError

BEGIN, SEPARATOR, END = 257, 258, 259


def make_table(*rows):
    """Rows of (prompt, response_a, response_b), each a list of turns or one turn."""
    listed = [[[cell] if isinstance(cell, str) else cell for cell in row] for row in rows]
    return pa.Table.from_pylist(
        [{"id": str(i), "weight": 1.0, **dict(zip(FIELDS, row, strict=True))} for i, row in enumerate(listed)], SCHEMA
    )


def tokens(text):
    return list(text.encode())


def encode(*rows, **options):
    store = encode_table(make_table(*rows), ByteTokenizer(), **options)
    return [store[row].tolist() for row in range(len(store))]


def test_a_row_is_prefix_fields_separators_suffix():
    [row] = encode(("p", "aa", "b"))
    assert row == [BEGIN, *tokens("p"), SEPARATOR, *tokens("aa"), SEPARATOR, *tokens("b"), END]


def test_a_template_of_words():
    [row] = encode(("p", "a", "b"), template="Q: {prompt}\n{{A}} {response_a}\nB {response_b}")
    assert row == [BEGIN, *tokens("Q: p\n{A} a\nB b"), END]


def test_turns_are_lines_and_missing_ones_are_said():
    """ "[]" and a null turn both mean that nobody answered; an empty string is an empty answer; "null" is a word."""
    assert join_turns([["a", "b"], ["a", None], [], [""], ["null"]], "(none)") == [
        "a\nb",
        "a\n(none)",
        "(none)",
        "",
        "null",
    ]
    [row] = encode((["p", "q"], ["a", None], []), missing_text="?", template="{prompt}|{response_a}|{response_b}")
    assert row == [BEGIN, *tokens("p\nq|a\n?|?"), END]
    assert encode(([], "a", "b"), template="{prompt}|{response_a}|{response_b}")[0] == [BEGIN, *tokens("|a|b"), END]


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
    assert fair_caps(np.array([lengths]), budget).tolist() == [cap]


def test_fair_caps_are_the_largest_that_fit():
    """The definition, searched by brute force: sum(min(len, c)) <= budget < sum(min(len, c + 1))."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(0, 40, (500, 3))
    for budget in (3, 7, 20, 50, 119):
        caps = fair_caps(lengths, budget)
        kept = np.minimum(lengths, caps[:, None]).sum(axis=1)
        more = np.minimum(lengths, caps[:, None] + 1).sum(axis=1)
        assert (kept <= budget).all()
        assert ((more > budget) | (kept == lengths.sum(axis=1))).all()


def fields_of(row):
    """The text of the three fields of an encoded row with separators between them."""
    return bytes(token if token < 256 else 0 for token in row).split(b"\0")[1:-1]


def test_truncation_is_symmetric_and_keeps_the_head():
    """Swap the answers and exactly the kept texts are swapped: nothing depends on being A or B."""
    sizes = np.random.default_rng(1).integers(0, 60, (300, 3)).tolist()
    rows = [tuple(letter * size for letter, size in zip("pxy", row, strict=True)) for row in sizes]
    straight = encode(*rows, max_length=40)
    swapped = encode(*[(prompt, b, a) for prompt, a, b in rows], max_length=40)
    for whole, left, right in zip(rows, straight, swapped, strict=True):
        assert len(left) == len(right) <= 40
        prompt, a, b = fields_of(left)
        assert fields_of(right) == [prompt, b, a]
        assert all(text.encode().startswith(kept) for text, kept in zip(whole, (prompt, a, b), strict=True))


def test_the_store_counts_what_was_cut():
    store = encode_table(make_table(("p", "a", "b"), ("p", "a" * 50, "b")), ByteTokenizer(), max_length=20)
    assert store.cut.tolist() == [False, True]
    assert store.needed.tolist() == [7, 56]
    assert store.lengths.tolist() == [7, 20]
    assert store.ids.dtype == np.int32
    assert store.offsets.tolist() == [0, 7, 27]


def test_many_rows_are_encoded_as_few():
    """The work is done in blocks of 4,096 rows; the borders between blocks must not show."""
    rows = [(f"p{i}", f"a{i}" * (i % 7), f"b{i}") for i in range(5000)]
    together = encode(*rows, max_length=24)
    assert together[4090:4100] == encode(*rows[4090:4100], max_length=24)
    assert len(encode_table(make_table(), ByteTokenizer())) == 0


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
        parse_template(template, ByteTokenizer())
    assert str(caught.value).startswith("data.template needs {prompt}, {response_a}, {response_b} once each")


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
    table = PairReader()(str(path))
    store = encode_table(table, ByteTokenizer(), max_length=1024)
    whole = [sum(len("\n".join(row[name]).encode()) for name in FIELDS) + 4 for row in table.to_pylist()]
    assert store.needed.tolist() == whole
    assert store.cut.tolist() == [length > 1024 for length in whole]
    assert store.lengths[~store.cut].tolist() == [length for length in whole if length <= 1024]
    assert store.lengths.max() <= 1024
    assert store.lengths[store.cut].min() > 1024 - len(FIELDS)
