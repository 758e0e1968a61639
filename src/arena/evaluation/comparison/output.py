"""A comparison, or a sweep side by side, as files and as lines."""

from pathlib import Path
from typing import Any

from arena.core.console import say
from arena.core.paths import shown
from arena.core.run import plain, write_atomically, write_json
from arena.evaluation import show
from arena.evaluation.comparison import frontier, tables
from arena.reporting.comparison import forest
from arena.reporting.frontier import picture


def write_comparison(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Write and print what `arena.evaluation.comparison.whole.compare_arms` found; returns `comparison.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    forest(folder / "comparison.png", found)
    tell_recipes(found)
    prompts = f", {found['prompts']} prompts with samples" if "prompts" in found else ""
    return _written(folder / "comparison", found, tables.tsv_of(found), tables.lines_of(found), prompts)


def write_frontier(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Write and print what `arena.evaluation.comparison.frontier.frontier` found; returns `frontier.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    picture(folder / "frontier.png", found)
    return _written(folder / "frontier", found, frontier.tsv_of(found), frontier.lines_of(found))


def _written(place: Path, found: dict[str, Any], tsv: str, lines: list[list[str]], besides: str = "") -> dict[str, Any]:
    """Write the table, and then the json file: whoever sees that sees all of it; print table, notes and verdict."""
    write_atomically(place.with_suffix(".tsv"), tsv)
    write_json(place.with_suffix(".json"), found)
    show.printed(f"{found['split']}: {found['rows']} rows, {found['groups']} groups{besides}", lines)
    if mcnemar := found.get("measures", {}).get("accuracy", {}).get("mcnemar"):
        say(
            f"{mcnemar['only_other']} rows only other has right, {mcnemar['only_base']} only base (McNemar p "
            f"{mcnemar['p']:.3f}, which takes rows as independent)"
        )
    for line in (*found["notes"], *([found["verdict"]["line"]] if "verdict" in found else [])):
        say(line)
    say(f"written to {shown(place.parent)}")
    return plain(found)


def tell_recipes(found: dict[str, Any]) -> None:
    """Print the runs of both arms, and in which keys their recipes differ."""
    for arm in ("base", "other"):
        runs = found[arm]["runs"]
        say(f"{arm} {runs[0]}{f' and {len(runs) - 1} more seeds' if len(runs) > 1 else ''}")
    apart = found["recipes_differ_in"]
    for each in apart[:8]:
        say(f"  {each['key']}: {each['base']} -> {each['other']}")
    if len(apart) > 8:
        say(f"  and {len(apart) - 8} more keys (comparison.json)")
