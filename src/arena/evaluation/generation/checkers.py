"""Checkers of replies: is a reply right, or how good is it. Chosen and set on the command line.

Each gives a quality from 0 to 1, and NaN where it could not judge. A checker is fixed before two models are compared,
and set so that the untrained one sometimes passes and mostly does not: pass@k near 1 can show nothing.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import Count, WholeNumber, check_values, closest
from arena.diversity.words import words


class Case(NamedTuple):
    """A reply with its prompt and the reference reply of the data."""

    prompt: str
    reply: str
    reference: str


class Checker:
    """Rates replies, each by itself.

    Attributes:
        needs_reference: the checker needs the replies of the data.
        unjudged: why it may give NaN, in words.
    """

    needs_reference: ClassVar[bool]
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
    """Return the first number after the first `####` (what a model writes after its answer changes nothing), otherwise
    the last one of all. Thousands commas and currency signs are ignored."""
    before, mark, after = text.partition(MARK)
    found = [match.group() for match in _NUMBER.finditer(after if mark else before)]
    if not found:
        return None
    return Decimal(re.sub(r"[,$\u20ac\u00a3]", "", found[0 if mark else -1]).replace("\u2212", "-"))


@dataclass(frozen=True)
class ExactNumber(Checker):
    """1 where the reply comes to the same number as the reference (18 = 18.00), else 0: GSM8K and its like.

    As the set's own script, it reads the number after `####` (Cobbe et al. 2021, arXiv 2110.14168); a reply without
    that mark may also end on it.
    """

    needs_reference: ClassVar[bool] = True
    unjudged: ClassVar[str] = "the reference holds no number"

    def check(self, prompt: str, reply: str, reference: str) -> float:
        """1 or 0; NaN where the reference holds no number."""
        wanted = number_of(reference)
        return math.nan if wanted is None else float(number_of(reply) == wanted)


@dataclass(frozen=True)
class RegularExpression(Checker):
    """1 where the pattern of Python's `re` occurs in the reply (`must`), or where it does not (`must` is false)."""

    needs_reference: ClassVar[bool] = False
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
    """1 where the length of a reply is within `min_words` and `max_words`, else 0; punctuation does not count."""

    needs_reference: ClassVar[bool] = False
    unjudged: ClassVar[str] = ""
    min_words: WholeNumber = 1
    max_words: Count | None = None

    def __post_init__(self) -> None:
        if self.max_words is not None and self.max_words < self.min_words:
            raise UsageError(f"checker.max_words={self.max_words}: it is less than min_words={self.min_words}")

    def check(self, prompt: str, reply: str, reference: str) -> float:
        """1 or 0."""
        length = sum(any(map(str.isalnum, word)) for word in words(reply))
        return float(self.min_words <= length <= (math.inf if self.max_words is None else self.max_words))


CHECKERS: dict[str, type] = {"exact_number": ExactNumber, "regex": RegularExpression, "rules": Rules}
KIND = "kind"
"""Key of a checker's name beside its options."""


def make(chosen: dict[str, str]) -> Checker | None:
    """Build a checker from its name (under `kind`) and its options as they were typed; None where none is chosen.

    A `UsageError` for a wrong name, option or value. A regular expression is no YAML: `[0-9]+` would be a broken list.
    """
    options = {key: value for key, value in chosen.items() if key != KIND}
    kind = chosen.get(KIND, "null")
    if kind == "null":
        if options:
            raise UsageError(f"checker.{next(iter(options))}: no checker is chosen; give checker=NAME")
        return None
    if kind not in CHECKERS:
        raise UsageError(f"checker={kind}: no such checker{closest(kind, CHECKERS)}")
    known = {each.name: each for each in fields(CHECKERS[kind])}
    for key in options:
        if key not in known:
            raise UsageError(f"checker.{key}: {kind} has no such option{closest(key, known)}")
    values = {key: text if known[key].type is str else _value(key, text) for key, text in options.items()}
    check_values(values, CHECKERS[kind], "checker.")
    for name, each in known.items():
        if name not in values and each.default is MISSING:
            raise UsageError(f"checker.{name}: {kind} needs a value; give checker.{name}=...")
    return CHECKERS[kind](**values)


def described(checker: Any) -> dict[str, Any] | None:
    """Name and options of a checker, for a file."""
    if checker is None:
        return None
    kind = next(name for name, each in CHECKERS.items() if isinstance(checker, each))
    return {KIND: kind} | {each.name: getattr(checker, each.name) for each in fields(checker)}


def _value(key: str, text: str) -> Any:
    """Read a value that is no text, as YAML."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        found: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    except (OmegaConfBaseException, YAMLError):
        raise UsageError(f"checker.{key}={text}: cannot be read") from None
    return found["value"]
