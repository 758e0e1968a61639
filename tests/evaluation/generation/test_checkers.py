"""Checkers: what is right, what is wrong, and what cannot be said."""

import math
from decimal import Decimal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support import stories_folder

from arena.core.errors import DataError, InputOutputError, UsageError
from arena.evaluation.generation.checkers import Case, number_of, ranks
from arena.evaluation.generation.choice import CHECKERS, described, make, separate
from arena.evaluation.generation.languages import in_language


def checker(*arguments: str):
    rest, chosen = separate(arguments)
    assert rest == []
    made = make(chosen)
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
    judge = checker("checker=rules", "checker.min_words=2", "checker.max_words=4", "checker.language=en")
    replies = {
        "one": 0.0,
        "and the, of!": 1.0,
        "and the of it was": 0.0,
        "und das ist es": 0.0,
        "\u0434\u0430 \u044d\u0442\u043e \u0442\u0430\u043a": 0.0,
        "": 0.0,
    }
    assert judge.check_all([Case("", reply, "") for reply in replies]).tolist() == list(replies.values())
    assert math.isnan(judge.check("", "blue cats", ""))
    assert checker("checker=rules").check("", "?!", "") == 0  # no words


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("\u79c1\u306f\u5b66\u751f\u3067\u3059", "ja", True),
        ("\u79c1\u306f\u5b66\u751f\u3067\u3059", "zh", False),  # kana
        ("\u6211\u662f\u5b66\u751f", "zh", True),
        ("\u6211\u662f\u5b66\u751f", "ja", False),
        ("\uc548\ub155\ud558\uc138\uc694 Tom", "ko", True),
        ("\u79c1\u306f\u5b66\u751f\u3067\u3059", "en", False),
        ("saya tidak suka itu", "id", True),
        ("je ne sais pas ce que vous avez", "fr", True),
        ("je ne sais pas ce que vous avez", "es", False),
        ("12 + 3", "en", None),
        ("Paris", "fr", None),
    ],
)
def test_language(text, language, expected):
    assert in_language(text, language) is expected


def test_languages_of_real_texts(shared):
    """Of whole sentences hardly any is taken for another language; what cannot be told is neither."""
    for name, column, language in (("gsm8k", "solution", "en"), ("indonlu_hoasa", "text", "id")):
        texts = pq.read_table(shared / "data" / name / "data.parquet", columns=[column])[column].to_pylist()[:1000]
        found = [in_language(text, language) for text in texts]
        assert found.count(False) < 0.03 * len(found)
        assert found.count(True) > 0.7 * len(found)
        assert [in_language(text, "es") for text in texts].count(True) < 0.02 * len(found)


@pytest.fixture(scope="session")
def stories(tmp_path_factory):
    from support import SHARED

    if not SHARED.is_dir():
        pytest.skip("no real model here; set ARENA_SHARED")
    return stories_folder(SHARED / "models" / "stories260k", tmp_path_factory.mktemp("stories"))


CASES = [
    Case("Once upon a time", "there was a little girl named Lily.", ""),
    Case("Once upon a time", "revenue turbine lattice quorum gradient.", ""),
    Case("Lily had a red ball. She was", "very happy.", ""),
    Case("Lily", "", ""),
]


def test_likelihood(stories):
    """As the model itself says, one reply at a time and without padding."""
    from transformers import AutoModelForCausalLM

    from arena.data.text.tokenizer import HubTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(stories), HubTokenizer("stories", str(stories))
    expected = []
    for case in CASES[:3]:
        before, reply = (each.tolist() for each in tokenizer.encode([f"{case.prompt}\n\n", case.reply]))
        ids = torch.tensor([tokenizer.prefix + before + reply])
        with torch.no_grad():
            odds = model(input_ids=ids).logits[0].log_softmax(-1)
        start = ids.shape[1] - len(reply)
        taken = [float(odds[start + i - 1, token]) for i, token in enumerate(reply)]
        expected.append(sum(taken) / len(taken))
    assert expected[0] > expected[1] + 1  # a story against none

    found = checker("checker=likelihood", f"checker.path={stories}", "checker.batch_size=2").check_all(CASES)
    assert np.log(found[:3]) == pytest.approx(expected, abs=1e-5)
    assert math.isnan(found[3])
    limit = (expected[0] + expected[1]) / 2
    right = checker("checker=likelihood", f"checker.path={stories}", f"checker.threshold={limit}").check_all(CASES)
    assert right[:2].tolist() == [1, 0]
    assert math.isnan(right[3])
    rank = checker("checker=likelihood", f"checker.path={stories}", "checker.scale=rank")
    order = np.argsort(np.argsort(expected))
    assert rank.check_all(CASES)[:3] == pytest.approx((order + 0.5) / 3)
    assert rank.check(*CASES[0]) == 0.5


def test_likelihood_of_what_is_too_long_and_what_does_not_fit(stories, monkeypatch):
    judge = checker("checker=likelihood", f"checker.path={stories}", "checker.max_length=8")
    long = Case("Once upon a time there was a dog. " * 20, "He was very happy and ran to the park. " * 20, "")
    found = judge.check_all([long])
    assert 0 < found[0] < 1

    judge = checker("checker=likelihood", f"checker.path={stories}", "checker.batch_size=3")
    whole = judge.check_all(CASES)
    reader = judge._model[0]  # pyright: ignore[reportAttributeAccessIssue]
    sizes = []

    def small(sequences, scored, real=reader._means):
        sizes.append(len(sequences))
        if len(sequences) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(sequences, scored)

    monkeypatch.setattr(reader, "_means", small)
    assert judge.check_all(CASES) == pytest.approx(whole, abs=1e-6, nan_ok=True)
    assert sizes == [3, 2, 1, 1, 1]


def test_ranks():
    assert ranks(np.array([3.0, 1.0, math.nan, 3.0])).tolist() == pytest.approx(
        [2 / 3, 1 / 6, math.nan, 2 / 3], nan_ok=True
    )


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_checks_of_a_test.py").write_text(
        "from os.path import exists\n"
        "def short(prompt, reply, reference):\n"
        "    return 1 if len(reply) < 5 else 0.5\n"
        "def broken(prompt, reply, reference):\n"
        "    return len(reply) / 0\n"
        "def large(prompt, reply, reference):\n"
        "    return 7\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "own_checks_of_a_test"


def test_a_function_of_ones_own(own_module):
    options = ["checker=callable", f"checker.module={own_module}", f"checker.allow=[{own_module}]"]
    judge = checker(*options, "checker.function=short")
    assert judge.check_all([Case("", "abc", ""), Case("", "abcdef", "")]).tolist() == [1, 0.5]
    with pytest.raises(DataError, match=r"broken failed at the reply 'abc' \(ZeroDivisionError: division by zero\)"):
        checker(*options, "checker.function=broken").check("", "abc", "")
    with pytest.raises(DataError, match="large gave 7 for the reply 'abc'; a number from 0 to 1, or NaN, is needed"):
        checker(*options, "checker.function=large").check("", "abc", "")
    with pytest.raises(UsageError, match="defines no such function; did you mean 'short'?"):
        checker(*options, "checker.function=shorts")
    with pytest.raises(UsageError, match="defines no such function"):  # imported there, not defined there
        checker(*options, "checker.function=exists")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checker=exact"], "checker=exact: no such checker; did you mean 'exact_number'?"),
        (["checker.pattern=x"], "checker.pattern: no checker is chosen; give checker=NAME"),
        (["checker=regex"], "checker.pattern: regex needs a value; give checker.pattern=..."),
        (["checker=regex", "checker.pattern=(a"], "checker.pattern=(a: no regular expression (missing ), "),
        (["checker=regex", "checker.patern=a"], "checker.patern: regex has no such option; did you mean 'pattern'?"),
        (["checker=regex", "checker.pattern=a", "checker.must=5"], "checker.must=5: true or false is needed"),
        (["checker=regex", "checker.pattern=a", "checker.references=true"], "regex has no such option"),
        (["checker=rules", "checker.min_words=-1"], "checker.min_words=-1: a whole number, 0 or more is needed"),
        (["checker=rules", "checker.min_words=[1"], "checker.min_words=[1: cannot be read"),
        (["checker=rules", "checker.max_words=0"], "checker.max_words=0: a whole number, 1 or more"),
        (["checker=rules", "checker.min_words=5", "checker.max_words=4"], "it is less than min_words=5"),
        (["checker=rules", "checker.language=no"], "checker.language=no: one of ar, de, el, en"),
        (["checker=likelihood"], "checker.path: a value is needed"),
        (["checker=likelihood", "checker.path=x", "checker.scale=log"], "checker.scale=log: one of probability, rank"),
        (["checker=callable", "checker.module=os", "checker.function=remove"], "checker.module=os: not allowed"),
        (
            ["checker=callable", "checker.module=os.path", "checker.function=x", "checker.allow=[os]"],
            "checker.module=os.path: not allowed; if its code may be run, give checker.allow=[os.path]",
        ),
        (
            ["checker=callable", "checker.module=no_such_one", "checker.function=x", "checker.allow=[no_such_one]"],
            "checker.module=no_such_one: cannot be imported (No module named 'no_such_one')",
        ),
        (
            ["checker=callable", "checker.module=a", "checker.function=x", "checker.allow=a"],
            "checker.allow=a: a list is needed",
        ),
        (["checker=callable", "checker.module=a", "checker.function=x", "checker._function=b"], "no such option"),
    ],
)  # fmt: skip
def test_one_line_for_what_is_wrong(arguments, message):
    with pytest.raises(UsageError) as error:
        make(separate(arguments)[1])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_that_is_not_there():
    with pytest.raises(InputOutputError, match="no such folder"):
        checker("checker=likelihood", "checker.path=/nowhere/at/all").check("a", "b", "")


def test_the_command_line_without_a_checker():
    assert separate(["run=a", "samples=2"]) == (["run=a", "samples=2"], {})
    assert make({}) is None
    assert make(separate(["checker=null"])[1]) is None
    assert described(None) is None
    assert set(CHECKERS) == {"exact_number", "regex", "rules", "likelihood", "callable"}
