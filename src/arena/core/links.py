"""Links in folders that may be somebody else's."""

import os
from pathlib import Path

from arena.errors import DataError


def refuse_links_out(folder: Path) -> None:
    """Insist that no link below a folder leads out of it: what is written there would change files elsewhere.

    Raises:
        DataError: one does.
    """
    home = folder.resolve()
    for place, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise DataError(f"{path}: a link that leads out of {folder}; put what it leads to in its place")
