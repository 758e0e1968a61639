"""Shapes in annotations: `Float[Tensor, "N K"]`, with the legend of `arena.core.types`.

The tests check them (jaxtyping with beartype, `tests/conftest.py`). Everywhere else nothing is imported, and such an
annotation is a plain `Tensor`.
"""

import sys
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int
else:

    class Float:
        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Int = Float

PerRow = Float[Tensor, " N"]
PerClass = Float[Tensor, "N K"]
"""A number for each row, and for each row and class."""
Target = Int[Tensor, " N"] | Float[Tensor, "N K"]
"""Class indices, `UNLABELLED` where unknown; or class probabilities, NaN or all zero where unknown."""

__all__ = ["Bool", "Float", "Int", "PerClass", "PerRow", "Target"]
