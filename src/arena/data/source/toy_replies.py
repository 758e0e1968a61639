"""Short stories in the words of TinyStories whose true distribution of continuations is known.

A prompt is an opening: a child, what it found and where. Its kind (a ball, an animal, something to eat) decides how the
story goes on: two continuations are frequent, the others rare. So a model that learns the distribution is neither
monotonous nor surprising, its best possible loss is known (`ToyReplies.entropy`), and one that collapses on the
frequent continuations shows it.
"""

import json
import math
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import Count, Share, WholeNumber

STRIDE = 1009
"""A prime: steps of it visit all prompts once before any comes again."""


class Kind(NamedTuple):
    """Things that one can do the same with, and how a story about them goes on."""

    things: list[str]
    replies: list[str]


_WORDS = json.loads(files("arena.data.source").joinpath("toy_stories.json").read_text("utf-8"))
NAMES, COLOURS, PLACES, OPENINGS = (_WORDS[key] for key in ("names", "colours", "places", "openings"))
KINDS = [Kind(**each) for each in _WORDS["kinds"]]
FREQUENT = (0.5, 0.26)
"""Probabilities of the first two continuations of a kind; the others share the rest equally."""


class ToyReplies:
    """Reads no file: draws `rows` pairs. The first rows of a longer draw are those of a shorter one.

    Args:
        rows: pairs to draw.
        seed: of every draw.
        repeated: share of the rows that take their prompt from an earlier row, and another reply to it.
    """

    def __init__(self, rows: Count = 2000, seed: WholeNumber = 0, repeated: Share = 0.3) -> None:
        self.rows, self.seed, self.repeated = rows, seed, repeated

    def __call__(self, path: Any = None, ingest: Any = None, cache: Any = None, stand_ins: bool = False) -> Any:
        """The rows of the draw (`arena.data.source.rows.Rows`); see `arena.data.source.toy.ToyReader`."""
        from arena.data.source.examples import CONVERSATION
        from arena.data.source.rows import Rows

        drawn = f"toy replies {(self.rows, self.seed, self.repeated)}"
        return Rows.from_table(self.table(), blake2b(drawn.encode(), digest_size=16).hexdigest(), CONVERSATION)

    def table(self) -> Any:
        """The draw as a `pyarrow.Table`."""
        import pyarrow

        prompts, replies = [], []
        numbers: list[int] = []
        new = 0
        for draws in np.random.default_rng([self.seed, 3]).random((self.rows, 3)).tolist():
            again = numbers and draws[0] < self.repeated
            numbers.append(numbers[int(draws[1] * len(numbers))] if again else new * STRIDE + self.seed)
            new += not again
            prompt, words, kind = _opening(numbers[-1])
            ends = np.cumsum(_probabilities(kind))
            chosen = min(int(np.searchsorted(ends, draws[2], side="right")), len(ends) - 1)
            prompts.append(prompt)
            replies.append(kind.replies[chosen].format(**words))
        return pyarrow.table(
            {
                "id": [f"story-{self.seed}-{i:06d}" for i in range(self.rows)],
                "prompt": [[text] for text in prompts],
                "reply": [[text] for text in replies],
                "system": [[""]] * self.rows,
                "language": ["English"] * self.rows,
                "source": ["toy"] * self.rows,
            }
        )

    @staticmethod
    def distribution(prompt: str) -> dict[str, float]:
        """The continuations of an opening and the probability of each.

        Raises:
            UsageError: the text is no opening of these stories.
        """
        number = _numbers().get(prompt)
        if number is None:
            raise UsageError(f"no opening of the toy stories: {prompt[:60]!r}")
        _, words, kind = _opening(number)
        replies = [reply.format(**words) for reply in kind.replies]
        return dict(zip(replies, _probabilities(kind), strict=True))

    @staticmethod
    def entropy(prompt: str) -> float:
        """The least expected log loss of a whole reply to this prompt, in nats."""
        return -sum(share * math.log(share) for share in ToyReplies.distribution(prompt).values())


def _total() -> int:
    """Different prompts."""
    return len(NAMES) * len(COLOURS) * len(PLACES) * len(OPENINGS) * sum(len(kind.things) for kind in KINDS)


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    """The number of each prompt."""
    return {_opening(number)[0]: number for number in range(_total())}


def _opening(number: int) -> tuple[str, dict[str, str], Kind]:
    """The prompt of a number, its words, and its kind."""
    things = [(thing, kind) for kind in KINDS for thing in kind.things]
    rest, thing = divmod(number % _total(), len(things))
    chosen = {}
    for name, words in (("name", NAMES), ("colour", COLOURS), ("place", PLACES), ("opening", OPENINGS)):
        rest, place = divmod(rest, len(words))
        chosen[name] = words[place]
    he, his, child = ("she", "her", "girl") if chosen["name"] in _WORDS["girls"] else ("he", "his", "boy")
    opening = chosen.pop("opening")
    words = chosen | {"thing": things[thing][0], "he": he, "He": he.title(), "his": his, "child": child}
    return opening.format(**words), words, things[thing][1]


def _probabilities(kind: Kind) -> list[float]:
    others = len(kind.replies) - len(FREQUENT)
    return [*FREQUENT, *[(1 - sum(FREQUENT)) / others] * others]
