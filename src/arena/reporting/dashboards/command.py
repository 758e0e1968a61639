"""What `python -m arena.report` does with W&B. Nothing heavy is imported at the top."""

import json
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, Literal

from arena.config import restore
from arena.config.options import RunOptions, option, read
from arena.config.resolvers import wandb_offline
from arena.core.console import say
from arena.core.errors import InputOutputError, UsageError
from arena.core.schema import ALIASES, ProjectName, WholeNumber, check_values

USAGE = """
With wandb=true: the run of W&B of a run folder, several, or a folder of runs, rebuilt from the files in it as the
training would have written it: after an outage, or for runs that were trained without W&B. A second call does nothing
more; a run that has grown is written anew under the same id.

  online=false        true: also send it; needs a key (WANDB_API_KEY or netrc) and a server that answers
  project=NAME        of W&B (default: that of the run, else arena)
  entity=NAME         user or team (default: that of the run, else the key's own)
  group=NAME          (default: that of the run, else its study)
  samples=100         rows in the tables of predictions and generations; 0: no such tables
  texts=false         true: the table of generations also holds their texts
  trusted_packages=[NAME]   packages of your own whose classes a run may name

With dashboard=ENTITY/PROJECT: a workspace and a report of that project of W&B, with sections for validation metrics,
calibration, classes, diversity, sweep (parallel coordinates, importance) and system (pip install 'arena[dashboards]').
Without a key or a network it prints the layout as JSON and makes nothing.

  study=NAME               only the trials of this study (default: all runs)
  monitor=val/log_loss     the value that the sweep is about
  mode=min                 min or max: which of its values is the best
  print=false              true: print the layout, make nothing
"""


@dataclass
class Sync:
    """The keys of `wandb=true`."""

    online: bool = False
    project: ProjectName | None = None
    entity: ProjectName | None = None
    group: ProjectName | None = None
    samples: WholeNumber = 100
    texts: bool = False


@dataclass
class Layout:
    """The keys of `dashboard=ENTITY/PROJECT`."""

    study: ProjectName | None = None
    monitor: str = "val/log_loss"
    mode: Literal["min", "max"] = "min"
    print: Literal["true", "false"] = "false"


DEFAULTS = asdict(Sync())


@dataclass(frozen=True, kw_only=True)
class SyncOptions(RunOptions):
    """Keys of `wandb=true`."""

    online: bool = option("", default=False)
    project: ProjectName | None = option("", default=None)
    entity: ProjectName | None = option("", default=None)
    group: ProjectName | None = option("", default=None)
    samples: WholeNumber = option("", default=100)
    texts: bool = option("", default=False)


def check(others: dict[str, Any]) -> None:
    """The keys of `wandb=true`, before anything heavy.

    Raises:
        UsageError: one has a wrong value; `online=true` without a key.
    """
    check_values(others, Sync)
    if others["online"] and wandb_offline():
        raise UsageError("online=true: there is no key; set WANDB_API_KEY, or run wandb login")


def sync(folders: list[str], given: dict[str, str]) -> None:
    """Rebuild each run, and send it where that is asked for.

    Raises:
        UsageError: see `check`.
        InputOutputError: a run without a journal; a server that does not answer or does not take the run.
    """
    runs = folders[0] if len(folders) == 1 else f"[{','.join(folders)}]"
    typed = read(SyncOptions, [f"run={runs}", *(f"{k}={v}" for k, v in given.items())])
    check({name: getattr(typed, name) for name in DEFAULTS})
    for run in typed.runs:
        restore.settings_of(run)  # a folder that is none is refused before anything heavy
    from arena.reporting.dashboards import rebuild

    for run in typed.runs:
        rebuild.tell(run, {name: getattr(typed, name) for name in DEFAULTS})


def dashboard(address: str, given: dict[str, str]) -> None:
    """Print the layout, or make the workspace and the report.

    Raises:
        UsageError: a wrong value, or the package is not installed.
        InputOutputError: the server did not take them.
    """
    _, wanted, holds = ALIASES["ProjectName"]
    parts = address.split("/")
    if len(parts) != 2 or not all(map(holds, parts)) or "'" in address:
        raise UsageError(f"dashboard={address}: ENTITY/PROJECT is needed, each {wanted}")
    check_values(given, Layout)
    options = Layout(**given)  # pyright: ignore[reportArgumentType]
    if "'" in (options.study or ""):
        raise UsageError(f"study={options.study}: a name without ' is needed")
    from arena.logger.sender import answers, server
    from arena.reporting.dashboards import workspace

    entity, project = parts
    sections = workspace.layout(options.monitor, options.mode)
    if options.print == "true" or wandb_offline() or not answers(server()):
        found = {"entity": entity, "project": project, "study": options.study, "sections": sections}
        print(json.dumps(found, indent=2))
        if options.print == "false":
            print("arena: nothing was made: no key, or no server that answers", file=sys.stderr)
        return
    if find_spec("wandb_workspaces") is None:
        raise UsageError("the package wandb-workspaces is not installed; pip install 'arena[dashboards]'")
    try:
        for made in workspace.create(entity, project, options.study, sections):
            say(made)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputOutputError(f"{server()}: the workspace was not made ({reason})") from error
