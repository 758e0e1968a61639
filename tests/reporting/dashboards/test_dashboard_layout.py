"""The layout of a workspace, and the command that prints it."""

import json
import re

import pytest

from arena import dashboard, wandb_sync
from arena.core.errors import UsageError
from arena.reporting.dashboards.workspace import layout

SECTIONS = ["validation metrics", "calibration", "classes", "diversity", "sweep", "system"]


def test_without_a_key_the_layout_is_printed(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    dashboard.dashboard(["me/arena", "study=lr", "monitor=val/macro_f1", "mode=max"])
    found = json.loads(capsys.readouterr().out)
    assert (found["entity"], found["project"], found["study"]) == ("me", "arena", "lr")
    assert [each["name"] for each in found["sections"]] == SECTIONS
    sweep = found["sections"][4]["panels"]
    assert sweep[0]["columns"][-1] == "summary:val/macro_f1.max"
    assert sweep[1] == {"kind": "importance", "of": "val/macro_f1.max"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["arena"], "ENTITY/PROJECT"),
        (["a/b/c"], "ENTITY/PROJECT"),
        ([], "ENTITY/PROJECT"),
        (["me/"], "PROJECT="),
        (["me/a", "mode=best"], "mode=best"),
        (["me/a", "studdy=x"], "did you mean 'study'"),
    ],
)
def test_wrong_command_lines(typed, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        dashboard.read(typed)


def test_sync_online_needs_a_key_and_a_good_name(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(UsageError, match="there is no key"):
        wandb_sync.check(wandb_sync.DEFAULTS | {"online": True})
    with pytest.raises(UsageError, match="project=a/b"):
        wandb_sync.check(wandb_sync.DEFAULTS | {"project": "a/b"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library declares its models as pydantic 1 did
def test_every_panel_is_one_that_the_library_takes():
    pytest.importorskip("wandb_workspaces")
    from arena.reporting.dashboards.workspace import panel

    for section in layout():
        for each in section["panels"]:
            assert panel(each)._to_model() is not None
