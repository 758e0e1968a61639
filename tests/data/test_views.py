"""One sequence a row, or two that change places when the answers do."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from arena.data.loading.collate import Collate
from arena.data.source.rows import Rows
from arena.data.source.toy import ToyReader
from arena.data.text.input_views import views
from arena.data.text.template import compile_template
from arena.data.text.tokenizer import ByteTokenizer
from arena.data.text.tokens import tokenize
from arena.data.text.truncation import TruncationSettings

ANSWER = "{prompt}|{response}"
PLAIN = "{prompt}|{response_a}|{response_b}"


def made(formulation, max_length=400, rows=30):
    tokenizer = ByteTokenizer()
    layout = compile_template(tokenizer, text=ANSWER if formulation == "score" else PLAIN)
    tokens = tokenize(Rows.from_table(ToyReader(rows=rows, seed=1).table(), "test"), tokenizer)
    return views(tokens, layout, TruncationSettings(max_length), formulation)


@pytest.mark.parametrize("max_length", [40, 400])
@pytest.mark.parametrize("formulation", ["symmetric", "score"])
def test_exchanged_answers_exchange_the_two_sequences(formulation, max_length):
    both = made(formulation, max_length)
    assert both.number == 2
    different = 0
    for row in range(30):
        first, second = both.row(row)
        again, other = both.row(row, swapped=True)
        assert first.tolist() == other.tolist()
        assert second.tolist() == again.tolist()
        different += first.tolist() != second.tolist()
        assert max(len(first), len(second)) == both.lengths[row] <= max_length
        assert len(first) + len(second) == both.tokens[row]
    assert different > 15  # many of these answers begin alike, so cut ones can be equal


def test_a_score_sees_one_answer():
    """Prompt, bar and that answer between the tokenizer's own marks, and not a byte of the other one."""
    table = ToyReader(rows=5, seed=1).table()
    both = made("score", rows=5)
    for row in range(5):
        prompt, a, b = ("\n".join(table[name][row].as_py()) for name in ("prompt", "response_a", "response_b"))
        for ids, answer in zip(both.row(row), (a, b), strict=True):
            text = bytes(int(i) for i in ids if i < 256).decode()
            assert text == f"{prompt}|{answer}"


def test_a_long_answer_takes_no_room_from_the_other_one_where_each_is_read_alone():
    """At 60 tokens, a score sees at least as much of every answer as a model that reads both in one sequence."""
    alone, together = made("score", 60), made("joint", 60)
    for field in (1, 2):
        seen = alone.sequences[field - 1].keep[field::3]
        assert (seen >= together.sequences[0].keep[field::3]).all()
        assert (seen > together.sequences[0].keep[field::3]).any()


def test_nothing_is_invisible_that_is_not_to_be_shown():
    assert not made("score").invisible.any()


@pytest.mark.parametrize("formulation", ["joint", "symmetric", "score"])
def test_a_batch_holds_first_sequences_before_second_ones(formulation):
    store = made(formulation)
    collate = Collate(store, np.arange(30) % 3, np.ones(30, np.float32), pad=256, swap_permutation=np.array([1, 0, 2]))
    positions = np.array([4, 7 + 30, 2])  # the second one with its answers exchanged
    batch = collate(positions)
    assert len(batch) == 3
    assert batch.input_ids.shape[0] == 3 * store.number
    for place, (row, swapped) in enumerate([(4, False), (7, True), (2, False)]):
        for view, wanted in enumerate(store.row(row, swapped)):
            line = place + 3 * view
            assert batch.input_ids[line][batch.attention_mask[line].bool()].tolist() == wanted.tolist()
    assert batch.target.tolist() == [1, 0, 2]  # 4 % 3 = 1; 7 % 3 = 1 mirrored to 0; 2
    assert torch.equal(batch.row, torch.tensor([4, 7, 2]))


@pytest.mark.parametrize("formulation", ["joint", "symmetric", "score"])
def test_answers_that_are_equal_once_they_are_cut_are_known(formulation):
    """Answers that part after 50 bytes, after 5, and never; 40 tokens show the first 10 to 40 bytes of each."""
    begin = "the same beginning of both answers, long enough to be cut"
    rows = [("p", begin + " here", begin + " there"), ("p", "a" + begin, "b" + begin), ("p", begin, begin)]
    table = pa.table(
        {name: pa.array([[row[i]] for row in rows]) for i, name in enumerate(("prompt", "response_a", "response_b"))}
    )
    layout = compile_template(ByteTokenizer(), text=ANSWER if formulation == "score" else PLAIN)
    tokens = tokenize(Rows.from_table(table, "test"), ByteTokenizer())
    assert views(tokens, layout, TruncationSettings(40), formulation).alike.tolist() == [True, False, False]
    assert not views(tokens, layout, TruncationSettings(400), formulation).alike.any()
