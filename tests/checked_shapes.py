"""Imported first: from here on shapes and types of the annotated functions of models, losses and metrics are checked.

In every test the first calls only: some call a loss ten thousand times, and a check costs as much as a small loss. An
`int` passes for a `float`, as everywhere in Python. The hook finds `checked` by its dotted name.
"""

import functools
import random
from collections.abc import Callable
from typing import Any

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import config, install_import_hook

CHECKS = 60
"""Of a test: parameters and result of 30 calls."""
done = 0


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    guarded: Any = beartype(conf=BeartypeConf(is_pep484_tower=True))(function)

    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        global done
        done += 1
        if done == CHECKS:
            config.update("jaxtyping_disable", True)
        state = random.getstate()  # beartype draws the items of a list that it looks at
        try:
            return guarded(*args, **kwargs)
        finally:
            random.setstate(state)

    return counted


@pytest.fixture(autouse=True)
def first_calls_are_checked() -> None:
    global done
    done = 0
    config.update("jaxtyping_disable", False)


install_import_hook(["arena.loss", "arena.metric", "arena.model"], "checked_shapes.checked")
