"""`python -m arena.explore data=... output=DIR`: what a set of comparisons is like, before training on it."""

import json
import sys
from pathlib import Path
from typing import Any

from arena.config import build
from arena.config import compose as config
from arena.config.pairing import kind_of
from arena.core import paths
from arena.core.console import say, show_messages
from arena.core.errors import UsageError, run_main

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
    if {"--help", "-h"} & set(arguments):
        print(USAGE)
        raise SystemExit(0)
    own: dict[str, Any] = {"output": None, "limits": None, "other": None}
    rest = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in own:
            own[key] = paths.unquoted(value)
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
    """Read, split, look for leaks, count, draw; returns what was written to `summary.json`."""
    output = Path(own["output"]).expanduser()
    config.register_resolvers()
    settings = config.typed_settings(overrides, str(output.absolute()))
    kind_of(settings).require("explore")
    if "pretrained" in settings["model"]:
        settings["model"]["pretrained"] = False  # the weights are not looked at
    from arena.reporting.exploration import require_free

    require_free(output)
    build.preflight(settings)
    if own["other"]:
        build.instantiate(settings["data"]["reader"]).open(own["other"])
    build.quiet()
    from arena.core.run import plain, write_atomically
    from arena.data.text.truncation import truncation
    from arena.reporting import exploration

    data = build.data(settings)
    data.setup()
    reports = leaks(data, own["other"])
    for report in reports.values():
        say("\n".join(report.lines()))
    turns, layout = data.sequences.turns, data.sequences.layout
    least = layout.base + layout.per_turn + 3
    limits = truncation(turns, layout, [n for n in own["limits"] if n >= least], data.room.cut, data.room.turns)
    tables = (leak_table(reports), account_table(data.summary()))
    found = exploration.write(
        output, title(settings), data.table, data.texts, turns.field_counts(), limits, *tables
    )  # fmt: skip
    found |= {"data": data.summary(), "truncation": limits}
    found |= {"leaks": {name: report.to_dict() for name, report in reports.items()}}
    write_atomically(output / "summary.json", json.dumps(plain(found), indent=2, ensure_ascii=False) + "\n")
    return found


def leaks(data: Any, other: str | None) -> dict[str, Any]:
    """The leak report of the splits, and of another file against all rows where one is given."""
    from arena.data.split.leaks import leak_report, leaks_between

    threshold = data.division.near_duplicates or 0.8
    say(f"looking for repeats (near ones from a Jaccard similarity of {threshold:g})")
    reports = {"splits": leak_report(data.source, data.positions, data.table["split"].to_pylist(), threshold)}
    if other:
        rows = data.reader(other, data.ingest.rules, data.cache, None)
        reports["files"] = leaks_between(data.source, rows, threshold, ("data", Path(other).name))
    return reports


def leak_table(reports: dict[str, Any]) -> list[list[str]]:
    """The leak reports as one table, header first."""
    lines = [["repeat", "rows with one in another part", "rows with one in the same part", "parts"]]
    for report in reports.values():
        for kind, overlap in report.overlap.items():
            same = int(overlap.trace())
            lines.append([kind, f"{report.crossing[kind]:,}", f"{same:,}", ", ".join(report.parts)])
    return lines


def account_table(summary: dict[str, Any]) -> list[list[str]]:
    """Where the rows went, header first."""
    from arena.data.source.cells import CODES

    lines = [["what", "rows"], ["read", f"{summary['rows_read']:,}"]]
    lines += [[f"rejected: {CODES[code]}", f"{rows:,}"] for code, rows in summary["reject_codes"].items()]
    lines += [["merged", f"{summary['rows_merged']:,}"]] if summary["rows_merged"] else []
    lines += [[f"left out ({reason})", f"{rows:,}"] for reason, rows in summary["rows_dropped"].items()]
    lines += [["used", f"{summary['rows_kept']:,}"]]
    lines += [[f"noted: {CODES[code]}", f"{rows:,}"] for code, rows in summary["notes"].items()]
    return lines


def title(settings: dict[str, Any]) -> str:
    """The name of the data: of the file, with its folder where the file's own name says nothing."""
    path = settings["data"]["path"]
    if not isinstance(path, str):
        return "comparisons" if path is None else ", ".join(Path(place).name for place in path)
    place = Path(path)
    return f"{place.absolute().parent.name}/{place.name}" if place.stem in ("data", "train", "test") else place.name


def headline(found: dict[str, Any]) -> str:
    """The numbers that one wants to know first, in a few lines."""
    data = found["data"]

    def shown(rate: dict[str, Any]) -> str:
        low, high = rate["low"], rate["high"]
        return f"{rate['value']:.1%} ({low:.1%} to {high:.1%} of {rate['total']})" if rate["total"] else "no rows"

    lines = [
        f"{data['rows_read']} rows read, {data['rows_kept']} used: "
        + ", ".join(f"{rows} {split} ({data['groups'][split]} groups)" for split, rows in data["splits"].items()),
        f"the longer answer wins {shown(found['longer_wins'])}; answer A wins {shown(found['position'])}",
    ]
    lines += [
        f"at {limit['max_length']} tokens {limit['share_cut']:.1%} of the rows are cut; cut at the right end, answer B "
        f"would be invisible in {limit['share_b_invisible_right_cut']:.1%}"
        for limit in found["truncation"]
    ]
    return "\n".join(lines)


def main() -> None:
    """The command line."""

    def command() -> None:
        own, overrides = options(sys.argv[1:])
        show_messages()
        say(headline(explore(own, overrides)))
        say(f"page written to {paths.shown(Path(own['output']) / 'index.html')}")

    run_main(command)


if __name__ == "__main__":
    main()
