"""`python -m arena.explore data=... output=DIR`: what a set of comparisons is like, before training on it."""

import json
from pathlib import Path
from typing import Any

from arena.config import build
from arena.config.overrides import divided
from arena.core import paths
from arena.core.console import answer_help, run_command, say
from arena.core.errors import UsageError

USAGE = """python -m arena.explore data=pairs data.path=FILE output=DIR [model=NAME] [key=value] ...

Reads, checks, groups and splits the rows exactly as arena.train would, prints where they went and what leaks, and
writes one page (DIR/index.html) with its pictures (DIR/figures) and tables (DIR/tables): winners, models, win rates,
length, punctuation and markdown, turns, languages, token lengths and truncation, duplicates, class shares per split.

  data=... data.path=...   as for arena.train, with every data.* key (data.limit=1000, data.fold=0 data.folds=5, ...)
  model=qwen05b            whose tokenizer counts; the default counts bytes. model.path=FOLDER takes a local one
  output=DIR               where the page goes; an older one there is replaced
  limits=[512,1024,2048]   lengths for which the share of rows that would be cut is shown
  other=FILE               also look for rows of this file in the data (a test file, another data set)

Exit codes: 0 ok, 2 usage or config, 65 data, 74 input/output.
"""
LIMITS = [256, 512, 1024, 2048, 4096, 8192]


def options(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The keys of this command, and the rest, which is a configuration.

    Raises:
        SystemExit: after `--help`.
        UsageError: no `output`, or limits that are no list of whole numbers.
    """
    answer_help(arguments, USAGE)
    given, rest = divided(arguments, ("output", "limits", "other"))
    if not given.get("output"):
        raise UsageError("output: a value is needed; give output=DIR")
    chosen: Any = LIMITS
    if given.get("limits"):
        try:
            chosen = json.loads(given["limits"])
        except ValueError:
            chosen = None
        if not (isinstance(chosen, list) and all(isinstance(n, int) and n > 0 for n in chosen)):
            raise UsageError(f"limits={given['limits']}: a list of whole numbers is needed, as in limits=[512,1024]")
    return {"other": None, **given, "limits": chosen}, rest


def explore(own: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Read, split, look for leaks, count, draw; returns what was written to `summary.json`."""
    output = Path(own["output"]).expanduser()
    settings = build.data_settings(overrides, output, "explore")
    from arena.reporting.exploration import require_free

    require_free(output)
    build.preflight(settings)
    if own["other"]:
        build.instantiate(settings["data"]["reader"]).open(own["other"])
    build.quiet()
    from arena.reporting import explored

    found = explored.explored(output, settings, own["limits"], own["other"])
    say(explored.headline(found))
    say(f"page written to {paths.shown(output / 'index.html')}")
    return found


def main() -> None:
    """The command line."""
    run_command(lambda typed: explore(*options(typed)))


if __name__ == "__main__":
    main()
