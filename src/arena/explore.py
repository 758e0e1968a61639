"""`python -m arena.explore data=... output=DIR`: what a set of comparisons is like, before training on it."""

import json
import sys
from pathlib import Path
from typing import Any

from arena import build, config
from arena.console import say
from arena.errors import UsageError, run_main

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
    if {"--help", "-h"} & set(arguments) or not arguments:
        print(USAGE)
        raise SystemExit(0)
    own = {"output": None, "limits": None, "other": None}
    rest = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in own:
            own[key] = value
        else:
            rest.append(argument)
    if not own["output"]:
        raise UsageError("output: a value is needed; give output=DIR")
    chosen: Any = LIMITS
    if own["limits"]:
        try:
            chosen = json.loads(own["limits"])
        except ValueError:
            chosen = None
        whole = isinstance(chosen, list) and all(isinstance(n, int) and n > 0 for n in chosen)
        if not whole:
            raise UsageError(f"limits={own['limits']}: a list of whole numbers is needed, as in limits=[512,1024]")
    return own | {"limits": chosen}, rest


def explore(own: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Read, split, look for leaks, count, draw; returns the numbers of the page."""
    output = Path(own["output"]).expanduser()
    config.register_resolvers()
    settings = config.settings_of(overrides, run_dir=str(output.absolute()))
    settings["model"]["pretrained"] = False  # the weights are not looked at
    build.preflight(settings)
    if own["other"]:
        build.instantiate(settings["data"]["reader"]).open(own["other"])
    build.quiet()
    from arena.data.leaks import leak_report
    from arena.data.text import truncation
    from arena.report import exploration

    data = build.data(settings)
    data.setup()
    say(f"{data.table.num_rows} rows; looking for repeats")
    threshold = data.near_duplicates or 0.8
    within = leak_report(data.source, data.positions, data.table["split"].to_pylist(), threshold)
    for line in within.lines():
        say(line)
    turns, layout = data.sequences.turns, data.sequences.layout
    least = layout.base + layout.per_turn + 3
    limits = truncation(turns, layout, [n for n in own["limits"] if n >= least], data.room.cut, data.room.turns)
    return exploration.write(output, title(settings), data.table, data.texts, turns.field_counts(), limits, None, None)


def title(settings: dict[str, Any]) -> str:
    """The name of the data."""
    path = settings["data"]["path"]
    return Path(path).name if isinstance(path, str) else "comparisons"


def main() -> None:
    """The command line."""

    def command() -> None:
        own, overrides = options(sys.argv[1:])
        found = explore(own, overrides)
        say(f"page written to {Path(own['output']) / 'index.html'}")
        del found

    run_main(command)


if __name__ == "__main__":
    main()
