"""Whether a reply is right, or how good it is: checkers that are chosen and set on the command line.

Each gives a quality from 0 to 1, and NaN where it could not judge. A checker is fixed before two models are compared,
and set so that the untrained one sometimes passes and mostly does not: pass@k near 1 can show nothing.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import Count, WholeNumber
from arena.diversity.words import words
from arena.evaluation.generation.languages import LANGUAGES, in_language


class Case(NamedTuple):
    """A reply with what it replies to and the reply of the data."""

    prompt: str
    reply: str
    reference: str


class Checker:
    """Judges replies, each by itself.

    Attributes:
        references: whether it needs the replies of the data.
        unjudged: why it may give NaN, in words.
    """

    references: ClassVar[bool]
    unjudged: ClassVar[str]

    def check(self, prompt: str, reply: str, reference: str) -> float:
        """Quality from 0 to 1; NaN where it could not be judged."""
        raise NotImplementedError

    def check_all(self, rows: Sequence[Case]) -> np.ndarray:
        """`check` of each, `[N]` float64."""
        return np.array([self.check(*row) for row in rows], dtype=np.float64)


MARK = "####"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(rf"(?:(?<![\w)])[-\u2212])?[$\u20ac\u00a3]?(?:{_DIGITS})")


def number_of(text: str) -> Decimal | None:
    """The number that a text comes to: the first one behind the first `####` (a model that goes on after its answer
    does not change it), otherwise the last one of all. Thousands commas and currency signs are read over."""
    before, mark, behind = text.partition(MARK)
    found = [match.group() for match in _NUMBER.finditer(behind if mark else before)]
    if not found:
        return None
    return Decimal(re.sub(r"[,$\u20ac\u00a3]", "", found[0 if mark else -1]).replace("\u2212", "-"))


@dataclass(frozen=True)
class ExactNumber(Checker):
    """1 where the reply comes to the same number as the reference (18 = 18.00), else 0: GSM8K and its like.

    As the set's own script, it reads the number behind `####` (Cobbe et al. 2021, arXiv 2110.14168); a reply without
    that mark may also end on it.
    """

    references: ClassVar[bool] = True
    unjudged: ClassVar[str] = "the reference holds no number"

    def check(self, prompt: str, reply: str, reference: str) -> float:
        """1 or 0; NaN where the reference holds no number."""
        wanted = number_of(reference)
        return math.nan if wanted is None else float(number_of(reply) == wanted)


@dataclass(frozen=True)
class RegularExpression(Checker):
    """1 where the pattern occurs in the reply (`must`), or where it does not (`must` is false).

    Attributes:
        pattern: as Python's `re` has them.
        must: whether it has to occur.
    """

    references: ClassVar[bool] = False
    unjudged: ClassVar[str] = ""
    pattern: str
    must: bool = True

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UsageError(f"checker.pattern={self.pattern}: no regular expression ({error})") from None

    def check(self, prompt: str, reply: str, reference: str) -> float:
        """1 or 0."""
        return float((re.search(self.pattern, reply) is not None) == self.must)


@dataclass(frozen=True)
class Rules(Checker):
    """1 where a reply keeps every rule, else 0.

    Attributes:
        min_words, max_words: bounds of its length; signs between the words do not count.
        language: what it must be written in, see `arena.evaluation.generation.languages`.
    """

    references: ClassVar[bool] = False
    unjudged: ClassVar[str] = "the language of the reply cannot be told (too short)"
    min_words: WholeNumber = 1
    max_words: Count | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        if self.max_words is not None and self.max_words < self.min_words:
            raise UsageError(f"checker.max_words={self.max_words}: it is less than min_words={self.min_words}")
        if self.language is not None and self.language not in LANGUAGES:
            raise UsageError(
                f"checker.language={self.language}: one of {', '.join(LANGUAGES)} is needed, the others are not told "
                "apart"
            )

    def check(self, prompt: str, reply: str, reference: str) -> float:
        """1 or 0; NaN where the length is right and the language cannot be told."""
        length = sum(any(map(str.isalnum, word)) for word in words(reply))
        if length < self.min_words or length > (math.inf if self.max_words is None else self.max_words):
            return 0.0
        verdict = True if self.language is None else in_language(reply, self.language)
        return math.nan if verdict is None else float(verdict)


@dataclass(frozen=True)
class Likelihood(Checker):
    """How likely another language model finds the reply behind its prompt: mean log probability per token, in nats.

    Attributes:
        name: the model on the hub; needed where no path is given.
        path: a folder with the model, instead of the hub.
        threshold: nats per token from which on a reply is right (1, else 0). Null grades by `scale`.
        scale: `probability` is the geometric mean probability of a token, the same for every run; `rank` is the share
            of the replies of this run that are less likely, ties half: it says nothing between runs.
        batch_size: replies at a time.
        max_length: tokens of prompt and reply; of a longer prompt the end is read.
    """

    references: ClassVar[bool] = False
    unjudged: ClassVar[str] = "an empty reply has no likelihood"
    name: str | None = None
    path: str | None = None
    threshold: float | None = None
    scale: Literal["probability", "rank"] = "probability"
    batch_size: Count = 16
    max_length: Count = 1024
    _model: list[Any] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.name is None and self.path is None:
            raise UsageError("checker.path: a value is needed; give checker.path=FOLDER or checker.name=MODEL")

    def check(self, prompt: str, reply: str, reference: str) -> float:
        """As `check_all` of this one alone; a rank among one is 0.5."""
        return float(self.check_all([Case(prompt, reply, reference)])[0])

    def check_all(self, rows: Sequence[Case]) -> np.ndarray:
        """Quality of each, `[N]` float64; NaN for empty replies."""
        from arena.evaluation.generation.likelihood import TokenLikelihood

        if not self._model:
            self._model.append(TokenLikelihood(self.name or str(self.path), self.path, self.max_length))
        logs = self._model[0]([(row.prompt, row.reply) for row in rows], self.batch_size)
        if self.threshold is not None:
            return np.where(np.isnan(logs), np.nan, logs >= self.threshold)
        return np.exp(logs) if self.scale == "probability" else ranks(logs)


def ranks(values: np.ndarray) -> np.ndarray:
    """Share of the known values below each, ties half, `[N]`; between 0 and 1 with mean 0.5, NaN stays NaN."""
    known = np.sort(values[~np.isnan(values)])
    middle = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / 2
    return np.where(np.isnan(values), np.nan, middle / max(len(known), 1))
