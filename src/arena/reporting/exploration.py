"""The exploration report: a set of comparisons as tables, pictures and one HTML page.

index.html         everything, in one file that needs nothing else        figures/*.png    its pictures
tables/*.csv       its tables, with unrounded numbers
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from arena.core.errors import DataError, InputOutputError, UsageError
from arena.reporting import figures, matrices, sections
from arena.reporting.comparisons import OUTCOMES, A, Comparisons
from arena.reporting.page import Sheet, is_ours, render
from arena.reporting.statistics import rate_of
from arena.reporting.text_features import measure

GENERATOR = "arena exploration"
PARTS = ("figures", "tables", "index.html")
"""The page comes last: where it is, the rest is."""


def write(
    output: Path,
    title: str,
    metadata: pa.Table,
    texts: Callable[[], Iterator[pa.RecordBatch]],
    tokens: np.ndarray | None = None,
    limits: list[dict[str, Any]] | None = None,
    leaks: list[list[Any]] | None = None,
    account: list[list[Any]] | None = None,
) -> dict[str, Any]:
    """Write the report into a folder, in the place of an earlier one, and return its main numbers.

    Args:
        output: the folder; other files in it stay.
        title: heading of the page.
        metadata: one row for each comparison: id, winner (model_a, model_b, tie or null), model_a, model_b, language,
            source (strings or null), turns, prompt_characters, response_a_characters, response_b_characters (whole
            numbers), and perhaps group (rows with equal prompts) and split (train, val, test).
        texts: streams the list columns prompt, response_a and response_b in the order of `metadata`; called once.
        tokens: of prompt, A and B, `[R, 3]`; None where no tokenizer is known.
        limits: for each length limit `max_length`, `share_cut`, `share_answer_invisible`,
            `share_b_invisible_right_cut` and `kept_tokens_share`.
        leaks, account: tables of repeated texts, and of rows read, rejected and used, header first.

    Raises:
        DataError: there is no row, or the texts or tokens do not fit the rows.
        UsageError: the folder holds something else under the names of the report.
        InputOutputError: the folder cannot be written.
    """
    output, limits = Path(output), limits or []
    if metadata.num_rows == 0:
        raise DataError("there is no row to explore; check data.path and data.limit")
    if tokens is not None and tokens.shape != (metadata.num_rows, 3):
        raise DataError(f"tokens of shape {tokens.shape} do not fit {metadata.num_rows} rows; [rows, 3] is needed")
    require_free(output)
    data = Comparisons.from_table(metadata, measure(texts(), metadata.num_rows))
    found = summary(data, tokens)
    values = section_values(data, tokens, limits) | {
        "account": _given("account", "Where the rows went", account), "leaks": _given("leaks", "Repeated texts", leaks)
    }  # fmt: skip
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except OSError as error:
        raise InputOutputError(f"{output}: the report cannot be written ({error.strerror}); choose another") from error
    try:
        _fill(partial, title, data, found, values)
        numbers = {part: len(list((partial / part).iterdir())) for part in PARTS[:2]}
        move(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return found | numbers | {"page": str(output / "index.html")}


def _fill(folder: Path, title: str, data: Comparisons, found: dict[str, Any], values: dict[str, Any]) -> None:
    """Write tables, pictures and the page."""
    for part in PARTS[:2]:
        (folder / part).mkdir()
    for each in values.values():
        if "sheet" in each:
            each["sheet"].write(folder / "tables")
    page = render(
        "exploration.html", folder / "figures", title=title, generator=GENERATOR, data=data, found=found,
        longer=sections.longer_wins(data), repeated=repeated_prompts(data.group),
        figures=figures, matrices=matrices,
        all_series=sections.all_series, **values,
    )  # fmt: skip
    (folder / "index.html").write_text(page, encoding="utf-8", errors="replace")


def section_values(data: Comparisons, tokens: np.ndarray | None, limits: list[dict[str, Any]]) -> dict[str, Any]:
    """The values of each section by its name."""
    return {
        "winners": sections.winners(data), "position": sections.position(data), "length": sections.length(data),
        "prompt_length": sections.prompt_length(data), "style": sections.style(data),
        "odd_answers": sections.oddities(data), "turns": sections.turns(data), "languages": sections.languages(data),
        "models": sections.models(data), "win_rates": sections.win_rates(data), "pairs": sections.pairs(data),
        "tokens": sections.token_lengths(tokens), "truncation": sections.truncation(data.rows, limits),
        "splits": sections.splits(data),
    }  # fmt: skip


def _given(name: str, caption: str, lines: list[list[Any]] | None) -> dict[str, Any]:
    """A section that only shows a table that somebody else made."""
    return {"sheet": Sheet(name, caption, lines)} if lines and len(lines) > 1 else {}


def repeated_prompts(group: np.ndarray | None) -> tuple[int, int]:
    """Rows whose group has another row, and the number of groups."""
    if group is None:
        return 0, 0
    _, member, size = np.unique(group, return_inverse=True, return_counts=True)
    return int((size[member] > 1).sum()), len(size)


def summary(data: Comparisons, tokens: np.ndarray | None) -> dict[str, Any]:
    """The main numbers of the report in JSON's types."""
    winners = [rate_of(data.winner == outcome, data.labelled)._asdict() for outcome in range(3)]
    total = None if tokens is None else tokens.sum(axis=1)
    return {
        "rows": data.rows,
        "labelled": int(data.labelled.sum()),
        "models": len(data.models),
        "languages": len(data.languages),
        "winners": dict(zip(OUTCOMES, winners, strict=True)),
        "position": rate_of(data.winner == A, data.decided)._asdict(),
        "longer_wins": sections.longer_wins(data)._asdict(),
        "empty": int(data.features.empty.any(axis=1).sum()),
        "identical": int(data.features.identical.sum()),
        "refusing": int(data.features.refusal.any(axis=1).sum()),
        "tokens": None if total is None else {
            "median": float(np.median(total)), "p95": float(np.quantile(total, 0.95)), "largest": int(total.max()),
        },
    }  # fmt: skip


def require_free(output: Path) -> None:
    """Raise a `UsageError` where the folder holds files under our names that no report has put there."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; choose a folder for the report")
    taken = [name for name in PARTS if (output / name).exists()]
    if taken and not is_ours(output / "index.html", GENERATOR):
        raise UsageError(f"{output}: holds {', '.join(taken)} of something else; choose another folder for the report")


def move(partial: Path, output: Path) -> None:
    """Put the finished parts in place; the replaced ones go with the temporary folder."""
    try:
        output.mkdir(exist_ok=True)
        # Without its page an interrupted exchange would not be recognised as ours, so an old page goes last too.
        for name in PARTS:
            if (output / name).is_dir():
                os.replace(output / name, partial / f"old-{name}")
            os.replace(partial / name, output / name)
    except OSError as error:
        raise InputOutputError(f"{output}: the report cannot be moved in place ({error.strerror})") from error
