"""`python -m arena.dashboard ENTITY/PROJECT`: the workspace and the report of a project of W&B.

Nothing heavy is imported at the top: a wrong command line is answered before anything is loaded.
"""

import json
import sys
from importlib.util import find_spec
from typing import Any

from arena.core.console import say, show_messages
from arena.core.errors import InputOutputError, UsageError, run_main
from arena.core.schema import ALIASES, closest

USAGE = """python -m arena.dashboard ENTITY/PROJECT [key=value] ...

Makes a workspace and a report with sections for validation metrics, calibration, classes, diversity, sweep (parallel
coordinates, importance) and system. Without a key or a network it prints the layout as JSON and makes nothing.
Needs pip install 'arena[dashboards]' to make them.

  study=NAME               only the trials of this study (default: all runs)
  monitor=val/log_loss     the value that the sweep is about
  mode=min                 min or max: which of its values is the best
  print=false              true: print the layout, make nothing
"""
DEFAULTS = {"study": None, "monitor": "val/log_loss", "mode": "min", "print": "false"}


def read(arguments: list[str]) -> tuple[str, str, dict[str, Any]]:
    """Entity, project and options of a command line.

    Raises:
        SystemExit: after `--help`.
        UsageError: a key that does not exist, or a value of a wrong kind.
    """
    if {"--help", "-h"} & set(arguments):
        print(USAGE)
        raise SystemExit(0)
    places = [each for each in arguments if "=" not in each]
    given = dict(each.split("=", 1) for each in arguments if "=" in each)
    for key in given:
        if key not in DEFAULTS:
            raise UsageError(f"{key}: no such key{closest(key, DEFAULTS)}")
    if len(places) != 1 or places[0].count("/") != 1:
        raise UsageError(f"{' '.join(places) or 'ENTITY/PROJECT'}: one ENTITY/PROJECT is needed (see --help)")
    entity, project = places[0].split("/")
    _, wanted, holds = ALIASES["ProjectName"]
    for name, value in (("ENTITY", entity), ("PROJECT", project), ("study", given.get("study", "x"))):
        if not holds(value) or "'" in value:
            raise UsageError(f"{name}={value}: {wanted} is needed")
    options = DEFAULTS | given
    if options["mode"] not in ("min", "max"):
        raise UsageError(f"mode={options['mode']}: one of min, max is needed")
    if options["print"] not in ("true", "false"):
        raise UsageError(f"print={options['print']}: true or false is needed")
    return entity, project, options


def dashboard(arguments: list[str]) -> None:
    """Print the layout, or make the workspace and the report.

    Raises:
        UsageError: see `read`; the package is not installed.
        InputOutputError: the server did not take them.
    """
    from arena.config.resolvers import wandb_offline
    from arena.logger.sender import answers, server
    from arena.reporting.dashboards import workspace

    entity, project, options = read(arguments)
    sections = workspace.layout(options["monitor"], options["mode"])
    if options["print"] == "true" or wandb_offline() or not answers(server()):
        found = {"entity": entity, "project": project, "study": options["study"], "sections": sections}
        print(json.dumps(found, indent=2))
        if options["print"] != "true":
            print("arena: nothing was made: no key, or no server that answers", file=sys.stderr)
        return
    if find_spec("wandb_workspaces") is None:
        raise UsageError("the package wandb-workspaces is not installed; pip install 'arena[dashboards]'")
    try:
        for address in workspace.create(entity, project, options["study"], sections):
            say(address)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputOutputError(f"{server()}: the workspace was not made ({reason})") from error


def main() -> None:
    """The command line."""

    def command() -> None:
        show_messages()
        dashboard(sys.argv[1:])

    run_main(command)


if __name__ == "__main__":
    main()
