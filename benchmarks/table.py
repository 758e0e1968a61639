"""The table that every benchmark prints."""

import statistics


def spread(values: list[float], digits: int = 1) -> str:
    """`median (lowest-highest)`."""
    low, middle, high = (f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}-{high})"


def aligned(lines: list[list[str]]) -> str:
    """Cells in columns; the first line holds the titles."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
