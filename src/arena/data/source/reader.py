"""Reads files, whoever wrote them, into the `Rows` of one data set.

Three steps: `files` yields the records of csv, jsonl and parquet files, `formats` makes a row of each, and `ingest`
accounts for all of them. What was read once is kept on disk, named after the bytes of the files.
"""

import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict
from pathlib import Path

from arena.core.cache import cached, file_fingerprint, key_of
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.data.source import hubfiles
from arena.data.source.files import kind_of
from arena.data.source.ingest import DATA_VERSION, READER_VERSION, Form, Layout, Rules, ingest, names_of, recognise_file
from arena.data.source.rows import IngestStatistics, Rows

log = logging.getLogger("arena")

STRICT = Rules()
"""The first bad record ends the work."""


class FileReader:
    """Reads csv, jsonl (either may end in .gz) or parquet files; a kind of row is a subclass.

    Args:
        layout: what the columns mean; see `arena.data.source.ingest.recognise_file`.
        repo: data set on the Hugging Face hub, or a folder laid out like one, used when no path is given.
        file: one file in that repository; all files of the split by default.
        split: which split of the repository, where it has several.

    Attributes:
        unit: what the rows are, in messages.
    """

    unit = "rows"

    def __init__(
        self, layout: str | Layout, repo: str | None = None, file: str | None = None, split: str | None = None
    ) -> None:
        if repo is None and (file is not None or split is not None):
            raise UsageError("data.reader.file and data.reader.split need data.reader.repo=<data set on the hub>")
        self.layout, self.repo, self.file, self.split = layout, repo, file, split

    def __call__(
        self,
        path: str | Sequence[str] | None = None,
        rules: Rules = STRICT,
        cache: Path | None = None,
        rejects: Path | None = None,
    ) -> Rows:
        """The rows of all files.

        Args:
            path: a file, a folder (all csv, jsonl and parquet files below it), or several of them; the repository by
                default.
            rules: what to do with records that cannot be used.
            cache: folder where rows are kept for the next time; None for a folder that this process deletes.
            rejects: where `rejects.jsonl` is left if too many records cannot be used; in the cache by default.

        Raises:
            UsageError: neither a path nor a repository is known.
            InputOutputError: a file or the hub cannot be read.
            DataError: unknown columns, bad records that `rules` do not allow, no row.
        """
        paths = self.files(path)
        names, before = names_of(paths), _stamps(paths)
        prints = [(name, file_fingerprint(place)) for name, place in zip(names, paths, strict=True)]
        settings = (str(self.layout), sorted(asdict(rules).items()))
        key = key_of(READER_VERSION, *settings, prints)
        if rejects is None and cache is not None:
            rejects = cache / f"rejects-{key}.jsonl"

        def build(folder: Path) -> None:
            ingest(paths, self.layout, rules, folder, rejects)
            if _stamps(paths) != before:
                raise DataError(f"{', '.join(map(str, paths))}: changed while it was read; start again")

        folder, _ = cached(cache, "rows", key, build)
        # Names are kept in the rows as their source, but a file that was only renamed is still the same data; and it is
        # also where a later arena reads it better: then the recorded validation loss tells whether that matters.
        fingerprint = key_of(DATA_VERSION, *settings, [content for _, content in prints])
        rows = Rows.open(folder, fingerprint, recognise_file(paths[0], self.layout)[1].example)
        _log(rows.account)
        return rows

    def unlabelled(self, path: str | Sequence[str] | None, rules: Rules, cache: Path | None) -> Rows:
        """The rows of files to predict, with labels or without."""
        other = copy(self)
        if not isinstance(self.layout, str):
            other.layout = self.layout.unlabelled()
        return other(path, rules, cache, None)

    def open(self, path: str | Sequence[str] | None = None) -> list[tuple[Path, list[str], Form]]:
        """Each file with its columns and its format; reads no further than the first row of each.

        Called alone, it tells a wrong file from a right one before anything heavy is imported.

        Raises:
            UsageError, InputOutputError, DataError: as the reader itself, but for what only the rows can tell.
        """
        return [(place, *recognise_file(place, self.layout)) for place in self.files(path)]

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
        shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        log.info("%s: %d other files are not read (%s)", place, len(others), shown)
    return found


def _stamps(paths: list[Path]) -> list[tuple[int, int]]:
    return [(stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in paths)]


def _log(account: IngestStatistics) -> None:
    for name, form in account.formats.items():
        log.info("%s: read as %s", name, form)
    codes = [f"{code} {count}" for code, count in (account.codes | account.notes).items()]
    log.info(
        "read %d = %d kept + %d rejected + %d merged; %s",
        account.read, account.kept, account.rejected, account.merged, ", ".join(codes) or "nothing to remark",
    )  # fmt: skip
