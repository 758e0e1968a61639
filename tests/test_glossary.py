"""The code speaks the field's language: no public name is one that the glossary lists as old."""

import ast
import re
from collections.abc import Iterator

import pytest
from test_architecture import FILES, ROOT, SOURCE, tree

OLD = {
    *("Start", "start_at", "served_counts", "Served", "Serving", "lesson", "taught", "told", "Told"),
    *("Room", "ReplyRoom", "fair_caps", "orders", "FIELDS", "Talk", "Frame", "tail", "learned", "asked", "answered"),
    *("facts", "Account", "Desk", "Division", "Forest", "Look", "twin", "Scan", "outcome", "needs"),
    *("Judge", "judged", "judging", "aims", "rehearse", "give_up", "conclude", "references"),
    *("Pairing", "SideBySide", "ManyHeads", "Place", "Agreement", "Keeper", "Tail", "Mirror"),
    *("exchanged", "mirror", "most", "least", "shown", "insist", "say", "tell", "spoken"),
}
OLD_FILES = {
    "whole.py",
    "kinds.py",
    "aims.py",
    "show.py",
    "cells.py",
    "served.py",
    "views.py",
    "lifeline.py",
    "keeper.py",
}


def public_names(node: ast.AST) -> Iterator[str]:
    """Names of functions, classes, parameters and fields that begin with no underscore."""
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef | ast.ClassDef) and not each.name.startswith("_"):
            yield each.name
        if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"):
            arguments = each.args
            yield from (a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))
        if isinstance(each, ast.ClassDef):
            yield from (
                f.target.id for f in each.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)
            )


def test_no_public_name_is_an_old_one():
    found = {f"{path.relative_to(SOURCE)}: {name}" for path in FILES for name in set(public_names(tree(path))) & OLD}
    assert sorted(found) == []


def test_no_file_has_a_name_that_says_nothing():
    assert [str(path.relative_to(SOURCE)) for path in FILES if path.name in OLD_FILES] == []


@pytest.mark.parametrize("folder", ["conf", "docs", "."])
def test_old_names_are_not_documented(folder):
    """As code: a class or function in backquotes, or a class that a YAML names."""
    files = (
        [ROOT / "README.md"] if folder == "." else [*(ROOT / folder).rglob("*.md"), *(ROOT / folder).rglob("*.yaml")]
    )
    files = [path for path in files if "adr" not in path.parts]
    code = re.compile(rf"`(?:[\w.]*\.)?({'|'.join(sorted(OLD))})`|_target_: [\w.]+\.({'|'.join(sorted(OLD))})\b")
    assert [f"{path.relative_to(ROOT)}: {m[0]}" for path in files for m in code.finditer(path.read_text())] == []
