"""Links in folders that may be somebody else's."""

import os
from pathlib import Path

from arena.core.errors import DataError


def refuse_links_out(folder: Path) -> None:
    """Insist that no link below a folder leads out of it: what is written there would change files elsewhere.

    Files that W&B links in its own folder (a log in the user's cache) are only linked, never opened by arena.

    Raises:
        DataError: one does.
    """
    home = folder.resolve()
    for place, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(place, name)
            harmless = Path(place).is_relative_to(home / "wandb") and not path.is_dir()
            if path.is_symlink() and not harmless and not path.resolve().is_relative_to(home):
                raise DataError(f"{path}: a link that leads out of {folder}; put what it leads to in its place")
