"""Run folders that name classes by their old places."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from arena.core import moved, places, signatures


def test_nodes_are_read_with_the_places_and_forms_of_today():
    focal = {"_target_": "arena.loss.classification.Focal", "gamma": 2.0, "name": "arena.task.Task"}
    node = {
        "task": {"_target_": "arena.task.Task", "_partial_": True},
        "data": {"_target_": "mine.Data", "reader": [{"_target_": "arena.data.toy.ToyReader"}]},
        "loss": focal,
    }
    assert moved.current(node) == {
        "task": {
            "_target_": "arena.task.pairwise.Pairwise",
            "module": {"_target_": "arena.task.module.Task", "_partial_": True},
        },
        "data": {"_target_": "mine.Data", "reader": [{"_target_": "arena.data.source.toy.ToyReader"}]},
        "loss": focal,
    }
    assert moved.current(moved.current(node)) == moved.current(node)


def test_flat_options_of_heads_become_a_loss_for_each_head():
    flat = {"gamma": 1.5, "label_smoothing": 0.1, "tau": None, "class_weight": None}
    own = {"a": {"gamma": 3.0}, "b": {"kind": "logit_adjustment", "tau": 0.5}}
    loss = {"_target_": "arena.loss.multi_head.MultiHead", "labels": {"a": ["x", "y"]}, "kind": "focal", "heads": own}
    loss |= {"task_weights": {}, "weighting": "fixed", "normalise": False, "rdrop": {"alpha": 0.0}} | flat
    data = {"_target_": "arena.data.head_module.HeadData"}
    found = moved.current({"data": data, "loss": loss})
    assert found["task"]["_target_"] == "arena.task.multihead.MultiHead"
    made = {"_partial_": True, "labels": []}
    adjusted = {"_target_": "arena.loss.rare_classes.LogitAdjustment", "label_smoothing": 0.1, "tau": 0.5}
    assert found["loss"] == {
        "_target_": "arena.loss.multi_head.MultiHead",
        "labels": {"a": ["x", "y"]},
        "head": made | {"_target_": "arena.loss.classification.Focal", "gamma": 1.5, "label_smoothing": 0.1},
        "overrides": {"a": {"gamma": 3.0}, "b": made | adjusted},
        **{key: loss[key] for key in ("task_weights", "weighting", "normalise", "rdrop")},
    }


def test_loggers_that_were_arenas_own_stay_in_the_run_folder_or_go():
    board = {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": "run", "name": ""}
    board |= {"version": "tensorboard", "default_hp_metric": False}
    old = {"_target_": "arena.callback.tensorboard.TensorBoardRun", "folder": "run"}
    away = {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": "/", "name": "..", "version": ".."}
    databases = ("arena.logger.mlflow.MLflowRun", "lightning.pytorch.loggers.MLFlowLogger")
    loggers = {"a": old, "b": away, **{name: {"_target_": name, "tracking_uri": "x"} for name in databases}}
    assert moved.current({"run_dir": "run", "logger": loggers})["logger"] == {"a": board, "b": board}
    assert places.require(board["_target_"], "logger.a", stored=places.Stored(Path("run"), frozenset()))


@pytest.mark.parametrize("module", moved.MOVED.values())
def test_what_has_moved_is_there(module):
    assert find_spec(module) is not None
    names = [name for name in signatures.names_in(module) if not name.startswith("_")]
    kinds = [
        kind for kind in places.PLACES.values() if module.startswith(tuple(home.rstrip(".") for home in kind.homes))
    ]
    assert any(not kind.lacks(f"{module}.{name}") for kind in kinds for name in names)


def test_flat_options_of_a_schedule_become_a_node():
    flat = {"schedule": "plateau", "warmup": 0.2, "warmup_steps": None, "total_steps": None, "power": 2.0}
    flat |= {"cooldown": 0.2, "plateau_factor": 0.3, "plateau_patience": 4, "mode": "max"}
    found = moved.current({"optim": {"_target_": "arena.optim.adamw.AdamW", "lr": 1e-3, **flat}})
    assert found["optim"] == {"_target_": "arena.optim.adamw.AdamW", "lr": 1e-3}
    assert found["schedule"] == {
        "_target_": "arena.optim.schedule.Plateau", "warmup": 0.2, "warmup_steps": None, "total_steps": None,
        "factor": 0.3, "patience": 4, "mode": "max",
    }  # fmt: skip


def test_flat_options_of_data_become_nodes():
    flat = {"val_share": 0.2, "split_seed": 3, "rejects": "r", "max_length": 9, "sampling": "hard", "seed": 5}
    flat |= {"pseudo_labels": "p", "target": "votes", "sampling_power": 0.5, "path": "f"}
    data = moved.current({"data": {"_target_": "arena.data.module.PairData", **flat}})["data"]
    assert data == {
        "_target_": "arena.data.module.pairwise.PairData", "path": "f",
        "split": {"_target_": "arena.data.split.prepare.SplitSettings", "val_share": 0.2, "seed": 3},
        "ingest": {"_target_": "arena.data.source.ingest.Ingest", "rejects": "r"},
        "loader": {"_target_": "arena.data.loading.sampling.LoaderSettings", "seed": 5},
        "truncation": {"_target_": "arena.data.text.truncation.TruncationSettings", "max_length": 9},
        "target": {"_target_": "arena.data.target.targets.Targets", "source": "votes"},
        "pseudo": {"_target_": "arena.data.target.pseudo.Pseudo", "predictions": "p"},
        "sampling": {
            "_target_": "arena.data.loading.sampling.Plan", "method": "hard", "power": 0.5, "seed": 5,
        },
    }  # fmt: skip
    assert moved.current({"data": data, "task": {"module": {}}})["data"] == data


def test_arguments_are_read_with_the_names_of_today():
    node = {"_target_": "arena.callback.diversity.DiversityShare", "least": 0.05, "patience": 3}
    found = moved.current({"callback": {"diversity": node}})["callback"]["diversity"]
    assert found == {"_target_": "arena.callback.diagnostics.DiversityShare", "min_ratio": 0.05, "patience": 3}
