"""From replies to numbers, on three prompts whose every number can be worked out by hand."""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
from replies_support import write_generations

from arena.core.errors import DataError
from arena.diversity.encoder import HashEncoder
from arena.evaluation.generation.alarms import rate_for_half, saturation
from arena.evaluation.generation.checkers import Case, Checker, ExactNumber, RegularExpression
from arena.evaluation.generation.evaluation import evaluate_generations as evaluate

PROMPTS = [
    ("a", "2 + 3 = #### 5", ["5", "5", "7"]),
    ("a", "#### 9", ["1", "2", "3"]),
    ("b", "#### 4", ["4", "4", "4"]),
]


def test_every_number(tmp_path):
    """Right are 2, 0 and 3 of 3 replies."""
    judged = evaluate(write_generations(tmp_path, PROMPTS, finished=8 / 9), ExactNumber())
    assert (judged["prompts"], judged["groups"], judged["samples"]) == (3, 2, 3)
    expected = {
        "pass@1": (2 / 3 + 0 + 1) / 3,
        "pass@2": (1 + 0 + 1) / 3,  # of the three pairs of 5, 5, 7 every one has a 5
        "pass@3": (1 + 0 + 1) / 3,
        "pass^1": (2 / 3 + 0 + 1) / 3,
        "pass^2": (1 / 3 + 0 + 1) / 3,  # one pair of three is 5, 5
        "pass^3": 1 / 3,
        "max@1": 5 / 9,
        "max@2": 2 / 3,
        "max@3": 2 / 3,
        "cover@0.25": 2 / 3,
        "cover@0.5": 2 / 3,
        "cover@0.75": 1 / 3,
        "cover@1": 1 / 3,
        "distinct_1": (2 / 3 + 1 + 1 / 3) / 3,
        "duplicate_share": (1 / 3 + 0 + 2 / 3) / 3,
        "empty_share": 0,
        "mean_words": 1,
        "mean_tokens": 1,
        "unfinished_share": 1 / 9,
        "log_probability_per_token": -1,
    }
    measures = judged["measures"]
    for name, value in expected.items():
        assert measures[name]["value"] == pytest.approx(value, abs=1e-12), name
        assert measures[name]["prompts"] == 3
    # Two groups drawn with replacement: twice a (1/4), twice b (1/4), both (1/2). The ends are those of a and b alone.
    assert (measures["pass@1"]["low"], measures["pass@1"]["high"]) == pytest.approx((1 / 3, 1))
    assert (measures["distinct_1"]["low"], measures["distinct_1"]["high"]) == pytest.approx((1 / 3, 5 / 6))
    assert judged["curves"]["pass@k"]["k"] == [1, 2, 3]
    assert judged["curves"]["pass^k"]["value"] == pytest.approx([5 / 9, 4 / 9, 1 / 3])
    assert judged["curves"]["max@k"]["low"] == pytest.approx([1 / 3, 1 / 2, 1 / 2])
    # One word each has no pair of words, and no encoder was given.
    assert measures["distinct_2"]["reason"] == "3 of 3 prompts: no text with two words"
    assert measures["vendi"]["prompts"] == 0
    assert math.isnan(measures["vendi"]["value"])
    # What people wrote: of 2 + 3 = #### 5 the words are 2, 3 and 5.
    assert {name: each["reference"] for name, each in measures.items() if "reference" in each} == {
        "mean_words": pytest.approx((3 + 1 + 1) / 3), "empty_share": 0, "pass@1": 1, "pass^1": 1, "max@1": 1
    }  # fmt: skip


def test_the_files(tmp_path):
    written = evaluate(write_generations(tmp_path, PROMPTS), ExactNumber(), HashEncoder(8), success=0.7, resamples=100)
    table = pq.read_table(tmp_path / "measures.parquet")
    assert table.column_names[:3] == ["id", "group", "distinct_1"]
    assert table["id"].to_pylist() == ["p0", "p1", "p2"]
    assert table["group"].to_pylist() == ["a", "a", "b"]
    assert table["pass@1"].to_pylist() == pytest.approx([2 / 3, 0, 1])
    assert np.isnan(table["distinct_2"].to_numpy()).all()
    # Three equal vectors are one text in effect.
    assert table["vendi"].to_pylist()[2] == pytest.approx(1, abs=1e-5)
    text = (tmp_path / "evaluation.json").read_text()
    assert "NaN" not in text
    read = json.loads(text)
    assert read["measures"]["distinct_2"]["value"] is None
    assert read["measures"]["pass@1"] == pytest.approx(written["measures"]["pass@1"])
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["rows"] == 3
    assert settings["checker"] == {"kind": "exact_number", "success": 0.7}
    assert settings["measures"]["encoder"] == "scikit-learn's hashed words and pairs, 8 entries"
    evaluate(tmp_path)  # and again without a checker
    assert "pass@1" not in pq.read_table(tmp_path / "measures.parquet").column_names
    assert json.loads((tmp_path / "settings.json").read_text())["checker"] is None


@dataclass(frozen=True)
class Tenth(Checker):
    """The number over ten as quality; -1 cannot be judged."""

    references: ClassVar[bool] = False
    unjudged: ClassVar[str] = "it is negative"

    def check(self, prompt: str, reply: str, reference: str) -> float:
        return math.nan if reply == "-1" else float(reply) / 10 if reply.isdigit() else 1.0


@pytest.fixture
def tenth(monkeypatch):
    from arena.evaluation.generation import checkers

    monkeypatch.setitem(checkers.CHECKERS, "tenth", Tenth)
    return Tenth()


def test_quality_between_0_and_1(tmp_path, tenth):
    measures = evaluate(write_generations(tmp_path, PROMPTS), tenth, success=0.45)["measures"]
    # Ascending .5 .5 .7, of three pairs one has .5 as its best and two have .7; .1 .2 .3: one .2, two .3.
    assert measures["max@2"]["value"] == pytest.approx(((0.5 + 1.4) / 3 + (0.2 + 0.6) / 3 + 0.4) / 3)
    assert measures["max@1"]["value"] == pytest.approx((1.7 / 3 + 0.2 + 0.4) / 3)
    assert measures["pass@1"]["value"] == pytest.approx(1 / 3)  # all of the first prompt


def test_replies_that_could_not_be_judged(tmp_path, tenth):
    replies = [("a", "", ["9", "-1", "1"]), ("b", "", ["-1", "-1", "-1"]), ("c", "", ["9", "9", "9"])]
    judged = evaluate(write_generations(tmp_path, replies), tenth)
    measures = judged["measures"]
    assert measures["pass@1"]["value"] == pytest.approx((1 / 2 + 1) / 2)
    assert measures["pass@2"]["value"] == 1
    assert measures["pass@1"]["prompts"] == 2
    assert measures["pass@3"]["prompts"] == 1  # the third prompt alone has three
    assert measures["pass@3"]["reason"] == "2 of 3 prompts: too few replies were judged, it is negative"
    assert measures["cover@0.5"]["value"] == 1
    assert "44.4% of the replies could not be judged: it is negative" in judged["alarms"]
    assert "reference" not in measures["pass@1"]  # there are none


def test_alarms(tmp_path):
    def of(name, prompts, checker=None, **options):
        return " | ".join(evaluate(write_generations(tmp_path / name, prompts, **options), checker)["alarms"])

    fine = [("a", "x", ["one", "two", "three"]), ("b", "x", ["four", "five", "six"])]
    assert of("fine", fine) == ""
    assert "33.3% of the replies repeat another one" in of("same", [fine[0], ("b", "x", ["a", "A ", "a"])])
    assert "16.7% of the replies are empty" in of("empty", [fine[0], ("b", "x", ["", "a", "b"])])
    assert "16.7% of the replies were cut off: raise max_new_tokens" in of("cut", fine, finished=5 / 6)
    assert "one reply to each prompt" in of("one", [("a", "x", ["one"]), ("b", "x", ["two"])])
    assert "all prompts are of one group" in of("group", fine[:1])
    assert "only 0.0% of the data's own replies are right" in of("own", fine, RegularExpression("e"))
    # Right are 2 and 1 of 3: pass@1 = .5, pass@2 = (1 + 2/3) / 2 = .833, pass@3 = 1.
    found = of("saturated", fine, RegularExpression("one|two|six"))
    assert "pass@3 is 1.000, so near 1 that it can hardly show a difference; pass@2 = 0.833 can, or a stricter" in found
    assert "by which 20.6% of single replies are right, not 50.0%" in found


def test_saturation():
    """Were all prompts alike: p = .129 gives pass@5 = .5, and p = .067 gives pass@10 = .5."""
    assert (rate_for_half(5), rate_for_half(10)) == pytest.approx((0.129, 0.067), abs=5e-4)
    assert saturation([0.3, 0.5, 0.7]) is None
    assert saturation([0.02, 0.03, 0.02]) is None
    assert saturation([0.92, 0.97]) == (
        "pass@2 is 0.970, so near 1 that it can hardly show a difference; a stricter checker would, by which 29.3% of "
        "single replies are right, not 92.0%"
    )
    # 1 - .995^k = .1 at k = 21.02
    assert saturation([0.005, 0.01]) == (
        "pass@2 is 0.010, so near 0 that it can hardly show a difference; about 22 samples would, or a milder checker "
        "would, by which 29.3% of single replies are right, not 0.5%"
    )
    assert "samples would" not in str(saturation([0.0, 0.0]))


def test_a_threshold_for_a_quality(tmp_path, tenth):
    """Each reply is right at .1: of the qualities .1 to .6 a share of 20.6% lies above their 79.4% quantile, .497."""
    replies = [("a", "", ["1", "2", "3"]), ("b", "", ["4", "5", "6"])]
    alarms = evaluate(write_generations(tmp_path, replies), tenth, success=0.1)["alarms"]
    expected = np.quantile(np.arange(1, 7) / 10, 0.5 ** (1 / 3))
    assert f"success={expected:.4g} does (now 0.1)" in alarms[0]


def test_replies_that_are_not_whole(tmp_path):
    write_generations(tmp_path, PROMPTS)
    path = tmp_path / "generations.parquet"
    pq.write_table(pq.read_table(path).slice(0, 8), path)
    with pytest.raises(DataError, match="it has not the samples 0..n-1 of every prompt"):
        evaluate(tmp_path)


def test_the_reference_of_each_prompt_is_its_own(tmp_path):
    seen = []

    class Notes(Tenth):
        def check_all(self, rows):
            seen.extend(rows)
            return np.ones(len(rows))

    from arena.evaluation.generation import checkers

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(checkers.CHECKERS, "notes", Notes)
        evaluate(write_generations(tmp_path, PROMPTS[:2]), Notes())
    assert seen[0] == Case("prompt 0", "5", "2 + 3 = #### 5")
    assert seen[5] == Case("prompt 1", "3", "#### 9")
    assert seen[6:] == [Case(f"prompt {i}", PROMPTS[i][1], PROMPTS[i][1]) for i in (0, 1)]
