"""The exploration report: every number derived by hand on small tables, and pages for odd ones."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from arena.core.errors import DataError, UsageError
from arena.data.source.rows import Rows
from arena.reporting import exploration

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def rows_of(rows: list[dict[str, Any]]) -> Rows:
    """Rows from dictionaries; what is left out is one turn of plain text, unknown models and no winner."""
    known = {"prompt": ["p"], "response_a": ["a"], "response_b": ["b"], "winner": None}
    full = [{"id": str(i)} | known | row for i, row in enumerate(rows)]
    names = {name: pa.string() for name in ("id", "winner", "model_a", "model_b", "language", "source")}
    names |= {name: pa.list_(pa.string()) for name in ("prompt", "response_a", "response_b")}
    return Rows.from_table(pa.table({n: pa.array([r.get(n) for r in full], t) for n, t in names.items()}), "x")


def explore(folder: Path, rows: Rows, facts: pa.Table | None = None, **more: Any) -> dict[str, Any]:
    return exploration.write(folder, "A title", rows.metadata if facts is None else facts, rows.texts, **more)


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / "tables" / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text_of(folder: Path) -> str:
    """The page as a reader sees it, without its pictures."""
    return re.sub(r"data:image/png;base64,[^\"]*", "", (folder / "index.html").read_text(encoding="utf-8"))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The interval from its definition: the rates p with |successes/n - p| = z sqrt(p (1 - p) / n)."""
    z = 1.959963984540054
    # (k/n - p)^2 = z^2 p (1 - p) / n, as a polynomial in p.
    low, high = sorted(np.roots([1 + z**2 / n, -2 * successes / n - z**2 / n, (successes / n) ** 2]).real)
    return float(low), float(high)


def test_winners_position_and_length_by_hand(tmp_path: Path) -> None:
    """Five A, three B, two ties, one without a vote; the longer answer wins six of seven, one pair is of one length."""
    long, short = ["x" * 30], ["x" * 10]
    rows = [{"winner": "model_a", "response_a": long, "response_b": short}] * 4
    rows += [{"winner": "model_a", "response_a": short, "response_b": short}]
    rows += [{"winner": "model_b", "response_a": short, "response_b": long}] * 2
    rows += [{"winner": "model_b", "response_a": long, "response_b": short}]
    rows += [{"winner": "tie"}] * 2 + [{"winner": None}]
    found = explore(tmp_path / "x", rows_of(rows))
    assert (found["rows"], found["labelled"]) == (11, 10)
    for name, count in (("model_a", 5), ("model_b", 3), ("tie", 2)):
        one = found["winners"][name]
        assert (one["count"], one["total"], one["value"]) == (count, 10, count / 10)
        assert (one["low"], one["high"]) == pytest.approx(wilson(count, 10))
    assert (found["position"]["count"], found["position"]["total"]) == (5, 8)
    assert (found["longer_wins"]["count"], found["longer_wins"]["total"]) == (6, 7)
    assert (found["longer_wins"]["low"], found["longer_wins"]["high"]) == pytest.approx(wilson(6, 7))
    text = text_of(tmp_path / "x")
    assert "The longer answer won 85.7% of 7 decided pairs of different length (95% interval 48.7% to 97.4%)" in text
    assert "1 row without a winner left out" in text
    bins = table(tmp_path / "x", "length_difference")
    # Differences of the labelled rows: -20 twice, 0 three times (one decided, two ties), +20 five times.
    assert [int(line["A wins: of"]) for line in bins] == [2, 3, 5]
    assert [line["A wins: rate"] for line in bins] == ["0", "0.333333", "0.8"]


def test_a_tournament(tmp_path: Path) -> None:
    """P beats Q twice (once from each side) and loses once; P and R tie; Q meets itself, which counts as use only."""
    games = [
        ("P", "Q", "model_a"),
        ("Q", "P", "model_b"),
        ("Q", "P", "model_a"),
        ("P", "R", "tie"),
        ("Q", "Q", "model_a"),
    ]
    games += [("R", None, "model_a"), ("Q", "R", None)]
    rows = rows_of([{"model_a": a, "model_b": b, "winner": w} for a, b, w in games])
    explore(tmp_path / "x", rows)
    used = {line["model"]: (line["as A"], line["as B"]) for line in table(tmp_path / "x", "models")}
    assert used == {"P": ("2", "2"), "Q": ("4", "2"), "R": ("1", "2")}
    rates = {line["model"]: line for line in table(tmp_path / "x", "win_rates")}
    assert set(rates) == {"P", "Q"}  # R has no decided game
    assert [rates["P"][name] for name in ("wins", "wins: of", "ties", "ties: of")] == ["2", "3", "1", "4"]
    assert float(rates["P"]["wins: rate"]) == pytest.approx(2 / 3, abs=1e-6)
    assert (float(rates["P"]["wins: low"]), float(rates["P"]["wins: high"])) == pytest.approx(wilson(2, 3), abs=1e-6)
    assert float(rates["P"]["score, tie as half"]) == 2.5 / 4
    pairs = {(line["model"], line["opponent"]): line for line in table(tmp_path / "x", "pairs")}
    pair = pairs.get(("P", "Q")) or pairs[("Q", "P")]
    assert (pair["wins: of"], pair["ties"]) == ("3", "0")
    assert pair["wins"] == ("2" if pair["model"] == "P" else "1")
    assert "In 1 row a model meets itself" in text_of(tmp_path / "x")


def test_style_of_winners_and_losers(tmp_path: Path) -> None:
    """Commas of winner minus loser: 3, 1, -1, and 0 in a pair that does not differ."""
    rows = [
        {"winner": "model_a", "response_a": ["a,,,"], "response_b": ["bbbb"]},
        {"winner": "model_b", "response_a": ["a,aa"], "response_b": ["b,", ",b"]},
        {"winner": "model_b", "response_a": ["a,aa"], "response_b": ["bbbb"]},
        {"winner": "model_a", "response_a": ["a"], "response_b": ["b"]},
        {"winner": "tie", "response_a": ["a,,,,,"], "response_b": ["b"]},
    ]
    explore(tmp_path / "x", rows_of(rows))
    line = {line["feature"]: line for line in table(tmp_path / "x", "style")}["Commas"]
    assert line["more wins: of"] == "3"
    assert (float(line["mean of winners"]), float(line["mean of losers"])) == (5 / 4, 2 / 4)
    differences = np.array([3, 1, -1, 0])
    error = differences.std(ddof=1) / 2
    assert float(line["difference: low"]) == pytest.approx(0.75 - 1.959964 * error, abs=1e-5)
    assert float(line["more wins: rate"]) == pytest.approx(2 / 3, abs=1e-6)


def test_binned_tables_count_every_row_once(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    winners = generator.choice(["model_a", "model_b", "tie"], 200).tolist()
    lengths = generator.integers(1, 500, (200, 3))
    languages = generator.choice(["English", "Deutsch"], 200).tolist()
    rows = [
        {
            "winner": w,
            "prompt": ["p" * p] * (1 + p % 3),
            "response_a": ["a" * a],
            "response_b": ["b" * b],
            "language": x,
        }
        for w, (p, a, b), x in zip(winners, lengths.tolist(), languages, strict=True)
    ]
    found = explore(tmp_path / "x", rows_of(rows))
    for name in ("length_difference", "prompt_length", "turns", "languages"):
        lines = table(tmp_path / "x", name)
        for label, outcome in (("A wins", "model_a"), ("B wins", "model_b"), ("tie", "tie")):
            assert sum(int(line[label]) for line in lines) == winners.count(outcome)
    for name in ("prompt_length", "turns", "languages"):
        differ = sum(int(line["longer wins: of"]) for line in table(tmp_path / "x", name))
        assert differ == found["longer_wins"]["total"]
    # A label that begins with + has a ' in front, so that a spreadsheet takes it as text.
    signs = [line["A minus B, characters"].lstrip("'")[0] for line in table(tmp_path / "x", "length_difference")]
    assert signs == sorted(signs, key="\u22120+".index)


def test_empty_refusing_and_identical_answers(tmp_path: Path) -> None:
    rows = [
        {"winner": "model_b", "response_a": [" \n"], "response_b": ["b"]},
        {"winner": "model_b", "response_a": [None], "response_b": ["b"]},
        {"winner": "tie", "response_a": [], "response_b": [""]},
        {"winner": "model_a", "response_a": ["I'm sorry, but no."], "response_b": ["yes"]},
        {"winner": "model_b", "response_a": ["ok", "As an AI, I cannot"], "response_b": ["yes", "sure"]},
        {"winner": "tie", "response_a": ["same"], "response_b": ["same"]},
    ]
    found = explore(tmp_path / "x", rows_of(rows))
    assert (found["empty"], found["refusing"], found["identical"]) == (3, 2, 1)
    empty, refusing = table(tmp_path / "x", "odd_answers")
    assert (empty["wins against another"], empty["wins against another: of"], empty["both answers"]) == ("0", "2", "1")
    assert (refusing["wins against another"], refusing["wins against another: of"]) == ("1", "2")


@pytest.mark.slow
def test_tokens_limits_splits_and_given_tables(tmp_path: Path) -> None:
    rows = rows_of([{"winner": w} for w in ("model_a", "model_b", "tie", "model_a")])
    facts = rows.metadata.append_column("group", pa.array(["g", "g", "h", "i"]))
    facts = facts.append_column("split", pa.array(["train", "train", "val", "test"]))
    limits = [
        {"max_length": size, "share_cut": cut, "share_answer_invisible": 0.0, "share_b_invisible_right_cut": 0.0}
        | {"kept_tokens_share": 0.9}
        for size, cut in ((20, 0.25), (10, 0.5))
    ]
    tokens = np.array([[1, 2, 3], [2, 2, 2], [5, 5, 5], [10, 10, 10]])
    found = explore(
        tmp_path / "x", rows, facts, tokens=tokens, limits=limits, leaks=[["what", "rows"], ["copies", "2"]],
        account=[["rows", "number"], ["read", "5"], ["rejected", "1"]],
    )  # fmt: skip
    assert found["tokens"] == {"median": 10.5, "p95": pytest.approx(27.75), "largest": 30}
    lengths = {line["tokens"]: line for line in table(tmp_path / "x", "tokens")}
    assert (lengths["all three"]["sum"], lengths["answer B"]["largest"], lengths["prompt"]["mean"]) == (
        "57",
        "10",
        "4.5",
    )
    cuts = table(tmp_path / "x", "truncation")
    assert [(line["max_length"], line["something is cut"]) for line in cuts] == [("10", "2"), ("20", "1")]
    ends = [float(cuts[0][f"something is cut: {end}"]) for end in ("low", "high")]
    assert ends == pytest.approx(wilson(2, 4), abs=1e-6)
    parts = [(line["split"], line["tie: of"], line["groups"]) for line in table(tmp_path / "x", "splits")]
    assert parts == [("train", "2", "1"), ("val", "1", "1"), ("test", "1", "1")]
    assert table(tmp_path / "x", "leaks") == [{"what": "copies", "rows": "2"}]
    text = text_of(tmp_path / "x")
    assert "No group of equal prompts is in two splits." in text
    assert "50.0% of the rows share their prompt with another (3 different prompts in all)" in text
    facts = facts.set_column(facts.column_names.index("split"), "split", pa.array(["train", "val", "val", "test"]))
    explore(tmp_path / "y", rows, facts)
    assert "1 groups of equal prompts are in several splits." in text_of(tmp_path / "y")


def test_text_of_the_data_is_escaped_and_strange_names_are_drawn(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    names = [evil, "$\\frac{", "\u65e5\u672c\u8a9e\U0001f600", "x" * 300, "a\nb\x07", "\u0627\u0644\u0639"]
    rows = [
        {"model_a": a, "model_b": b, "winner": "model_a", "language": a, "source": b, "prompt": [evil]}
        for a in names for b in names if a != b
    ]  # fmt: skip
    folder = tmp_path / "x"
    exploration.write(
        folder, f"{evil} & more", rows_of(rows).metadata, rows_of(rows).texts, leaks=[[evil, "n"], [evil, "1"]]
    )
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert {line["model"] for line in table(folder, "models")} == set(names)
    links = re.findall(r"(?:src|href)=\"([^\"]{0,20})", page)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [
        [{"winner": "model_a"}],
        [{}],
        [{"winner": "tie", "model_a": "P", "model_b": "Q", "language": "x"}] * 5,
        [{"model_a": "P", "model_b": "Q", "language": "x"}] * 3,
        [{"winner": "model_b", "response_a": [], "response_b": [None], "prompt": []}] * 3,
        [{"winner": "model_a", "prompt": ["p"] * turns, "response_a": ["yes"] * turns} for turns in range(1, 12)],
    ],
    ids=["one row", "one unlabelled row", "only ties", "unlabelled", "empty", "many turns"],
)
def test_odd_tables_give_a_page(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """Warnings are errors here, so nothing is divided by 0 and no picture collapses."""
    folder, made = tmp_path / "x", rows_of(rows)
    tokens = np.zeros((len(rows), 3), np.int64)
    found = explore(folder, made, tokens=tokens, limits=[{"max_length": 8, "share_cut": 0.0}])
    pictures = sorted((folder / "figures").iterdir())
    assert len(pictures) == found["figures"]
    assert all(picture.read_bytes().startswith(SIGNATURE) for picture in pictures)
    assert len(list((folder / "tables").iterdir())) == found["tables"]
    text = text_of(folder)
    assert text.count("<img") == found["figures"]
    assert "nan" not in re.sub(r"<[^>]*>", "", text).lower()
    for name in re.findall(r'href="#([a-z_]+)"', text):
        assert f'<section id="{name}">' in text


def test_missing_parts_are_said_in_a_sentence(tmp_path: Path) -> None:
    explore(tmp_path / "x", rows_of([{}, {}]))
    text = text_of(tmp_path / "x")
    for sentence in (
        "None of the 2 rows has a winner.", "No row names its models", "No row names its language",
        "tokens are not counted", "The rows are not split.", "No length limit was given", "Every row has 1 turn.",
    ):  # fmt: skip
        assert sentence in text
    assert not list((tmp_path / "x" / "figures").iterdir())


def test_a_new_report_replaces_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    explore(folder, rows_of([{"winner": "model_a", "model_a": "P", "model_b": "Q"}]))
    (folder / "mine.txt").write_text("kept")
    assert (folder / "tables" / "models.csv").is_file()
    explore(folder, rows_of([{"winner": "model_a"}]))
    assert not (folder / "tables" / "models.csv").exists()
    assert (folder / "mine.txt").read_text() == "kept"
    assert sorted(path.name for path in folder.iterdir()) == ["figures", "index.html", "mine.txt", "tables"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_somebody_elses_files_and_wrong_input_are_refused(tmp_path: Path) -> None:
    rows = rows_of([{"winner": "model_a"}, {"winner": "tie"}])
    (tmp_path / "figures").mkdir()
    with pytest.raises(UsageError, match="holds figures of something else"):
        explore(tmp_path, rows)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        explore(tmp_path / "file", rows)
    with pytest.raises(DataError, match="no row to explore"):
        explore(tmp_path / "x", rows, rows.metadata.slice(0, 0))
    with pytest.raises(DataError, match="do not fit 2 rows"):
        explore(tmp_path / "x", rows, tokens=np.zeros((1, 3)))

    def fewer() -> Iterator[pa.RecordBatch]:
        yield next(rows.texts()).slice(0, 1)

    with pytest.raises(DataError, match="the texts have 1 rows, the table 2"):
        exploration.write(tmp_path / "x", "t", rows.metadata, fewer)
    assert not (tmp_path / "x").exists()


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, rows = tmp_path / "x", rows_of([{"winner": "model_a"}])
    explore(folder, rows)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def fail(*_: object, **__: object) -> str:
        raise RuntimeError("stopped")

    monkeypatch.setattr(exploration, "render", fail)
    with pytest.raises(RuntimeError, match="stopped"):
        explore(folder, rows)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
