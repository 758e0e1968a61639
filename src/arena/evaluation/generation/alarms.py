"""Alarms: what makes the numbers of an evaluation of replies say less than they seem to."""

import math
from typing import Any

import numpy as np

SATURATED, HOPELESS = 0.95, 0.02
"""pass@k beyond which it can hardly show a difference."""
USEFUL = (0.1, 0.9)
UNJUDGED, OWN_RIGHT = 0.02, 0.9
"""Share of replies that could not be judged, and of the data's own replies that are right, at which there is an alarm.
"""
LIMITS = {
    "duplicate_share": (
        0.2,
        "{:.1%} of the replies repeat another one to the same prompt: is the sampling near greedy (temperature, top_p, "
        "top_k), or is the model collapsed?",
    ),
    "empty_share": (0.02, "{:.1%} of the replies are empty: they have no diversity and pull every mean"),
    "unfinished_share": (
        0.1,
        "{:.1%} of the replies were cut off: raise max_new_tokens, or the measures are of beginnings of replies",
    ),
}


def alarms_of(found: dict[str, Any], quality: np.ndarray | None, success: float, unjudged: str) -> list[str]:
    """One sentence for each alarm, the gravest first.

    `found` is what `arena.evaluation.generation.evaluation.evaluate_generations` writes, `quality` that of each reply,
    `[P, n]`, NaN where it was not judged, for the reason `unjudged`; None without a checker.
    """
    lines = []
    if found["samples"] < 2:
        lines.append("one reply to each prompt: the measures of diversity and pass@k for k > 1 need two or more")
    if quality is not None:
        lines += _of_checker(found, quality, success, unjudged)
    for name, (limit, text) in LIMITS.items():
        value = found["measures"][name]["value"]
        if value >= limit:
            lines.append(text.format(value))
    if found["groups"] < 2:
        lines.append("all prompts are of one group: there are no intervals")
    return lines


def _of_checker(found: dict[str, Any], quality: np.ndarray, success: float, unjudged: str) -> list[str]:
    lines = []
    known = quality[~np.isnan(quality)]
    missing = 1 - len(known) / quality.size
    if missing >= UNJUDGED:
        lines.append(f"{missing:.1%} of the replies could not be judged: {unjudged}")
    own = found["measures"]["pass@1"].get("reference", 1.0)
    if own < OWN_RIGHT:
        lines.append(
            f"only {own:.1%} of the data's own replies are right by this checker: does it ask for what they show?"
        )
    values = [each for each in found["curves"]["pass@k"]["value"] if not math.isnan(each)]
    if values and (text := saturation(values)):
        if ((known > 0) & (known < 1)).any():
            wanted = np.quantile(known, 1 - rate_for_half(len(values)))
            text += f"; of this quality, success={wanted:.4g} does (now {success:g})"
        lines.append(text)
    return lines


def rate_for_half(k: int) -> float:
    """Return the rate of right single replies at which pass@k = 0.5, were all prompts alike: 1 - 0.5^(1/k)."""
    return 1 - 0.5 ** (1 / k)


def saturation(values: list[float]) -> str | None:
    """Say that the last of pass@k, k = 1..n, is too near 0 or 1 to show a difference, and what could; else None."""
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
