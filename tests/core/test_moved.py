"""Run folders that name classes by their old places."""

from importlib.util import find_spec

import pytest

from arena.core import moved, places, signatures


def test_nodes_are_read_with_the_places_of_today():
    node = {
        "task": {"_target_": "arena.task.Task", "_partial_": True},
        "data": [{"_target_": "arena.data.toy.ToyReader"}],
    }
    assert moved.current(node) == {
        "task": {"_target_": "arena.task.module.Task", "_partial_": True},
        "data": [{"_target_": "arena.data.source.toy.ToyReader"}],
    }
    other = {"_target_": "arena.loss.classification.Focal", "gamma": 2.0, "name": "arena.task.Task"}
    assert moved.current(other) == other


@pytest.mark.parametrize("module", moved.MOVED.values())
def test_what_has_moved_is_there(module):
    assert find_spec(module) is not None
    names = [name for name in signatures.names_in(module) if not name.startswith("_")]
    kinds = [
        kind for kind in places.PLACES.values() if module.startswith(tuple(home.rstrip(".") for home in kind.homes))
    ]
    assert any(not kind.lacks(f"{module}.{name}") for kind in kinds for name in names)
