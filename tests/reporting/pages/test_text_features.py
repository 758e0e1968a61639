"""Counts of punctuation and markdown, and that the size of the batches does not matter."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from arena.core.errors import DataError
from arena.data.source.examples import PAIR
from arena.reporting.text_features import FEATURES, TextFeatures, measure


def batch(answers: list[Any], others: list[Any] | None = None) -> pa.RecordBatch:
    others = others or [["-"]] * len(answers)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, pa.list_(pa.string())) for column in ([["p"]] * len(answers), answers, others)],
        schema=PAIR.text_schema,
    )


def counts(answer: list[str | None]) -> dict[str, int]:
    """The counts of one answer that are not 0."""
    found = measure(iter([batch([answer])]), 1).counts
    assert set(found) == set(FEATURES)
    return {name: int(values[0, 0]) for name, values in found.items() if values[0, 0]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (["plain words"], {}),
        (["# One\n## Two\n#three\n    # indented as code"], {"headings": 2, "line_breaks": 3}),
        (["- one\n  * two\n+ three\n\u2022 four\n-five\n*emphasis*"], {"bullets": 4, "line_breaks": 5}),
        (["1. one\n2) two\n3.5 is a number"], {"numbered": 2, "line_breaks": 2, "digits": 4}),
        (["**bold** and **again**, 2 ** 3"], {"bold": 2, "commas": 1, "digits": 2}),
        (["| a | b |\n|---|---|\nx | y"], {"table_rows": 2, "line_breaks": 2}),
        (["[text](https://x.org) and http://y.org"], {"links": 2}),
        (["Why? \u4ec0\u4e48\uff1f a, b\uff0c c\u3001"], {"question_marks": 2, "commas": 3}),
        (["Oh! \u597d\uff01"], {"exclamation_marks": 2}),
        (["```python\n# no heading\n- no bullet\n```\n# heading"], {"code_blocks": 1, "headings": 1, "line_breaks": 4}),
        (["```\n# still open"], {"code_blocks": 1, "line_breaks": 1}),
        (["```x```", None, "```y```"], {"code_blocks": 2}),
        ([], {}),
        ([None], {}),
    ],
)  # fmt: skip
def test_counts(answer: list[str | None], expected: dict[str, int]) -> None:
    assert counts(answer) == expected


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (["I'm sorry, but I can't help."], True),
        (["I\u2019m sorry."], True),
        ([" I cannot assist"], True),
        (["fine", "As an AI language model, ..."], True),
        (["Unfortunately, I do not know."], True),
        (["I cannoted a boat"], False),
        (["The king said: I'm sorry."], False),
        ([None], False),
    ],
)
def test_refusals(answer: list[str | None], refusal: bool) -> None:
    assert measure(iter([batch([answer])]), 1).refusal.tolist() == [[refusal, False]]


def test_equal_answers_are_equal_turn_for_turn() -> None:
    first = [["a", "b"], ["ab"], ["a"], [None], [], ["x"]]
    second = [["a", "b"], ["a", "b"], ["b"], [""], [], ["x", ""]]
    found = measure(iter([batch(first, second)]), 6)
    assert found.identical.tolist() == [True, False, False, True, True, False]
    assert found.empty.tolist() == [[False] * 2, [False] * 2, [False] * 2, [True] * 2, [True] * 2, [False] * 2]


def same(left: TextFeatures, right: TextFeatures) -> bool:
    return all(np.array_equal(left.counts[name], right.counts[name]) for name in FEATURES) and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in ("empty", "refusal", "identical")
    )


def test_batches_of_any_size_give_the_same() -> None:
    generator = np.random.default_rng(3)
    pieces = ["# h\n", "- b\n", "**x**", "1, 2, 3!", "?", "```\ncode\n```", "I'm sorry", "", None, "\u65e5\u672c\u3001"]
    turns = [[pieces[i] for i in generator.integers(0, len(pieces), generator.integers(0, 4))] for _ in range(300)]
    whole = batch(turns[:150], turns[150:])
    expected = measure(iter([whole]), 150)
    for size in (1, 7, 64):
        parts = [whole.slice(start, size) for start in range(0, 150, size)]
        assert same(measure(iter(parts), 150), expected)
    assert expected.counts["commas"].sum() == sum(
        (t or "").count(",") + (t or "").count("\u3001") for x in turns for t in x
    )


def test_the_number_of_rows_must_fit() -> None:
    with pytest.raises(DataError, match="the texts have 2 rows, the table 3"):
        measure(iter([batch([["a"], ["b"]])]), 3)
    with pytest.raises(DataError, match="the texts have 2 rows, the table 1"):
        measure(iter([batch([["a"], ["b"]])]), 1)
