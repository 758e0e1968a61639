"""Toy rows: the stated probabilities are the truth, and they can be read in the text."""

import itertools
import math

import numpy as np
import pytest

from arena.data.source.toy import (
    LANGUAGES,
    ToyReader,
    count_phrases,
    davidson,
    model_strengths,
    utility,
)

CLASSES = ["model_a", "model_b", "tie"]


@pytest.fixture(scope="module")
def table():
    return ToyReader(rows=6000).table()


@pytest.fixture(scope="module")
def rows(table):
    return table.to_pylist()


def truth_of(table) -> np.ndarray:
    return np.array(table["true_probability"].to_pylist())


def pairs_of(rows: list[dict], quality: float, length_bias: float) -> tuple[np.ndarray, np.ndarray]:
    """Utilities `[N]` of both answers of each row, from text and language alone."""
    a, b = (
        np.array([utility(row[side], row["language"], quality, length_bias) for row in rows])
        for side in ("response_a", "response_b")
    )
    return a, b


def test_columns(table):
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string",
        "prompt": "list<item: string>",
        "response_a": "list<item: string>",
        "response_b": "list<item: string>",
        "model_a": "string",
        "model_b": "string",
        "winner": "string",
        "language": "string",
        "source": "string",
        "weight": "float",
        "true_probability": "list<item: double>",
    }
    assert sum(column.null_count for column in table.columns) == 0


def test_rows_look_like_arena_rows(rows):
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["language"] for row in rows} == set(LANGUAGES)
    assert {len(row["prompt"]) for row in rows} == {1, 2, 3}
    assert all(len(row["prompt"]) == len(row["response_a"]) == len(row["response_b"]) for row in rows)
    assert all(row["model_a"] != row["model_b"] for row in rows)
    assert {row["model_a"] for row in rows} == set(model_strengths())
    turns = (turn for row in rows for turn in itertools.chain(row["prompt"], row["response_a"], row["response_b"]))
    assert all(turns)
    sizes = [len("".join(itertools.chain(*(row[k] for k in ("prompt", "response_a", "response_b")))).encode())
             for row in rows]  # fmt: skip
    assert 100 < np.mean(sizes) < 250
    assert max(sizes) < 400


def test_davidson_against_its_definition():
    """p proportional to (e^a, e^b, tie e^((a+b)/2)): a = ln 4, b = 0, tie 1 gives 4 : 1 : 2."""
    np.testing.assert_allclose(davidson(np.array([math.log(4)]), np.array([0.0]), 1.0), [[4 / 7, 1 / 7, 2 / 7]])
    np.testing.assert_allclose(davidson(np.array([9.0]), np.array([9.0]), 0.5), [[0.4, 0.4, 0.2]])
    extreme = davidson(np.array([1e4]), np.array([-1e4]), 1.0)
    np.testing.assert_allclose(extreme, [[1.0, 0.0, 0.0]])


def test_swapping_the_answers_swaps_the_winners():
    a, b = np.random.default_rng(0).normal(scale=3, size=(2, 500))
    forward, backward = davidson(a, b, 0.8), davidson(b, a, 0.8)
    np.testing.assert_allclose(forward.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(backward, forward[:, [1, 0, 2]], rtol=1e-12)


def test_the_truth_can_be_read_in_the_text(table, rows):
    """Only the two answers and the language go in."""
    a, b = pairs_of(rows, quality=2.0, length_bias=1.5)
    np.testing.assert_allclose(truth_of(table), davidson(a, b, 1.0), rtol=1e-12)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_telling_phrase_counts_once_and_nothing_else_does(language):
    said = LANGUAGES[language]
    assert [count_phrases([phrase], language) for phrase in said.helpful] == [1] * len(said.helpful)
    assert [count_phrases([phrase], language) for phrase in said.unhelpful] == [-1] * len(said.unhelpful)
    for topic in said.topics:
        assert count_phrases([phrase.format(t=topic) for phrase in said.plain], language) == 0


def test_winners_are_drawn_from_the_truth(table):
    """Each class frequency is a mean of independent draws with variance p (1 - p).

    Three classes within 4 standard errors: a correct generator fails for 2 in 10,000 seeds; the seed is fixed.
    """
    truth = truth_of(table)
    drawn = np.array([CLASSES.index(winner) for winner in table["winner"].to_pylist()])
    difference = (np.eye(3)[drawn] - truth).mean(axis=0)
    standard_error = np.sqrt((truth * (1 - truth)).sum(axis=0)) / len(truth)
    assert (np.abs(difference) < 4 * standard_error).all()


def test_no_constant_beats_the_truth(table):
    """Bayes' log loss lies well below the prior's, so there is something to learn, and well above zero."""
    truth = truth_of(table)
    drawn = np.array([CLASSES.index(winner) for winner in table["winner"].to_pylist()])
    prior = np.bincount(drawn) / len(drawn)
    prior_loss = -(prior * np.log(prior)).sum()
    bayes_loss = -np.log(truth[np.arange(len(drawn)), drawn]).mean()
    assert 0.6 < bayes_loss < prior_loss - 0.25
    assert prior.min() > 0.15


def test_longer_answers_win_more_often(rows):
    """Over some 4,700 decided rows a share without length bias would lie within 0.53 (4 standard errors)."""
    longer_won = [
        (row["winner"] == "model_a") == (len("".join(row["response_a"])) > len("".join(row["response_b"])))
        for row in rows
        if row["winner"] != "tie" and len("".join(row["response_a"])) != len("".join(row["response_b"]))
    ]
    assert np.mean(longer_won) > 0.55


def test_stronger_models_win_more_often(rows):
    strength = model_strengths()
    stronger_won = [
        (row["winner"] == "model_a") == (strength[row["model_a"]] > strength[row["model_b"]])
        for row in rows
        if row["winner"] != "tie"
    ]
    assert np.mean(stronger_won) > 0.6


def test_a_draw_depends_on_the_seed_alone(table):
    assert ToyReader(rows=6000).table().equals(table)
    assert ToyReader(rows=500).table().equals(table.slice(0, 500).combine_chunks())
    other = ToyReader(rows=500, seed=1).table()
    assert not set(other["id"].to_pylist()) & set(table["id"].to_pylist())
    assert other["winner"].to_pylist() != table["winner"].to_pylist()[:500]


def test_a_tenth_of_the_prompts_comes_again(rows):
    """5,400 of 6,000 expected, standard deviation 23; arena data: 51,731 of 57,477."""
    distinct = len({tuple(row["prompt"]) for row in rows})
    assert 5300 < distinct < 5500
    assert len({tuple(row["prompt"]) for row in ToyReader(rows=500, repeated=0.0).table().to_pylist()}) == 500


def test_one_row():
    assert ToyReader(rows=1).table().num_rows == 1
