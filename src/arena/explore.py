"""`python -m arena.explore data=... output=DIR`: what a set of comparisons is like, before training on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.config import build
from arena.config.options import entry_point, option
from arena.core import paths
from arena.core.console import echo
from arena.core.schema import Count, InputPath, OutputPath


@dataclass(frozen=True, kw_only=True)
class ExploreOptions:
    """python -m arena.explore data=pairs data.path=FILE output=DIR [model=NAME] [key=value] ...

    Reads, checks, groups and splits the rows exactly as arena.train would, prints where they went and what leaks, and
    writes one page (DIR/index.html) with its pictures (DIR/figures) and tables (DIR/tables): winners, models, win
    rates, length, punctuation and markdown, turns, languages, token lengths and truncation, duplicates, class shares
    per split.
    """

    configuration: list[str] = option(
        "as for arena.train, with every data.* key (data.limit=1000, data.fold=0 data.folds=5, ...); model=qwen05b is "
        "whose tokenizer counts, the default counts bytes, model.path=FOLDER takes a local one",
        default=[],
        placeholder="data=... data.path=...",
        takes="overrides",
    )
    output: OutputPath = option("where the page goes; an older one there is replaced", placeholder="DIR")
    limits: list[Count] = option(
        "lengths for which the share of rows that would be truncated is shown",
        default=[256, 512, 1024, 2048, 4096, 8192],
    )
    other: InputPath | None = option(
        "also look for rows of this file in the data (a test file, another data set)", default=None, placeholder="FILE"
    )


def explore(options: ExploreOptions) -> dict[str, Any]:
    """Read, split, look for leaks, count, draw; returns what was written to `summary.json`."""
    output = Path(options.output).expanduser()
    settings = build.data_settings(options.configuration, output, "explore")
    from arena.reporting.exploration import require_free

    require_free(output)
    build.preflight(settings)
    if options.other:
        build.instantiate(settings["data"]["reader"]).open(options.other)
    build.quiet()
    from arena.reporting import explored

    found = explored.explored(output, settings, options.limits, options.other)
    echo(explored.headline(found))
    echo(f"page written to {paths.quote_path(output / 'index.html')}")
    return found


main = entry_point(explore, ExploreOptions)

if __name__ == "__main__":
    main()
