"""Signatures of classes from their source files: constructor, bases and members, read with `ast` and without an
import."""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

Definition = tuple[ast.ClassDef | ast.FunctionDef, str]
"""A class or function, and the module that defines it."""
DEPTH = 5
"""Re-exports that are followed from a name to its definition."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a constructor: annotation and default as source trees; `required` without a default."""

    annotation: ast.expr | None
    required: bool
    default: ast.expr | None = None


@dataclass(frozen=True)
class Signature:
    """Arguments of a constructor by name; `open` when it also takes `**kwargs`."""

    parameters: dict[str, Parameter]
    open: bool


@lru_cache(maxsize=256)
def signature_of(target: str) -> Signature | None:
    """Read the constructor of a class (or a function's parameters) from source; None where it cannot be read."""
    found = definition(target)
    if found is None:
        return None
    node, module = found
    if isinstance(node, ast.FunctionDef):
        return _from_arguments(node.args, skip_self=False)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _from_arguments(item.args, skip_self=True)
    bases = [signature for base in _bases(node, module) if (signature := signature_of(base)) is not None]
    inherited = bases[0] if bases else None
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        parameters = {name: each for base in reversed(bases) for name, each in base.parameters.items()}
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                parameters[item.target.id] = Parameter(item.annotation, item.value is None, item.value)
        return Signature(parameters, any(base.open for base in bases))
    made_otherwise = any(isinstance(item, ast.FunctionDef) and item.name == "__new__" for item in node.body)
    return inherited if node.bases or node.keywords or made_otherwise else Signature({}, False)


def _from_arguments(arguments: ast.arguments, skip_self: bool) -> Signature:
    positional = [*arguments.posonlyargs, *arguments.args][1 if skip_self else 0 :]
    defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
    pairs = zip(positional, defaults, strict=True)
    parameters = {a.arg: Parameter(a.annotation, default is None, default) for a, default in pairs}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[argument.arg] = Parameter(argument.annotation, default is None, default)
    return Signature(parameters, arguments.kwarg is not None)


@lru_cache(maxsize=512)
def definition(target: str, depth: int = 0) -> Definition | None:
    """Find the class or function of a dotted name, following re-exports; None where there is none."""
    module, _, name = target.rpartition(".")
    if not module or depth > DEPTH:
        return None
    for node in _statements(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node, module
    imported = _imports(module).get(name)
    return definition(imported, depth + 1) if imported is not None else None


def ancestors(target: str) -> Iterator[str]:
    """Yield the dotted names of a class and of all its bases: as imported, and where they are defined."""
    yield target
    found = definition(target)
    if found is None:
        return
    node, module = found
    if not isinstance(node, ast.ClassDef):
        return
    if target != f"{module}.{node.name}":
        yield f"{module}.{node.name}"
    for base in _bases(node, module):
        yield from ancestors(base)


def members(target: str) -> set[str]:
    """Collect the methods and attributes of a class and its bases, those that `__init__` assigns included."""
    names: set[str] = set()
    for ancestor in ancestors(target):
        found = definition(ancestor)
        for node in ast.walk(found[0]) if found is not None else ():
            match node:
                case ast.FunctionDef(name=name):
                    names.add(name)
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                    names.add(name)
                case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                    names.add(name)
    return names


def names_in(module: str) -> list[str]:
    """List the classes and functions that a module defines."""
    return [node.name for node in _statements(module) if isinstance(node, ast.ClassDef | ast.FunctionDef)]


def _bases(node: ast.ClassDef, module: str) -> Iterator[str]:
    """Yield the dotted names of the bases of a class, as far as names of its module go."""
    for base in node.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base
        first, dot, rest = ast.unparse(plain).partition(".")
        yield f"{_imports(module).get(first, f'{module}.{first}')}{dot}{rest}"


@lru_cache(maxsize=256)
def _imports(module: str) -> dict[str, str]:
    """Map each imported name of a module to its dotted origin."""
    found: dict[str, str] = {}
    _, package = _source(module)
    for node in _statements(module):
        if isinstance(node, ast.ImportFrom):
            parts = module.split(".") if package else module.split(".")[:-1]
            above = parts[: len(parts) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
    return found


@lru_cache(maxsize=256)
def _statements(module: str) -> list[ast.stmt]:
    """List the statements of a module, those below an `if` or a `try` too."""
    tree, _ = _source(module)
    found: list[ast.stmt] = []
    waiting: list[ast.stmt] = list(tree.body) if tree else []
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If | ast.Try):
            waiting[:0] = [*node.body, *node.orelse]
        else:
            found.append(node)
    return found


@lru_cache(maxsize=256)
def _source(module: str) -> tuple[ast.Module | None, bool]:
    """Return the syntax tree of a module, and whether it is a package."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # only the top package, so nothing is imported
    except (ImportError, ValueError):
        return None, False
    if spec is None:
        return None, False
    places = [Path(place, *rest) for place in spec.submodule_search_locations or ()]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    if spec.origin and not rest:
        files.insert(0, Path(spec.origin))
    for file in files:
        if file.suffix == ".py" and file.is_file():
            try:
                return ast.parse(file.read_text(encoding="utf-8")), file.name == "__init__.py"
            except (OSError, ValueError, SyntaxError):
                return None, False
    return None, False
