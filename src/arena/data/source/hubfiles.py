"""The files of a data set on the Hugging Face hub, on this machine.

The library `datasets` knows which files a split has; it does not read them, because its readers guess: they turn
"null" into a missing value, dates in a text into time stamps, and a short csv row into a row with missing cells.
"""

import tempfile
from pathlib import Path

from arena.core.errors import InputOutputError, UsageError, first_line
from arena.core.hub import reachable


def find(repo: str, file: str | None = None, split: str | None = None) -> list[Path]:
    """The files of one split, from the local cache, otherwise from the hub if it answers within seconds.

    Args:
        repo: name on the hub, or a folder laid out like a repository.
        file: one file in it, whatever the splits are.
        split: needed where there are several, unless one is called train.

    Raises:
        InputOutputError: the data set is not on this machine and the hub cannot be reached, or it refuses.
        UsageError: there is no such split.
    """
    local = Path(repo).expanduser()
    if file is not None:
        return [local / file if local.is_dir() else download(repo, file)]
    place = str(local) if local.is_dir() else repo if reachable() else str(_snapshot(repo))
    import datasets

    try:
        with tempfile.TemporaryDirectory() as empty:
            builder = datasets.load_dataset_builder(place, cache_dir=empty)
            splits = {str(name): list(files) for name, files in (builder.config.data_files or {}).items()}
    except Exception as error:  # the library raises many unrelated types; each means the same to the reader
        reason = f"cannot be opened ({first_line(error)})"
        raise InputOutputError(f"data set {repo}: {reason}; download it and give data.path=<file or folder>") from error
    if split is None:
        split = next(iter(splits)) if len(splits) == 1 else "train"
    if split not in splits:
        raise UsageError(f"data.reader.split={split}: data set {repo} has {', '.join(splits) or 'no files'}")
    found = []
    for name in splits[split]:
        # hf://datasets/OWNER/NAME@REVISION/PATH: `datasets` always names the revision.
        revision, _, inside = name.partition("@")[2].partition("/")
        found.append(download(repo, inside, revision) if name.startswith("hf://") else Path(name))
    return found


def download(repo: str, file: str, revision: str | None = None) -> Path:
    """One file of a hub data set: from the local cache, otherwise from the hub if it answers within seconds."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    known = try_to_load_from_cache(repo, file, repo_type="dataset", revision=revision)
    if isinstance(known, str):
        return Path(known)
    advice = f"download {file} and give data.path=<file>"
    if not reachable():
        raise InputOutputError(f"data set {repo}: the hub cannot be reached; {advice}")
    try:
        return Path(hf_hub_download(repo, file, repo_type="dataset", revision=revision))
    except Exception as error:
        raise InputOutputError(f"data set {repo}: the hub refused ({first_line(error)}); {advice}") from error


def _snapshot(repo: str) -> Path:
    """The folder of a data set in the local hub cache."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, repo_type="dataset", local_files_only=True))
    except Exception as error:
        why = "not on this machine and the hub cannot be reached"
        raise InputOutputError(f"data set {repo}: {why}; download it and give data.path=<file or folder>") from error
