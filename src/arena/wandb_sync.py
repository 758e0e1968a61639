"""`python -m arena.wandb_sync RUN`: a run of W&B rebuilt from the run folder.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

import sys
from typing import Any

from arena.config import restore
from arena.core.console import say, show_messages
from arena.core.errors import UsageError, run_main
from arena.core.paths import shown

USAGE = """python -m arena.wandb_sync RUN [key=value] ...

Rebuilds a run of W&B from metrics.csv, config.yaml, result.json, predictions and report, as the training itself would
have written it: after an outage, or for runs that were trained without W&B. A second call does nothing more; a run that
has grown is written anew under the same id.

  RUN                 a run folder, several ([FOLDER,FOLDER]), or a folder of runs (multirun/STUDY)
  online=false        true: also send it; needs a key (WANDB_API_KEY or netrc) and a server that answers
  project=NAME        of W&B (default: that of the run, else arena)
  entity=NAME         user or team (default: that of the run, else the key's own)
  group=NAME          (default: that of the run, else its study)
  samples=100         rows in the tables of predictions and generations; 0: no such tables
  texts=false         true: the table of generations also holds their texts
"""
DEFAULTS: dict[str, Any] = {
    **{"online": False, "project": None, "entity": None, "group": None, "samples": 100, "texts": False}
}


def check(others: dict[str, Any]) -> None:
    """The values of the command line, before anything heavy.

    Raises:
        UsageError: one of them is wrong; `online=true` without a key.
    """
    from arena.config.resolvers import wandb_offline
    from arena.core.schema import ALIASES

    for key in ("online", "texts"):
        if not isinstance(others[key], bool):
            raise UsageError(f"{key}={others[key]}: true or false is needed")
    if not isinstance(others["samples"], int) or isinstance(others["samples"], bool) or others["samples"] < 0:
        raise UsageError(f"samples={others['samples']}: a whole number, 0 or more, is needed")
    _, wanted, holds = ALIASES["ProjectName"]
    for key in ("project", "entity", "group"):
        value = others[key]
        if value is not None and not (isinstance(value, str) and holds(value)):
            raise UsageError(f"{key}={value}: {wanted} is needed")
    if others["online"] and wandb_offline():
        raise UsageError("online=true: there is no key; set WANDB_API_KEY, or run wandb login")


def synchronise(given: restore.Options) -> None:
    """Rebuild each run, and send it where that is asked for.

    Raises:
        UsageError: see `check`.
        InputOutputError: a run without a journal; a server that does not answer or does not take the run.
    """
    others = given.others
    check(others)
    for run in given.runs:
        restore.settings_of(run)  # a folder that is none is refused before anything heavy
    from arena.reporting.dashboards import rebuild

    for run in given.runs:
        folder, fresh = rebuild.rebuilt(run, others)
        say(f"{run.path}: {'written to' if fresh else 'nothing is new since'} {folder}")
        if others["online"]:
            rebuild.send(folder)
            say(f"{run.path}: sent")
        elif fresh:
            say(f"send it with: wandb sync {shown(folder)}")


def main() -> None:
    """The command line."""

    def command() -> None:
        arguments = [each if "=" in each or each.startswith("-") else f"run={each}" for each in sys.argv[1:]]
        given = restore.options(arguments, DEFAULTS, USAGE, several=True)
        show_messages()
        synchronise(given)

    run_main(command)


if __name__ == "__main__":
    main()
