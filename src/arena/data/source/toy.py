"""Chat rows in eight languages whose true preference probabilities are known.

A row is drawn like arena data: two named models of unequal strength answer a prompt of one to three turns, and a voter
prefers one answer or calls a tie. The voter follows a Davidson model of two things that anybody can read in the text,

    utility(answer) = quality * (helpful - unhelpful phrases) + length_bias * ln(characters)
    p(model_a) : p(model_b) : p(tie) = exp(u_a) : exp(u_b) : tie * exp((u_a + u_b) / 2)

so `true_probability` is the Bayes classifier given the text: no model can reach a lower expected log loss than its.
(Davidson 1970, "On Extending the Bradley-Terry Model to Accommodate Ties".)
"""

import json
import math
from hashlib import blake2b
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from arena.core.schema import Count, NonNegative, Positive, Share, WholeNumber

WORD_LIMITS = range(20, 220)
"""The limits that prompts ask for; they make the prompts of a language distinct."""

STRIDE = 2969
"""A prime: steps of it visit all prompts of a language once before any comes again."""


class Language(NamedTuple):
    """What is said in one language. Prompts take a topic `{t}` and a number of words `{n}`, answers a topic."""

    share: float
    space: str
    topics: list[str]
    prompts: list[str]
    follow_ups: list[str]
    helpful: list[str]
    unhelpful: list[str]
    plain: list[str]


LANGUAGES = {
    name: Language(**said)
    for name, said in json.loads(files("arena.data.source").joinpath("toy_languages.json").read_text("utf-8")).items()
}
BIRDS = ["heron", "kestrel", "lark", "magpie", "nightjar", "osprey", "plover", "robin", "siskin", "tern", "wren"]


def model_strengths() -> dict[str, float]:
    """Name and latent strength of the 22 imaginary models: evenly spread over [-1.5, 1.5], the same for every seed."""
    names = [f"{bird}-{size}" for bird in BIRDS for size in ["small", "large"]]
    strengths = np.random.default_rng(1970).permutation(np.linspace(-1.5, 1.5, len(names)))
    return dict(zip(names, strengths.tolist(), strict=True))


def count_phrases(turns: list[str], language: str) -> int:
    """Helpful minus unhelpful phrases in the turns of one answer."""
    said = LANGUAGES[language]
    text = "\n".join(turns)
    return sum(text.count(phrase) for phrase in said.helpful) - sum(text.count(phrase) for phrase in said.unhelpful)


def utility(turns: list[str], language: str, quality: float, length_bias: float) -> float:
    """How much a voter likes one answer, read from its text alone (module docstring)."""
    return quality * count_phrases(turns, language) + length_bias * math.log(sum(map(len, turns)))


def davidson(utility_a: np.ndarray, utility_b: np.ndarray, tie: float) -> np.ndarray:
    """`[N, 3]` probabilities of (model_a, model_b, tie); `tie` is the odds of a tie against either win at equality."""
    half = (np.asarray(utility_a) - np.asarray(utility_b)) / 2
    scores = np.stack([half, -half, np.full_like(half, np.log(tie))], axis=-1)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True)


class ToyReader:
    """Reads no file: draws `rows` rows. The first rows of a longer draw are those of a shorter one.

    Args:
        rows: rows to draw.
        seed: of every draw; the models' strengths do not depend on it.
        quality: utility of one helpful phrase, and loss by one unhelpful phrase.
        length_bias: utility of an answer that is e times as long.
        tie: odds of a tie against either win between equal answers.
        repeated: share of the rows that take their prompt from an earlier row (10% in arena data).
    """

    def __init__(
        self,
        rows: Count = 12000,
        seed: WholeNumber = 0,
        quality: NonNegative = 2.0,
        length_bias: NonNegative = 1.5,
        tie: Positive = 1.0,
        repeated: Share = 0.1,
    ) -> None:
        self.rows, self.seed, self.repeated = rows, seed, repeated
        self.quality, self.length_bias, self.tie = quality, length_bias, tie

    def __call__(self, path: Any = None, ingest: Any = None, cache: Any = None, stand_ins: bool = False) -> Any:
        """The rows of the draw (`arena.data.source.rows.Rows`). Every reader takes these arguments, this one ignores
        them."""
        from arena.data.source.rows import Rows

        drawn = (self.rows, self.seed, self.quality, self.length_bias, self.tie, self.repeated)
        return Rows.from_table(self.table(), blake2b(f"toy {drawn}".encode(), digest_size=16).hexdigest())

    def table(self) -> Any:
        """The draw as a `pyarrow.Table`."""
        import pyarrow

        prompts = _draw_prompts(self.rows, self.seed, self.repeated)
        answers = _draw_answers(prompts, self.seed)
        utilities = [
            [utility(answer, language, self.quality, self.length_bias) for answer in pair]
            for (language, _, _), (pair, _) in zip(prompts, answers, strict=True)
        ]
        utility_a, utility_b = np.array(utilities).T
        probabilities = davidson(utility_a, utility_b, self.tie)
        drawn = np.random.default_rng([self.seed, 2]).random((self.rows, 1))
        winners = np.minimum((drawn > probabilities.cumsum(axis=1)).sum(axis=1), 2)
        return pyarrow.table(
            {
                "id": [f"toy-{self.seed}-{i:06d}" for i in range(self.rows)],
                "prompt": [turns for _, _, turns in prompts],
                "response_a": [pair[0] for pair, _ in answers],
                "response_b": [pair[1] for pair, _ in answers],
                "model_a": [models[0] for _, models in answers],
                "model_b": [models[1] for _, models in answers],
                "winner": [("model_a", "model_b", "tie")[winner] for winner in winners],
                "language": [language for language, _, _ in prompts],
                "source": ["toy"] * self.rows,
                "weight": pyarrow.array(np.ones(self.rows, dtype=np.float32)),
                "true_probability": probabilities.tolist(),
            }
        )


def _draw_prompts(rows: int, seed: int, repeated: float) -> list[tuple[str, str, list[str]]]:
    """Language, topic and turns of each row's prompt; new prompts of a language differ until they are used up."""
    uniform = np.random.default_rng([seed, 0]).random((rows, 6))
    names = list(LANGUAGES)
    bounds = np.cumsum([said.share for said in LANGUAGES.values()])[:-1]
    languages = np.searchsorted(bounds, uniform[:, 0], side="right").tolist()
    used = [0] * len(names)
    prompts: list[tuple[str, str, list[str]]] = []
    for i, (language, draws) in enumerate(zip(languages, uniform.tolist(), strict=True)):
        if i and draws[1] < repeated:
            prompts.append(prompts[int(draws[2] * i)])
            continue
        prompts.append(_prompt(names[language], used[language] * STRIDE + language * 617 + seed, draws[3:]))
        used[language] += 1
    return prompts


def _prompt(language: str, number: int, draws: list[float]) -> tuple[str, str, list[str]]:
    """Language, topic and turns of the `number`-th prompt of a language; one row in four has a second turn or more."""
    said = LANGUAGES[language]
    rest, topic = divmod(number % (len(said.topics) * len(said.prompts) * len(WORD_LIMITS)), len(said.topics))
    limit, form = divmod(rest, len(said.prompts))
    opening = said.prompts[form].format(t=said.topics[topic], n=WORD_LIMITS[limit])
    later = [said.follow_ups[int(draw * len(said.follow_ups))] for draw in draws[1:]]
    return language, said.topics[topic], [opening, *later[: int(draws[0] > 0.75) + int(draws[0] > 0.92)]]


def _draw_answers(
    prompts: list[tuple[str, str, list[str]]], seed: int
) -> list[tuple[list[list[str]], tuple[str, str]]]:
    """For each prompt the turns of both answers and the names of both models."""
    strengths = model_strengths()
    names = list(strengths)
    uniform = np.random.default_rng([seed, 1]).random((len(prompts), 2 + 2 * 3 * 5))
    answers = []
    for (language, topic, turns), draws in zip(prompts, uniform.tolist(), strict=True):
        a = int(draws[0] * len(names))
        b = (a + 1 + int(draws[1] * (len(names) - 1))) % len(names)  # never the same model
        pair = []
        for model, own in ((names[a], draws[2:17]), (names[b], draws[17:])):
            helpful = 1 / (1 + math.exp(-strengths[model]))
            maximum = 3 if len(turns) == 1 else 1
            pair.append(
                [
                    _answer(LANGUAGES[language], topic, helpful, own[5 * t : 5 * t + 5], maximum)
                    for t in range(len(turns))
                ]
            )
        answers.append((pair, (names[a], names[b])))
    return answers


def _answer(said: Language, topic: str, helpful: float, draws: list[float], maximum: int) -> str:
    """One turn of an answer: at most one telling phrase at a random place among up to `maximum` plain sentences."""
    kind, which, number, plain, place = draws
    telling = []
    if kind < 0.8:
        phrases = said.helpful if kind < 0.8 * helpful else said.unhelpful
        telling = [phrases[int(which * len(phrases))]]
    count = 1 + int(number * maximum) if maximum > 1 or not telling else int(number * 2)
    first = int(plain * len(said.plain))
    sentences = [said.plain[(first + i) % len(said.plain)].format(t=topic) for i in range(count)]
    at = int(place * (len(sentences) + 1))
    return said.space.join([*sentences[:at], *telling, *sentences[at:]])
