"""The exploration report: what a set of comparisons holds, as tables, pictures and one HTML page.

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
from arena.reporting import answers, corpus, models, outcomes
from arena.reporting.page import is_ours, page
from arena.reporting.sections import Comparisons, Section, percent
from arena.reporting.statistics import Rate, rate, rate_of
from arena.reporting.text_features import measure

PARTS = ("figures", "tables", "index.html")
"""The page comes last: where it is, the rest is."""


def write(
    output: Path,
    title: str,
    facts: pa.Table,
    texts: Callable[[], Iterator[pa.RecordBatch]],
    tokens: np.ndarray | None = None,
    limits: list[dict[str, Any]] | None = None,
    leaks: list[list[str]] | None = None,
    account: list[list[str]] | None = None,
) -> dict[str, Any]:
    """Write the report into a folder and return its main numbers.

    Args:
        output: the folder; an earlier report in it is replaced, other files in it stay.
        title: heading of the page.
        facts: one row for each comparison: id, winner (model_a, model_b, tie or null), model_a, model_b, language,
            source (strings or null), turns, prompt_characters, response_a_characters, response_b_characters (whole
            numbers), and perhaps group (rows with equal prompts) and split (train, val, test).
        texts: streams the list columns prompt, response_a and response_b in the order of `facts`; called once.
        tokens: of prompt, A and B, `[R, 3]`; None where no tokenizer is known.
        limits: for each length limit `max_length`, `share_cut`, `share_answer_invisible`,
            `share_b_invisible_right_cut` and `kept_tokens_share`.
        leaks: a table of repeated texts, header first; None where nobody looked.
        account: a table of where the rows of the files went, header first.

    Returns:
        rows, labelled, models, languages, winners (name to rate), position, longer_wins (rates), empty, identical,
        refusing (rows), tokens (median, p95, largest; None without), figures, tables, page (path). A rate is a
        dictionary of count, total, value, low, high.

    Raises:
        DataError: there is no row, or the texts or tokens do not fit the facts.
        UsageError: the folder holds something else under the names of the report.
        InputOutputError: the folder cannot be written.
    """
    output = Path(output)
    if facts.num_rows == 0:
        raise DataError("there is no row to explore; check data.path and data.limit")
    if tokens is not None and tokens.shape != (facts.num_rows, 3):
        raise DataError(f"tokens of shape {tokens.shape} do not fit {facts.num_rows} rows; [rows, 3] is needed")
    require_free(output)
    data = Comparisons.from_facts(facts, measure(texts(), facts.num_rows))
    limits = limits or []
    sections = all_sections(data, tokens, limits, leaks, account)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    except OSError as error:
        raise InputOutputError(f"{output}: the report cannot be written ({error.strerror}); choose another") from error
    try:
        fill(partial, title, data, sections)
        move(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary(data, tokens) | {
        "figures": sum(len(section.pictures) for section in sections),
        "tables": sum(len(section.sheets) for section in sections),
        "page": str(output / "index.html"),
    }


def all_sections(
    data: Comparisons,
    tokens: np.ndarray | None,
    limits: list[dict[str, Any]],
    leaks: list[list[str]] | None,
    account: list[list[str]] | None,
) -> list[Section]:
    """Every section, in the order of the page."""
    return [
        corpus.table_section("account", "Where the rows went", account, "No account of the files was given."),
        outcomes.winners(data),
        outcomes.position(data),
        outcomes.length(data),
        outcomes.prompt_length(data),
        answers.style(data),
        answers.oddities(data),
        outcomes.turns(data),
        answers.languages(data),
        models.usage(data),
        models.win_rates(data),
        models.pairs(data),
        corpus.token_lengths(tokens, limits),
        corpus.truncation(data.rows, limits),
        corpus.splits(data),
        corpus.table_section("leaks", "Repeated texts", leaks, "Repeated texts were not looked for."),
    ]


def fill(folder: Path, title: str, data: Comparisons, sections: list[Section]) -> None:
    """Write pictures, tables and the page into an empty folder."""
    figures, tables = folder / "figures", folder / "tables"
    figures.mkdir()
    tables.mkdir()
    for section in sections:
        for sheet in section.sheets:
            sheet.write(tables)
    notes = [
        "Rates come with the number of rows behind them and a 95% interval (Wilson's), drawn as a line through each "
        "mark. The intervals take rows as independent."
    ]
    if data.group is not None:
        repeated = rate(*repeated_prompts(data.group))
        if repeated.count:
            notes.append(
                f"{percent(repeated.value)} of the rows share their prompt with another "
                f"({len(np.unique(data.group)):,} different prompts in all), so the true intervals are wider."
            )
    made = page(title, headline(data), notes, sections, figures)
    (folder / "index.html").write_text(made, encoding="utf-8", errors="replace")


def repeated_prompts(group: np.ndarray) -> tuple[int, int]:
    """Rows whose group has another row, and all rows."""
    _, member, size = np.unique(group, return_inverse=True, return_counts=True)
    return int((size[member] > 1).sum()), len(group)


def headline(data: Comparisons) -> list[tuple[str, str]]:
    """The numbers at the top of the page."""
    ties = rate_of(data.winner == outcomes.TIE, data.labelled)
    return [
        ("rows", f"{data.rows:,}"),
        ("labelled", f"{int(data.labelled.sum()):,}"),
        ("models", f"{len(data.models):,}" if data.models else "unknown"),
        ("languages", f"{len(data.languages):,}" if data.languages else "unknown"),
        ("ties", percent(ties.value)),
        ("longer answer wins", percent(outcomes.longer_wins(data).value)),
    ]


def summary(data: Comparisons, tokens: np.ndarray | None) -> dict[str, Any]:
    """The main numbers of the report in JSON's types."""
    features = data.features
    position = rate_of(data.winner == outcomes.A, data.decided)
    found = {
        "rows": data.rows,
        "labelled": int(data.labelled.sum()),
        "models": len(data.models),
        "languages": len(data.languages),
        "winners": dict(zip(outcomes.OUTCOMES, map(as_dict, outcomes.outcome_rates(data)), strict=True)),
        "position": as_dict(position),
        "longer_wins": as_dict(outcomes.longer_wins(data)),
        "empty": int(features.empty.any(axis=1).sum()),
        "identical": int(features.identical.sum()),
        "refusing": int(features.refusal.any(axis=1).sum()),
        "tokens": None,
    }
    if tokens is not None:
        total = tokens.sum(axis=1)
        ends = (float(np.median(total)), float(np.quantile(total, 0.95)), int(total.max()))
        found["tokens"] = dict(zip(("median", "p95", "largest"), ends, strict=True))
    return found


def as_dict(found: Rate) -> dict[str, float]:
    """A rate as a dictionary."""
    return found._asdict()


def require_free(output: Path) -> None:
    """Raise a `UsageError` where the folder holds files under our names that no report has put there."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; choose a folder for the report")
    taken = [name for name in PARTS if (output / name).exists()]
    if not taken:
        return
    if not is_ours(output / "index.html"):
        raise UsageError(f"{output}: holds {', '.join(taken)} of something else; choose another folder for the report")


def move(partial: Path, output: Path) -> None:
    """Put the finished parts in place; what they replace goes with the temporary folder."""
    try:
        output.mkdir(exist_ok=True)
        # Without its page an interrupted exchange would not be recognised as ours, so an old page goes last too.
        for name in PARTS:
            if (output / name).is_dir():
                os.replace(output / name, partial / f"old-{name}")
            os.replace(partial / name, output / name)
    except OSError as error:
        raise InputOutputError(f"{output}: the report cannot be moved in place ({error.strerror})") from error
