"""Checkers: what is right, what is wrong, and what cannot be said."""

import math
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from arena.core.errors import UsageError
from arena.evaluation.generation.checkers import CHECKERS, Case, described, make, number_of


def chosen(*arguments: str) -> dict[str, str]:
    """As the command line reads `checker=NAME checker.OPTION=VALUE`."""
    pairs = (argument.partition("=")[::2] for argument in arguments)
    return {key.removeprefix("checker").removeprefix(".") or "kind": value for key, value in pairs}


def checker(*arguments: str):
    made = make(chosen(*arguments))
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so 3 + 4 = 7.", "7"),
        ("#### 1,234", "1234"),
        ("it costs $1,000,000.50", "1000000.50"),
        ("10-5", "5"),  # a minus between two numbers is no sign
        ("it is -5", "-5"),
        ("it is \u2212$5", "-5"),
        ("x = .5", "0.5"),
        ("1,2,3", "3"),  # a list and no thousands
        ("12345,678", "678"),
        ("#### 7\n\nQuestion: 9 + 2? #### 11", "7"),  # what comes after the answer does not change it
        ("9, so ####", None),  # the mark without a number
        ("no idea", None),
    ],
)
def test_number_of_a_text(text, number):
    assert number_of(text) == (None if number is None else Decimal(number))


def test_exact_number():
    judge = checker("checker=exact_number")
    cases = [("so it is 18", 1), ("18.00", 1), ("#### 19", 0), ("", 0), ("18 then 20", 0), ("#### 18 then 20", 1)]
    rows = [Case("how many?", reply, "9 * 2 = <<9*2=18>>18\n#### 18") for reply, _ in cases]
    assert judge.check_all(rows).tolist() == [right for _, right in cases]
    assert math.isnan(judge.check("how many?", "18", "many"))


def test_every_solution_of_gsm8k_is_right(shared):
    table = pq.read_table(shared / "data" / "gsm8k" / "data.parquet", columns=["question", "solution", "final_answer"])
    judge = checker("checker=exact_number")
    rows = [Case(row["question"], row["final_answer"], row["solution"]) for row in table.to_pylist()]
    assert len(rows) == 7023
    assert judge.check_all(rows).all()
    other = [Case(row.prompt, f"{row.reply}1", row.reference) for row in rows]
    assert not judge.check_all(other).any()


def test_regular_expression():
    judge = checker("checker=regex", r"checker.pattern=^(?i:yes|no)\b[^?]*$")
    assert judge.check_all([Case("", "No, never", ""), Case("", "maybe", ""), Case("", "Yes?", "")]).tolist() == [
        1,
        0,
        0,
    ]
    never = checker("checker=regex", "checker.pattern=[0-9]+: {a}", "checker.must=false")
    assert [never.check("", reply, "") for reply in ("12: {a}", "12: a")] == [0, 1]
    assert described(never) == {"kind": "regex", "pattern": "[0-9]+: {a}", "must": False}


def test_rules():
    judge = checker("checker=rules", "checker.min_words=2", "checker.max_words=4")
    replies = {"one": 0.0, "and the, of!": 1.0, "and the of it was": 0.0, "": 0.0}
    assert judge.check_all([Case("", reply, "") for reply in replies]).tolist() == list(replies.values())
    assert checker("checker=rules").check("", "?!", "") == 0  # no words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checker=exact"], "checker=exact: no such checker; did you mean 'exact_number'?"),
        (["checker.pattern=x"], "checker.pattern: no checker is chosen; give checker=NAME"),
        (["checker=regex"], "checker.pattern: regex needs a value; give checker.pattern=..."),
        (["checker=regex", "checker.pattern=(a"], "checker.pattern=(a: no regular expression (missing ), "),
        (["checker=regex", "checker.patern=a"], "checker.patern: regex has no such option; did you mean 'pattern'?"),
        (["checker=regex", "checker.pattern=a", "checker.must=5"], "checker.must=5: true or false is needed"),
        (["checker=regex", "checker.pattern=a", "checker.needs_reference=true"], "regex has no such option"),
        (["checker=rules", "checker.min_words=-1"], "checker.min_words=-1: a whole number, 0 or more is needed"),
        (["checker=rules", "checker.min_words=[1"], "checker.min_words=[1: cannot be read"),
        (["checker=rules", "checker.max_words=0"], "checker.max_words=0: a whole number, 1 or more"),
        (["checker=rules", "checker.min_words=5", "checker.max_words=4"], "it is less than min_words=5"),
        (["checker=rules", "checker.language=en"], "checker.language: rules has no such option"),
        (["checker=likelihood"], "checker=likelihood: no such checker"),
    ],
)  # fmt: skip
def test_one_line_for_what_is_wrong(arguments, message):
    with pytest.raises(UsageError) as error:
        make(chosen(*arguments))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_line_without_a_checker():
    assert make({}) is None
    assert make(chosen("checker=null")) is None
    assert described(None) is None
    assert set(CHECKERS) == {"exact_number", "regex", "rules"}
