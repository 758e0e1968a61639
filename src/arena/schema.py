"""Checks a configuration against the signatures of the classes that it names, without importing them.

The signature of a class is the schema of its YAML: `_target_: arena.loss.classification.Focal` is found as a file, its
`__init__` is read with `ast`, and every key and value of the node is held against the parameters and annotations found
there. So a typo or a wrong type costs a fraction of a second and not the import of torch, and no second list of keys
can drift away from the code. The aliases below say more than `float`: use them in any annotation.
"""

import ast
import difflib
import importlib.util
import inspect
import keyword
import os
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_args

from arena.errors import InputOutputError, UsageError

Positive = Annotated[float, "a number greater than 0", lambda value: value > 0]
NonNegative = Annotated[float, "a number, 0 or more", lambda value: value >= 0]
Share = Annotated[float, "a number from 0 to 1", lambda value: 0 <= value <= 1]
Count = Annotated[int, "a whole number, 1 or more", lambda value: value >= 1]
WholeNumber = Annotated[int, "a whole number, 0 or more", lambda value: value >= 0]
InputPath = Annotated[str, "a file or folder that exists", lambda value: True]

ALIASES = {name: get_args(globals()[name]) for name in ("Positive", "NonNegative", "Share", "Count", "WholeNumber")}

ALLOWED = (
    "arena.data.",
    "arena.model.",
    "arena.loss.",
    "arena.metric.",
    "arena.optim.",
    "arena.callback.",
    "arena.diversity.",
    "arena.generation.checkers.",
    "arena.judging.",
    "arena.task.",
    "arena.diversity_task.",
    "torchmetrics.",
    "torch.optim.",
    "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.",
    "lightning.pytorch.profilers.",
    "lightning.pytorch.strategies.",
    "lightning.pytorch.trainer.",
)
"""A configuration may build objects from these packages only: a YAML file is data, and data must not call `os.system`
or `torch.load`. The check is on the place where the class is defined, so a re-export does not get around it."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a constructor: the annotation as source tree, and whether it has to be given."""

    annotation: ast.expr | None
    required: bool


@dataclass(frozen=True)
class Signature:
    """Arguments of a constructor by name; `open` when it also takes `**kwargs`."""

    parameters: dict[str, Parameter]
    open: bool


def check(node: Any, key: str = "") -> None:
    """Hold a plain (resolved) configuration against the signatures that it names.

    Raises:
        UsageError: unknown key, wrong type, value out of range, missing key, or a `_target_` that is not allowed.
        InputOutputError: a path that does not exist.
    """
    if isinstance(node, dict):
        if "_target_" in node:
            _check_target(node, key)
        for name, child in node.items():
            check(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for position, child in enumerate(node):
            check(child, f"{key}[{position}]")


def check_values(values: dict[str, Any], schema: type, key: str = "") -> None:
    """Hold plain values against a dataclass that is at hand (the root of the configuration)."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(schema))).body[0]
    assert isinstance(tree, ast.ClassDef), schema
    for name, parameter in _from_fields(tree).parameters.items():
        if name in values:
            _check_value(f"{key}{name}", values[name], parameter.annotation)


def closest(name: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of the choices looks like `name`, else the choices themselves."""
    choices = sorted(choices)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there are: {', '.join(choices)}" if choices else ""


def argument(key: str) -> str:
    """The parameter that a key stands for: itself, and `lambda_` for `lambda`, which no parameter can be called."""
    return f"{key}_" if keyword.iskeyword(key) else key


def _check_target(node: dict[str, Any], key: str) -> None:
    target = node["_target_"]
    if not isinstance(target, str) or not target.startswith(ALLOWED):
        raise UsageError(f"{key}._target_: '{target}' is not allowed; a configuration may build from {_allowed()} only")
    if _definition(target) is None:
        raise UsageError(
            f"{key}._target_: there is no '{target}'{closest(target.rsplit('.', 1)[1], _siblings(target))}"
        )
    signature = signature_of(target)
    if signature is None:
        return
    short = target.rsplit(".", 1)[1]
    given = {name: value for name, value in node.items() if name not in ("_target_", "_partial_", "_convert_")}
    for name, value in given.items():
        parameter = signature.parameters.get(argument(name))
        if parameter is not None:
            _check_value(f"{key}.{name}", value, parameter.annotation)
        elif not signature.open:
            raise UsageError(f"{key}.{name}: {short} has no such argument{closest(name, signature.parameters)}")
    for name, parameter in signature.parameters.items():
        if parameter.required and name not in map(argument, given) and not node.get("_partial_"):
            raise UsageError(f"{key}.{name}: {short} needs a value; give {key}.{name}=...")


def _check_value(key: str, value: Any, annotation: ast.expr | None) -> None:
    wanted = _mismatch(value, annotation)
    if wanted is not None:
        raise UsageError(f"{key}={_shown(value)}: {wanted} is needed")
    for path in value if isinstance(value, list) else [value]:
        if _names_input_path(annotation) and isinstance(path, str) and not os.path.exists(os.path.expanduser(path)):
            raise InputOutputError(f"{key}={path}: no such file or folder (looked in {os.getcwd()})")


def _mismatch(value: Any, annotation: ast.expr | None) -> str | None:
    """What the annotation asks for, if the value is not that; None if it fits or nothing is known."""
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
            options = [
                e.value
                for e in (inner.elts if isinstance(inner, ast.Tuple) else [inner])
                if isinstance(e, ast.Constant)
            ]
            return None if value in options else "one of " + ", ".join(str(option) for option in options)
        case ast.Subscript(value=ast.Name(id=("list" | "List" | "Sequence")), slice=inner):
            if not isinstance(value, list):
                return "a list"
            return next((f"a list where each is {w}" for v in value if (w := _mismatch(v, inner))), None)
        case ast.Subscript(value=ast.Name(id=("dict" | "Dict")), slice=ast.Tuple(elts=[_, inner])):
            if not isinstance(value, dict):
                return "a mapping"
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
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name in ALIASES:
        base, wanted, holds = ALIASES[name]
        return None if (number if base is float else whole) and holds(value) else wanted
    fits = {
        "float": (number, "a number"),
        "int": (whole, "a whole number"),
        "bool": (isinstance(value, bool), "true or false"),
        "str": (isinstance(value, str), "text"),
        "InputPath": (isinstance(value, str), "a path"),
        "list": (isinstance(value, list), "a list"),
        "dict": (isinstance(value, dict), "a mapping"),
    }
    ok, wanted = fits.get(name, (True, ""))
    return None if ok else wanted


def _names_input_path(annotation: ast.expr | None) -> bool:
    return annotation is not None and any(isinstance(n, ast.Name) and n.id == "InputPath" for n in ast.walk(annotation))


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)[:60]


def _allowed() -> str:
    return ", ".join(dict.fromkeys(prefix.partition(".")[0] for prefix in ALLOWED)) + " (data, parts and callbacks)"


# --- reading signatures from source files -----------------------------------------------------------------------------


@lru_cache(maxsize=256)
def signature_of(target: str) -> Signature | None:
    """The constructor of a class (or a function's parameters) read from source; None where it cannot be read."""
    found = _definition(target)
    if found is None:
        return None
    node, module = found
    if isinstance(node, ast.FunctionDef):
        return _from_arguments(node.args, skip_self=False)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _from_arguments(item.args, skip_self=True)
    bases = (signature_of(f"{module}.{base.id}") for base in node.bases if isinstance(base, ast.Name))
    inherited = next((signature for signature in bases if signature is not None), None)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        own = _from_fields(node)
        return Signature(inherited.parameters | own.parameters, inherited.open) if inherited is not None else own
    return inherited


def _from_arguments(arguments: ast.arguments, skip_self: bool) -> Signature:
    positional = [*arguments.posonlyargs, *arguments.args][1 if skip_self else 0 :]
    without_default = len(positional) - len(arguments.defaults)
    parameters = {a.arg: Parameter(a.annotation, i < without_default) for i, a in enumerate(positional)}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[argument.arg] = Parameter(argument.annotation, default is None)
    return Signature(parameters, arguments.kwarg is not None)


def _from_fields(node: ast.ClassDef) -> Signature:
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
    return Signature({f.target.id: Parameter(f.annotation, f.value is None) for f in fields}, False)  # pyright: ignore


def _definition(target: str, depth: int = 0) -> tuple[ast.ClassDef | ast.FunctionDef, str] | None:
    """The syntax tree of a class or function and the module that defines it, following `from x import y`."""
    module, _, name = target.rpartition(".")
    tree = _tree(module)
    if tree is None or depth > 5 or not f"{module}.".startswith(ALLOWED):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node, module
        if isinstance(node, ast.ImportFrom) and node.module and any((a.asname or a.name) == name for a in node.names):
            original = next(a.name for a in node.names if (a.asname or a.name) == name)
            return _definition(f"{node.module}.{original}", depth + 1)
    return None


def _siblings(target: str) -> list[str]:
    tree = _tree(target.rpartition(".")[0])
    return [n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)] if tree else []


@lru_cache(maxsize=256)
def _tree(module: str) -> ast.Module | None:
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)  # only the top package, so nothing is imported
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], *rest)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return ast.parse(candidate.read_text(encoding="utf-8"))
    return None
