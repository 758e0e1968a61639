"""What makes the numbers of an evaluation say less than they seem to."""

import math
from typing import Any

import numpy as np

SATURATED, HOPELESS = 0.95, 0.02
"""pass@k beyond which it can hardly show a difference."""
USEFUL = (0.1, 0.9)
DUPLICATES, EMPTY, UNFINISHED, UNJUDGED = 0.2, 0.02, 0.1, 0.02
"""Shares of the replies from which on there is an alarm."""
REFERENCE = 0.9
"""Share of the data's own replies that a checker should let pass."""
TEMPLATES = {
    "duplicate_share": (
        DUPLICATES,
        "{:.1%} of the replies repeat another one to the same prompt: is the sampling near greedy (temperature, top_p, "
        "top_k), or is the model collapsed?",
    ),
    "empty_share": (EMPTY, "{:.1%} of the replies are empty: they have no diversity and pull every mean"),
    "unfinished_share": (
        UNFINISHED,
        "{:.1%} of the replies were cut off: raise max_new_tokens, or the measures are of beginnings of replies",
    ),
}


def of(written: dict[str, Any], quality: np.ndarray | None, success: float, unjudged: str) -> list[str]:
    """One sentence for each, the gravest first.

    Args:
        written: what `arena.evaluation.generation.judging.judge` writes.
        quality: of each reply, `[P, n]`, NaN where it was not judged; None without a checker.
        success: quality from which on a reply is right.
        unjudged: why the checker gives NaN.
    """
    measures, found = written["measures"], []
    if written["samples"] < 2:
        found.append("one reply to each prompt: the measures of diversity and pass@k for k > 1 need two or more")
    if quality is not None:
        found += _of_checker(written, quality, success, unjudged)
    for name, (limit, text) in TEMPLATES.items():
        value = measures[name]["value"]
        if value >= limit:
            found.append(text.format(value))
    if written["groups"] < 2:
        found.append("all prompts are of one group: there are no intervals")
    return found


def _of_checker(written: dict[str, Any], quality: np.ndarray, success: float, unjudged: str) -> list[str]:
    found, measures = [], written["measures"]
    known = quality[~np.isnan(quality)]
    missing = 1 - len(known) / quality.size
    if missing >= UNJUDGED:
        found.append(f"{missing:.1%} of the replies could not be judged: {unjudged}")
    own = measures["pass@1"].get("reference", 1.0)
    if own < REFERENCE:
        found.append(
            f"only {own:.1%} of the data's own replies are right by this checker: does it ask for what they show?"
        )
    values = [each for each in written["curves"]["pass@k"]["value"] if not math.isnan(each)]
    if values and (text := saturation(values)):
        if ((known > 0) & (known < 1)).any():
            wanted = np.quantile(known, 1 - rate_for_half(len(values)))
            text += f"; of this quality, success={wanted:.4g} does (now {success:g})"
        found.append(text)
    return found


def rate_for_half(k: int) -> float:
    """How many single replies must be right for pass@k = 0.5, were all prompts alike: 1 - 0.5^(1/k)."""
    return 1 - 0.5 ** (1 / k)


def saturation(values: list[float]) -> str | None:
    """Whether the last pass@k is too near 0 or 1 to tell two models apart, and what could; None where it is not.

    Args:
        values: pass@k for k = 1..n.
    """
    n, last, single = len(values), values[-1], values[0]
    if HOPELESS <= last <= SATURATED:
        return None
    near = 1 if last > SATURATED else 0
    text = f"pass@{n} is {last:.3f}, so near {near} that it can hardly show a difference"
    useful = [k for k, value in enumerate(values, 1) if USEFUL[0] <= value <= USEFUL[1]]
    ways = [f"pass@{useful[-1]} = {values[useful[-1] - 1]:.3f} can"] if useful else []
    if near == 0 and single > 0:
        ways.append(f"about {math.ceil(math.log(1 - USEFUL[0]) / math.log(1 - single))} samples would")
    change = "stricter" if near else "milder"
    ways.append(
        f"a {change} checker would, by which {rate_for_half(n):.1%} of single replies are right, not {single:.1%}"
    )
    return f"{text}; {', or '.join(ways)}"
