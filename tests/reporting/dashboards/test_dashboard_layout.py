"""The layout of a workspace, and the command that prints it."""

import json
import re

import pytest

from arena import report
from arena.core.errors import UsageError
from arena.reporting.dashboards import command
from arena.reporting.dashboards.workspace import layout

SECTIONS = ["validation metrics", "calibration", "classes", "diversity", "sweep", "system"]


def test_without_a_key_the_layout_is_printed(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    report.report(*report.options(["dashboard=me/arena", "study=lr", "monitor=val/macro_f1", "mode=max"]))
    found = json.loads(capsys.readouterr().out)
    assert (found["entity"], found["project"], found["study"]) == ("me", "arena", "lr")
    assert [each["name"] for each in found["sections"]] == SECTIONS
    sweep = found["sections"][4]["panels"]
    assert sweep[0]["columns"][-1] == "summary:val/macro_f1.max"
    assert sweep[1] == {"kind": "importance", "of": "val/macro_f1.max"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["dashboard=arena"], "ENTITY/PROJECT is needed"),
        (["dashboard=a/b/c"], "ENTITY/PROJECT is needed"),
        (["dashboard="], "dashboard: a value is needed"),
        (["dashboard=me/"], "dashboard=me/: ENTITY/PROJECT is needed"),
        (["dashboard=me/a'b"], "ENTITY/PROJECT is needed"),
        (["dashboard=me/a", "study=a'b"], "study=a'b"),
        (["dashboard=me/a", "mode=best"], "mode=best: one of min, max is needed"),
        (["dashboard=me/a", "print=yes"], "print=yes: one of true, false is needed"),
        (["dashboard=me/a", "studdy=x"], "did you mean 'study'"),
        (["dashboard=me/a", "folder"], "folder: dashboard= takes no folder"),
        (["dashboard=me/a", "samples=3"], "samples: it is for wandb=true, not for dashboard"),
        (["dashboard=me/a", "run", "wandb=true"], "dashboard: it is for dashboard, not for wandb=true"),
        (["run", "wandb=1"], "wandb=1: true or false is needed"),
        (["run", "online=true"], "online: it is for wandb=true, not for a sweep"),
        (["run", "wandb=true", "output=x"], "output: it is for a sweep, not for wandb=true"),
        (["run", "mode=max"], "mode: it is for dashboard"),
        (["wandb=true"], "a folder is needed"),
    ],
)
def test_wrong_command_lines(typed, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        report.report(*report.options(typed))


def test_sync_online_needs_a_key_and_a_good_name(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(UsageError, match="there is no key"):
        command.check(command.DEFAULTS | {"online": True})
    with pytest.raises(UsageError, match="project=a/b"):
        command.check(command.DEFAULTS | {"project": "a/b"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library declares its models as pydantic 1 did
def test_every_panel_is_one_that_the_library_takes():
    pytest.importorskip("wandb_workspaces")
    from arena.reporting.dashboards.workspace import panel

    for section in layout():
        for each in section["panels"]:
            assert panel(each)._to_model() is not None
