"""The end of a message about a name that there is not."""

import difflib
from collections.abc import Iterable


def closest(name: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of the choices looks like `name`, else the choices themselves."""
    choices = sorted(choices)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there are: {', '.join(choices)}" if choices else ""
