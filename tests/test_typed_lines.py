"""Command lines of conf can be pasted into a shell; tests from outside type every option."""

import ast
import re
import shlex
import subprocess
from dataclasses import fields
from importlib import import_module

import pytest
from support import ROOT

from arena.config import compose as config
from arena.config.overrides import single_runs, with_paths
from arena.config.resolvers import register_resolvers

COMMAND = re.compile(r"python -m arena\.(\w+)")
MEANING = re.compile(r"[][(){}*?<>|;&$`!~]")
"""What a shell does not take literally outside of quotes."""


def command_lines() -> list[str]:
    """Every command in the comments that head a YAML file, and in the help of the training."""
    found = []
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        head = re.sub(r" \\\n#? *", " ", path.read_text())
        found += [
            line[start.start() :] for line in head.splitlines() if line[:1] == "#" and (start := COMMAND.search(line))
        ]
    help_lines = (ROOT / "conf" / "train.yaml").read_text().partition("template: |")[2].splitlines()
    found += [line.strip() for line in help_lines if COMMAND.match(line.strip()) and "..." not in line]
    return [re.split(r"[;,](?= \w|$)|`", line)[0] for line in found]


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_can_be_pasted(line):
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", re.split(r"\s#\s|  +(?=[a-z])", line)[0])
    assert not MEANING.search(bare), "quotes are missing"
    assert subprocess.run(["bash", "-n", "-c", line], capture_output=True).returncode == 0


def to_compose(line: str) -> bool:
    """Whether a line is a training whose composition says something new: tests/test_configs.py has each experiment with
    a file of data."""
    bare = re.search(r"arena\.train experiment=[\w.]+ data\.path=\S+ *(#.*)?$", line) is not None
    return "arena.train" in line and "resume=" not in line and not bare


@pytest.mark.parametrize("line", dict.fromkeys(filter(to_compose, command_lines())))
def test_training_command_lines_compose(line):
    register_resolvers()
    words = [word for word in shlex.split(re.split(r"  +(?=[a-z])", line)[0], comments=True)[3:] if "=" in word]
    sweeps = "-m" in shlex.split(line, comments=True)
    for single in list(single_runs(with_paths(words, sweeps)))[:1]:
        assert config.composed(single)


MODULES = ["baseline", "calibrate", "compare", "evaluate", "explore", "export", "predict", "report"]


def options_of(module: str) -> set[str]:
    """The keys of a command that its `--help` shows."""
    found = import_module(f"arena.{module}")
    known = [each for each in fields(getattr(found, f"{module.capitalize()}Options")) if each.metadata["help"]]
    names = {each.name for each in known if each.metadata["takes"] not in ("overrides", "folders")}
    return {"data.path" if name == "data" else name for name in names}


def typed_in_tests() -> dict[str, set[str]]:
    """The keys that tests from outside type for each command: in calls of `shell`, and in the tables of `TYPED`."""
    found: dict[str, set[str]] = {module: set() for module in MODULES}

    def note(module: str, node: ast.AST) -> None:
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                found.setdefault(module, set()).update(re.findall(r"(?:^|[\s'])([a-z_.]+)=", each.value))

    for path in (ROOT / "tests" / "outside").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                if ast.unparse(node.func) in ("shell", "type_command"):
                    note(str(node.args[0].value), node)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value in MODULES:
                        note(str(key.value), value)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_option_is_typed_by_a_test_from_outside(module):
    assert not options_of(module) - typed_in_tests()[module]
