"""A run of W&B rebuilt from its folder."""

import shutil

import pytest
import wandb_file

from arena.core.run import RunFolder
from arena.logger.journal import Journal
from arena.logger.journal_logger import JournalReader
from arena.reporting.dashboards import command, rebuild


@pytest.mark.slow
def test_a_rebuilt_run_equals_the_journal_and_is_made_once(folds, tmp_path):
    shutil.copytree(folds["0"].path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    folder, fresh = rebuild.rebuilt(run, command.DEFAULTS)
    held = wandb_file.only(run.path / "wandb")
    assert fresh
    assert [(step, values) for step, _, values in held.values] == [
        (entry.step, {n: v for n, v in entry.values.items() if v == v})
        for entry in JournalReader(run.metrics).read(whole=True)
    ]
    assert (held.exit_code, held.summary["status"], held.statistics) == (0, "completed", 0)
    assert rebuild.rebuilt(run, command.DEFAULTS) == (folder, False)
    shutil.rmtree(run.path / "wandb")
    (run.path / "wandb.json").unlink()
    rebuild.rebuilt(run, command.DEFAULTS)
    assert wandb_file.only(run.path / "wandb").id == held.id, "the id follows from the folder"
    Journal(run.metrics).log_metrics({"test/more": 1.0}, step=8)
    assert rebuild.rebuilt(run, command.DEFAULTS)[1]
    grown = wandb_file.only(run.path / "wandb")
    assert grown.id == held.id
    assert grown.values[-1] == (8, None, {"test/more": 1.0})
