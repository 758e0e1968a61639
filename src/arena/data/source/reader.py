"""Reads files, whoever wrote them, into the `Rows` of one data set.

Three steps: `files` yields the records of csv, jsonl and parquet files, a `Format` makes a row of each, and `ingest`
accounts for all of them. What was read once is kept on disk, named after the bytes of the files.
"""

import logging
from collections.abc import Sequence
from copy import copy
from pathlib import Path

from arena.core.cache import cached, file_fingerprint, key_of
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.data.source import hubfiles
from arena.data.source.files import kind_of, read_columns
from arena.data.source.formats import Format
from arena.data.source.ingest import DATA_VERSION, READER_VERSION, Ingest, ingest
from arena.data.source.rows import IngestStatistics, Rows

log = logging.getLogger("arena")


class FileReader:
    """Reads csv, jsonl (either may end in .gz) or parquet files; a kind of row is a subclass.

    Args:
        repo: data set on the Hugging Face hub, or a folder laid out like one, used when no path is given:
            `lmarena-ai/arena-human-preference-55k`.
        file: one file in that repository, e.g. `train.csv`; all files of the split by default.
        split: the split of the repository, where it has several.

    Attributes:
        unit: what the rows are, in messages.
        labelled: columns with labels must be there.
        settings: everything that decides how files are read, as text; part of the data's fingerprint.
    """

    unit = "rows"
    labelled = True
    settings = ""

    def __init__(self, repo: str | None = None, file: str | None = None, split: str | None = None) -> None:
        if repo is None and (file is not None or split is not None):
            raise UsageError("data.reader.file and data.reader.split need data.reader.repo=<data set on the hub>")
        self.repo, self.file, self.split = repo, file, split

    def format_of(self, path: Path, columns: list[str]) -> Format:
        """The format of a file with these columns; raises a `DataError` where they cannot be read so."""
        raise NotImplementedError

    def __call__(
        self,
        path: str | Sequence[str] | None = None,
        ingest_settings: Ingest | None = None,
        cache: Path | None = None,
        stand_ins: bool = False,
    ) -> Rows:
        """The rows of all files.

        Args:
            path: a file, a folder (all csv, jsonl and parquet files below it), or several; the repository by default.
            ingest_settings: what to do with records that cannot be used; by default the first one ends the work.
            cache: folder where rows are kept for the next time; None for a folder that this process deletes.
            stand_ins: leave a row with the id and no text in the place of every record that cannot be used.

        Raises:
            UsageError: neither a path nor a repository is known.
            InputOutputError: a file or the hub cannot be read.
            DataError: unknown columns, bad records that are not allowed, no row.
        """
        how = ingest_settings or Ingest()
        paths = self.files(path)
        names, before = names_of(paths), _stamps(paths)
        forms = [form for _, _, form in self._opened(paths)]
        prints = [(name, file_fingerprint(place)) for name, place in zip(names, paths, strict=True)]
        action = ("stand_in", 1.0) if stand_ins else (how.on_bad_row, how.max_rejected)
        settings = (self.settings, [("max_rejected", action[1]), ("on_bad_row", action[0]), ("repair", False)])
        key = key_of(READER_VERSION, *settings, prints)
        rejects = Path(how.rejects) if how.rejects else cache and cache / f"rejects-{key}.jsonl"

        def build(folder: Path) -> None:
            ingest(list(zip(paths, names, forms, strict=True)), how, folder, rejects, stand_ins)
            if _stamps(paths) != before:
                raise DataError(f"{', '.join(map(str, paths))}: changed while it was read; start again")

        folder, _ = cached(cache, "rows", key, build)
        # Names are kept in the rows as their source, but a file that was only renamed is still the same data; and it is
        # also where a later arena reads it better: then the recorded validation loss tells whether that matters.
        fingerprint = key_of(DATA_VERSION, *settings, [content for _, content in prints])
        rows = Rows.open(folder, fingerprint, forms[0].example)
        _log(rows.statistics)
        return rows

    def unlabelled(self) -> "FileReader":
        """The same reader for files to predict, with labels or without."""
        other = copy(self)
        other.labelled = False
        return other

    def open(self, path: str | Sequence[str] | None = None) -> list[tuple[Path, list[str], Format]]:
        """Each file with its columns and its format; reads no further than the first row of each.

        Raises:
            UsageError, InputOutputError, DataError: as the reader itself, but for what only the rows can tell.
        """
        return self._opened(self.files(path))

    def _opened(self, paths: list[Path]) -> list[tuple[Path, list[str], Format]]:
        found = []
        for place in paths:
            columns = read_columns(place)
            form = self.format_of(place, columns)
            form.require_columns(place, columns)
            found.append((place, columns, form))
        return found

    def files(self, path: str | Sequence[str] | None = None) -> list[Path]:
        """The files that `path`, or the repository, stands for, in the order in which they are read."""
        if path is None and self.repo is None:
            raise UsageError(f"data.path=<file> is needed: a csv, jsonl or parquet file of {self.unit}, or a folder")
        if path is None:
            return hubfiles.find(self.repo or "", self.file, self.split)
        places = [path] if isinstance(path, str) else path
        found = [file for place in places for file in _expand(Path(place).expanduser())]
        if not found:
            raise UsageError("data.path: an empty list; give a file")
        return found


def names_of(paths: list[Path]) -> list[str]:
    """A short name for each file: its own, with as many folders in front as it takes to tell the files apart."""
    longest = max((len(path.parts) for path in paths), default=1)
    for parts in range(1, longest + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise DataError(f"{next(str(p) for p in paths if paths.count(p) > 1)}: the file is given twice in data.path")


def _expand(place: Path) -> list[Path]:
    """The file itself, or all files of rows below a folder, sorted. Hidden files are not looked at."""
    if not place.exists():
        raise InputOutputError(f"{place}: no such file; give data.path=<file>")
    if not place.is_dir():
        return [place]
    below = sorted(file for file in place.rglob("*") if file.is_file())
    below = [file for file in below if not any(part.startswith(".") for part in file.relative_to(place).parts)]
    found = [file for file in below if kind_of(file)]
    if not found:
        raise InputOutputError(f"{place}: no csv, jsonl or parquet file in this folder; give data.path=<file>")
    if others := [file.name for file in below if not kind_of(file)]:
        listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        log.info("%s: %d other files are not read (%s)", place, len(others), listed)
    return found


def _stamps(paths: list[Path]) -> list[tuple[int, int]]:
    return [(stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in paths)]


def _log(statistics: IngestStatistics) -> None:
    for name, form in statistics.formats.items():
        log.info("%s: read as %s", name, form)
    codes = [f"{code} {count}" for code, count in (statistics.codes | statistics.notes).items()]
    log.info(
        "read %d = %d kept + %d rejected + %d merged; %s",
        statistics.read, statistics.kept, statistics.rejected, statistics.merged,
        ", ".join(codes) or "nothing to remark",
    )  # fmt: skip
