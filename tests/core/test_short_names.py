"""`data.*` keys: short names, and values that replace those of a finished run."""

import pytest

from arena.config.compose import composed, settings_of
from arena.config.resolvers import register_resolvers
from arena.core.data_keys import as_typed, full, replace_keys, typed_names
from arena.core.errors import UsageError

READER = "arena.data.source.pairs.PairReader"


def stored() -> dict:
    return {
        "_target_": "arena.data.module.pairwise.PairData",
        "path": "old.csv",
        "columns": None,
        "reader": {"_target_": READER, "split": "train", "columns": None},
        "split": {"_target_": "arena.data.split.prepare.SplitSettings", "val_share": 0.1},
        "ingest": {"_target_": "arena.data.source.ingest.Ingest", "limit": 10},
    }


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("data.limit", "data.ingest.limit"),
        ("+data.folds", "+data.split.folds"),
        ("data.sampling", "data.sampling.method"),
        ("data.sampling.power", "data.sampling.power"),
        ("data.path", "data.path"),
        ("loss.gamma", "loss.gamma"),
    ],
)
def test_a_short_name_stands_for_a_place(short, long):
    assert full(short) == long
    if short != "data.sampling.power":
        assert as_typed(long.lstrip("+")) == short.lstrip("+")


def test_what_the_reader_takes_too_is_replaced_in_both_but_a_node_is_no_name():
    node = stored()
    replace_keys(node, {"path": "new.csv", "columns": {"prompt": "question"}, "split": {"val_share": 0.0}})
    assert node["reader"]["columns"] == node["columns"] == {"prompt": "question"}
    assert node["reader"]["split"] == "train"
    assert node["split"]["val_share"] == 0.0
    assert node["ingest"]["limit"] is None


def test_suggestions_know_short_names():
    assert {"limit", "val_share", "path"} <= set(typed_names(stored()))
    assert "max_length" not in typed_names(stored())
    with pytest.raises(UsageError, match=r"data\.lmit: no such key; did you mean 'limit'"):
        replace_keys(stored(), {"lmit": 3})


@pytest.mark.parametrize("typed", ["data.split=null", "~data.loader"])
def test_a_part_of_the_data_cannot_be_left_out(typed):
    register_resolvers()
    with pytest.raises(UsageError, match=r"data\.\w+: it cannot be left out; give single keys, data\.\w+\.KEY=VALUE"):
        settings_of([typed])


def test_a_group_needs_a_choice():
    with pytest.raises(UsageError, match="schedule=null: the name of a choice is needed"):
        composed(["schedule=null"])
