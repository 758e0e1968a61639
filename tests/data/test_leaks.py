"""The report counts what is planted, in the cell where it is planted, and nothing after arena's own split."""

import json

import numpy as np
import pytest
from test_duplicates import edited
from test_groups import planted_rows, table, text

from arena.core.errors import UsageError
from arena.data.split.assignment import assign_splits
from arena.data.split.groups import join_rows
from arena.data.split.leaks import KINDS, leak_report, leaks_between


def counted(report):
    """The cells that are not zero, by kind."""
    return {kind: found.tolist() for kind, found in report.overlap.items() if found.any()}


def test_each_kind_is_counted_where_it_is():
    """Rows 0 and 1 repeat across train and val, 2 and 3 within train, row 4 nowhere."""
    draw = np.random.default_rng(0)
    prompt, a, b = text(draw), text(draw), text(draw)
    other, c, d = text(draw), text(draw), text(draw)
    rows = [(prompt, a, b), (prompt.upper(), b, a), (other, c, d), (other, c, f"  {d}"), (text(draw), text(draw), "x")]
    report = leak_report(table(rows), np.arange(5), ["train", "val", "train", "train", "val"])
    assert report.parts == ("train", "val")
    assert report.rows.tolist() == [3, 2]
    equal = [[2, 1], [1, 0]]
    assert counted(report) == {"row": [[2, 0], [0, 0]], "swapped": [[0, 1], [1, 0]], "prompt": equal, "answers": equal}
    assert report.crossing == dict.fromkeys(KINDS, 0) | {"swapped": 2, "prompt": 2, "answers": 2}
    (swapped,) = report.examples["swapped"]
    assert (swapped.ids, swapped.parts, swapped.similarity) == (("0", "1"), ("train", "val"), 1.0)
    assert [example.ids for example in report.examples["prompt"]] == [("0", "1"), ("2", "3")]


def test_near_repeats_count_all_rows_of_both_prompts():
    """Two rows of one prompt in train, three of a near one in test: 2 of train are near to test, 3 of test to train."""
    draw = np.random.default_rng(1)
    prompt = text(draw)
    near = edited(prompt, 1, draw)
    rows = [(prompt, text(draw), "a") for _ in range(2)] + [(near, text(draw), "b") for _ in range(3)]
    report = leak_report(table(rows), np.arange(5), ["train"] * 2 + ["test"] * 3)
    assert counted(report) == {"prompt": [[2, 0], [0, 3]], "near_prompt": [[0, 2], [3, 0]]}
    (example,) = report.examples["near_prompt"]
    assert example.parts == ("train", "test")
    assert 0.8 <= example.similarity < 1
    assert "near_prompt" not in leak_report(table(rows), np.arange(5), ["train"] * 2 + ["test"] * 3, None).overlap


@pytest.mark.slow
def test_a_random_split_leaks_and_arenas_does_not():
    draw = np.random.default_rng(2)
    count = 150
    rows = [row for part in planted_rows(draw, count) for row in part]
    rows += [(prompt.title(), a, b) for prompt, a, b in rows[:count]] + [(p, b, a) for p, a, b in rows[:count]]
    data, everything = table(rows), np.arange(len(rows))
    found = join_rows(data, everything, 0.8)
    labels = draw.integers(0, 3, len(rows))
    report = leak_report(data, everything, assign_splits(found.group, labels, 0.2, 0.2, 0))
    assert report.crossing == dict.fromkeys(KINDS, 0)
    assert all(np.trace(found) > 0 for found in report.overlap.values())
    random = leak_report(data, everything, draw.choice(["train", "val", "test"], len(rows)))
    # A pair is divided with probability 2/3: of 150 pairs fewer than 70 with probability 1e-7.
    assert all(rows >= 140 for rows in random.crossing.values())
    assert all(np.array_equal(found > 0, (found > 0).T) for found in random.overlap.values())
    # Whole-row kinds are within the first prompt's or the answers' kind.
    for kind in ("row", "swapped"):
        assert (random.overlap[kind] <= random.overlap["prompt"]).all()


def test_two_files():
    draw = np.random.default_rng(3)
    rows, prompts, edits, twins = planted_rows(draw, 100)
    report = leaks_between(table(rows), table(twins[:30] + rows[:20]), names=("data", "other"))
    assert report.parts == ("data", "other")
    assert report.rows.tolist() == [100, 50]
    assert report.overlap["row"].tolist() == [[0, 20], [20, 0]]
    assert report.overlap["answers"].tolist() == [[0, 30], [50, 20 + 20]]
    assert counted(leaks_between(table(rows), table(prompts[:1])))["near_prompt"] == [[0, 1], [1, 0]]
    assert not leaks_between(table(rows[:50]), table(rows[50:])).overlap["row"].any()


def test_the_table_is_aligned_and_the_dictionary_is_json():
    draw = np.random.default_rng(4)
    rows = planted_rows(draw, 3)[0]
    report = leak_report(table(rows + rows), np.arange(6), ["train"] * 3 + ["test"] * 2 + [""])
    lines = report.lines()
    assert lines[0].split() == ["repeats", "rows", "of", "rows", "in", "train", "in", "test"]
    assert lines[1].split() == ["row", "train", "3", "0", "2"]
    assert lines[2].split() == ["test", "2", "2", "0"]
    assert len({len(line) for line in lines[: 1 + 2 * len(KINDS)]}) == 1
    assert "row: train 0 = test 3 (1.000)" in lines
    again = json.loads(json.dumps(report.to_dict()))
    assert again["parts"] == ["train", "test"]
    assert again["repeats"]["row"]["overlap"] == [[0, 2], [2, 0]]
    assert again["repeats"]["row"]["crossing"] == 4
    assert again["repeats"]["row"]["examples"][0]["ids"] in (["0", "3"], ["1", "4"])
    assert set(again["repeats"]) == set(KINDS)


def test_copies_of_a_prompt_on_both_sides_are_shown_across():
    """The first copies of two near prompts are both in train; a later copy is in test, and the example names it."""
    draw = np.random.default_rng(5)
    prompt = text(draw)
    rows = [(prompt, "a", "b"), (edited(prompt, 1, draw), "c", "d"), (prompt, "e", "f")]
    report = leak_report(table(rows), np.arange(3), ["train", "train", "test"])
    assert [set(example.parts) for example in report.examples["near_prompt"]] == [{"train", "test"}]
    assert report.overlap["near_prompt"].tolist() == [[2, 1], [1, 0]]


def test_splits_must_fit_the_rows():
    rows = table([("p", "a", "b")])
    with pytest.raises(UsageError, match="2 splits for 1 rows"):
        leak_report(rows, np.arange(1), ["train", "val"])
    report = leak_report(rows, np.arange(1), [""])
    assert report.parts == ()
    assert report.crossing == dict.fromkeys(KINDS, 0)
