"""A checker that runs code of one's own.

It lives apart from the others: `arena.core.schema` lets configurations build those, and a configuration must run no
code.
"""

import importlib
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from arena.core.errors import DataError, UsageError
from arena.core.schema import closest
from arena.evaluation.generation.checkers import Checker


@dataclass(frozen=True)
class Function(Checker):
    """A function of your own: `function(prompt, reply, reference) -> number from 0 to 1`, NaN where it cannot judge.

    Attributes:
        module: where it is defined; it must also be in `allow`.
        function: its name.
        allow: modules that may be imported. Naming one runs its code, which is why it has to be said.
    """

    references: ClassVar[bool] = False
    unjudged: ClassVar[str] = "the function gave NaN"
    module: str
    function: str
    allow: list[str] = field(default_factory=list)
    _function: list[Any] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.module not in self.allow:
            raise UsageError(
                f"checker.module={self.module}: not allowed; if its code may be run, give checker.allow=[{self.module}]"
            )
        try:
            module = importlib.import_module(self.module)
        except Exception as error:  # whatever the module's own code raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UsageError(f"checker.module={self.module}: cannot be imported ({reason})") from error
        # Where it is defined counts, so that an allowed module opens no door to what it imports.
        own = {name: each for name, each in vars(module).items() if getattr(each, "__module__", "") == self.module}
        if not callable(own.get(self.function)):
            choices = [name for name, each in own.items() if callable(each)]
            raise UsageError(
                f"checker.function={self.function}: {self.module} defines no such function"
                f"{closest(self.function, choices)}"
            )
        self._function.append(own[self.function])

    def check(self, prompt: str, reply: str, reference: str) -> float:
        """What the function says.

        Raises:
            DataError: it failed, or gave no number from 0 to 1.
        """
        try:
            found = self._function[0](prompt, reply, reference)
        except Exception as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise DataError(f"{self.module}.{self.function} failed at the reply '{_short(reply)}' ({why})") from error
        if hasattr(found, "item"):
            found = found.item()
        if not isinstance(found, int | float) or (not math.isnan(found) and not 0 <= found <= 1):
            raise DataError(
                f"{self.module}.{self.function} gave {_short(repr(found))} for the reply '{_short(reply)}'; a number "
                "from 0 to 1, or NaN, is needed"
            )
        return float(found)


def _short(text: str) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= 40 else f"{shown[:39]}\u2026"
