"""What a person sees of a sweep while it runs: a live table on a terminal, plain lines elsewhere."""

from pathlib import Path
from typing import Any, Self

from arena.sweep.outcome import Outcome


class Watch:
    """Context manager around a sweep; the sweep tells it what happens.

    Args:
        total: trials that the sweep is to have in the end.
        directions: `minimize` or `maximize` of each objective.
        names: of the objectives.
        done: trials that were finished before.
    """

    def __init__(self, total: int, directions: list[str], names: list[str], done: int = 0) -> None:
        self.total = total
        self.directions = directions
        self.names = names
        self.done = done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def started(self, number: int, params: dict[str, Any]) -> None:
        """A trial's process was started."""

    def progress(self, number: int, folder: str | Path) -> None:
        """Look how far a running trial is; cheap enough for every turn of the loop."""

    def finished(self, number: int, outcome: Outcome) -> None:
        """A trial is over."""

    def note(self, text: str) -> None:
        """A line for the person, above the table."""
