"""Check of a configuration against the signatures of the classes that it names, without importing them.

The signature of a class is the schema of its YAML: `_target_: arena.loss.classification.Focal` is found as a file, its
`__init__` is read with `ast`, and every key and value of the node is checked against the parameters and annotations. So
a typo costs a fraction of a second, and no second list of keys can drift away from the code. The aliases below say more
than `float`: use them in any annotation.
"""

import ast
import keyword
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, get_args

from arena.core import signatures
from arena.core.closest import closest
from arena.core.data_keys import as_typed
from arena.core.errors import InputOutputError, UsageError
from arena.core.places import PARTS, Stored, kind_of, require

Positive = Annotated[float, "a number greater than 0", lambda value: value > 0]
NonNegative = Annotated[float, "a number, 0 or more", lambda value: value >= 0]
Share = Annotated[float, "a number from 0 to 1", lambda value: 0 <= value <= 1]
Focus = Annotated[float, "a number from 0 to 10", lambda value: 0 <= value <= 10]
"""Exponent of a focal loss: at 10 a row with p = .5 counts a thousandth, and beyond it nothing is learned."""
Count = Annotated[int, "a whole number, 1 or more", lambda value: value >= 1]
WholeNumber = Annotated[int, "a whole number, 0 or more", lambda value: value >= 0]
Limit = Annotated[int, "a whole number, 1 or more, or -1 for no limit", lambda value: value == -1 or value >= 1]
Label = Annotated[
    str,
    "text of 1 to 200 characters without line breaks and control characters",
    lambda value: 1 <= len(value) <= 200 and value.isprintable(),
]
Name = Annotated[
    str,
    "a name of 1 to 100 characters without / and \\, line breaks and control characters, not . or .., and none of "
    "= + - @ in front",
    lambda value: bool(re.fullmatch(r"(?![=+@-])(?!\.\.?$)[^/\\]{1,100}", value)) and value.isprintable(),
]
ProjectName = Annotated[
    str,
    "a name of 1 to 128 characters without / \\ # ? % : and control characters",
    lambda value: bool(re.fullmatch(r"[^/\\#?%:]{1,128}", value)) and value.isprintable(),
]
InputPath = Annotated[str, "a path", lambda value: True]
"""A file or folder that exists."""
OutputPath = Annotated[str, "a path", lambda value: True]
"""A file or folder that is written."""

PLAIN = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "a mapping",
}
ALIASES = {base.__name__: (base, wanted, lambda value: True) for base, wanted in PLAIN.items()}
ALIASES |= {
    name: get_args(globals()[name])
    for name in (
        *("Positive", "NonNegative", "Share", "Focus", "Count", "WholeNumber", "Limit"),
        *("Label", "Name", "ProjectName", "InputPath", "OutputPath"),
    )
}
"""Base type, description and test of each name that an annotation may have."""
METRIC_OPTIONS = dict.fromkeys(
    ("compute_on_cpu", "compute_with_cache", "dist_sync_on_step", "sync_on_compute"),
    signatures.Parameter(ast.Name("bool"), False),
)
"""What a `torchmetrics.Metric` takes as its `**kwargs`; its constructor refuses all else, too late to say where."""


class NotTextError(UsageError):
    """A number or a truth value at `key`, where a text is needed."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def check(
    node: Any, key: str = "", trusted: Collection[str] = (), stored: Stored | None = None, part: bool = False
) -> None:
    """Check a plain (resolved) configuration, or the part of it at `key`, against the signatures that it names.

    `trusted`, `stored` and `part` are those of `arena.core.places.require`.

    Raises:
        UsageError: unknown key, wrong type, value out of range, missing key, a class that may not stand there, or a
            stored configuration that writes elsewhere.
        InputOutputError: a path that does not exist.
    """
    if isinstance(node, dict):
        if "_target_" in node:
            kind = require(node["_target_"], key, trusted, stored, part)
            check_arguments(node, key, partial=kind is None or kind.partial)
            part = node["_target_"].partition(".")[0] in trusted
            if key == "data":
                _check_parts(node)
            if stored is not None:
                _check_outputs(node, key, stored)
        for name, child in node.items():
            place = f"{key}.{name}" if key else str(name)
            # The trainer also knows profilers and strategies by name.
            needed = kind_of(place) if child and key != "trainer" else None
            if needed and needed.optional and not isinstance(child, dict):
                raise UsageError(f"{place}={_shown(child)}: options of {needed.name} are needed, {place}.KEY=VALUE")
            if needed and not needed.optional and not (isinstance(child, dict) and "_target_" in child):
                way = f"{place}._target_=CLASS and its options"
                raise UsageError(f"{place}={_shown(child)}: {needed.name} is needed, as {way}")
            check(child, place, trusted, stored, part)
    elif isinstance(node, list):
        for position, child in enumerate(node):
            check(child, f"{key}[{position}]", trusted, stored, part)


def _check_outputs(node: dict[str, Any], key: str, stored: Stored) -> None:
    """Require that a stored configuration writes in its own folder, or where arena writes by default."""
    signature = signatures.signature_of(node["_target_"])
    for name, value in node.items():
        parameter = signature.parameters.get(argument(name)) if signature is not None else None
        place = f"{key}.{name}"
        if value is None or parameter is None or not stored.holds(place):
            continue
        names = names_in_annotation(parameter.annotation)
        if "OutputPath" not in names and name not in ("dirpath", "filename"):
            continue
        if not Path(stored.folder, str(value)).resolve().is_relative_to(stored.folder):
            raise UsageError(
                f"{place}={_shown(value)}: a stored configuration writes in its own folder only; give {place}=... "
                "to say where"
            )


def check_values(values: dict[str, Any], schema: type, key: str = "", others: Collection[str] | None = None) -> None:
    """Check plain values against the fields of a dataclass; `others` are more keys that may be there, None for any."""
    signature = signatures.signature_of(f"{schema.__module__}.{schema.__qualname__}")
    assert signature is not None, schema
    known = signature.parameters
    for name, value in values.items():
        if name in known:
            _check_value(f"{key}{name}", value, known[name].annotation)
        elif others is not None and name not in others:
            raise UsageError(f"{key}{name}: nothing reads such a key{closest(str(name), known)}")


def argument(key: str) -> str:
    """Return the parameter of a key: itself, and `lambda_` for `lambda`, which no parameter can be called."""
    return f"{key}_" if keyword.iskeyword(key) else key


def _check_parts(node: dict[str, Any]) -> None:
    """Require every part of a data module: its defaults are in YAML, and nowhere else."""
    signature = signatures.signature_of(str(node["_target_"]))
    for name in PARTS:
        if signature is not None and name in signature.parameters and node.get(name) is None:
            raise UsageError(f"data.{name}: it cannot be left out; give single keys, data.{name}.KEY=VALUE")


def check_arguments(node: dict[str, Any], key: str, partial: bool = True) -> None:
    """Check the arguments of a node against the signature of its class; raises the errors of `check`."""
    target = node["_target_"]
    signature = signatures.signature_of(target)
    if signature is None:
        return
    if target.startswith("torchmetrics."):
        signature = signatures.Signature(METRIC_OPTIONS | signature.parameters, False)
    short = target.rsplit(".", 1)[1]
    special = ("_target_", "_partial_") if partial else ("_target_",)
    given = {name: value for name, value in node.items() if name not in special}
    for name, value in given.items():
        parameter = signature.parameters.get(argument(name))
        if parameter is not None:
            _check_value(f"{key}.{name}", value, parameter.annotation)
        elif not signature.open or (name.startswith("_") and name.endswith("_")):
            raise UsageError(f"{key}.{name}: {short} has no such argument{closest(name, signature.parameters)}")
    for name, parameter in signature.parameters.items():
        if parameter.required and name not in map(argument, given) and not node.get("_partial_"):
            raise UsageError(f"{key}.{name}: {short} needs a value; give {key}.{name}=...")


def _check_value(key: str, value: Any, annotation: ast.expr | None) -> None:
    wanted = _mismatch(value, annotation)
    if wanted is not None:
        example = f", as in {as_typed(key)}=[{value}]" if wanted.startswith("a list") and isinstance(value, str) else ""
        message = f"{as_typed(key)}={_shown(value)}: {wanted} is needed{example}"
        raise UsageError(message) if _mismatch(_as_text(value), annotation) else NotTextError(message, key)
    paths = value if isinstance(value, list) else [value]
    for path in paths if "InputPath" in names_in_annotation(annotation) else []:
        if isinstance(path, str) and not os.path.exists(os.path.expanduser(path)):
            raise InputOutputError(f"{as_typed(key)}={path}: no such file or folder (looked in {os.getcwd()})")


def _mismatch(value: Any, annotation: ast.expr | None) -> str | None:
    """Describe what the annotation needs, if the value is not that; None if it fits or nothing is known."""
    match annotation:
        case ast.Constant(value=None):
            return None if value is None else "null"
        case ast.Constant(value=str(text)):
            return _mismatch(value, ast.parse(text, mode="eval").body)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _mismatch_union(value, [left, right])
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _mismatch_union(value, [inner, ast.Constant(value=None)])
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=options)):
            return _mismatch_union(value, options)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            options = [e.value for e in getattr(inner, "elts", [inner]) if isinstance(e, ast.Constant)]
            return None if value in options else "one of " + ", ".join(str(option) for option in options)
        case ast.Subscript(value=ast.Name(id=("list" | "List" | "Sequence")), slice=inner):
            if not isinstance(value, list):
                return "a list"
            return next((f"a list where each is {w}" for v in value if (w := _mismatch(v, inner))), None)
        case ast.Subscript(value=ast.Name(id=("dict" | "Dict")), slice=ast.Tuple(elts=[outer, inner])):
            if not isinstance(value, dict):
                return "a mapping"
            if wanted := next((w for key in value if (w := _mismatch(str(key), outer))), None):
                return f"a mapping where each key is {wanted}"
            return next(
                (f"a mapping where each value is {w}" for v in value.values() if (w := _mismatch(v, inner))), None
            )
        case ast.Name(id=name):
            return _mismatch_name(value, name)
    return None


def _mismatch_union(value: Any, options: list[ast.expr]) -> str | None:
    wanted = [_mismatch(value, option) for option in options]
    return None if None in wanted else " or ".join(dict.fromkeys(w for w in wanted if w))


def _mismatch_name(value: Any, name: str) -> str | None:
    if name not in ALIASES:
        return None
    base, wanted, holds = ALIASES[name]
    right = isinstance(value, (int, float) if base is float else base)
    return None if right and isinstance(value, bool) == (base is bool) and holds(value) else wanted


def _as_text(value: Any) -> Any:
    """Replace numbers and truth values by texts."""
    if isinstance(value, dict):
        return {key: _as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    return str(value) if isinstance(value, bool | int | float) else value


def fits(value: Any, annotation: ast.expr | None) -> bool:
    """Test a value against an annotation."""
    return _mismatch(value, annotation) is None


def names_in_annotation(annotation: ast.expr | None) -> set[str]:
    """Collect the plain names in an annotation."""
    return {each.id for each in ast.walk(annotation or ast.Constant(None)) if isinstance(each, ast.Name)}


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)[:60]
