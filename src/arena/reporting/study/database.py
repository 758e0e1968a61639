"""An Optuna study from its database, without writing to it: a sweep may be running."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from arena.core import redact
from arena.core.errors import DataError, InputOutputError, UsageError

FILE = "study.db"
TABLES = {"studies", "trials", "version_info"}
"""Tables of every database that Optuna has made."""


def open_study(address: str, name: str | None, folder: Path) -> Any:
    """Load a study from a database, files for reading only.

    Args:
        address: SQLAlchemy's address of the database.
        name: of the study; None takes the only one there is, or the one that is called like the folder.
        folder: of the sweep.

    Raises:
        InputOutputError: the database cannot be reached or read.
        DataError: it is no database of Optuna's, or one of another version.
        UsageError: no such study, or one of several has to be named.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    public, address = redact.text(address), read_only(address)
    try:
        found = tables(address)
        if not found >= TABLES:
            held = f"it holds {', '.join(sorted(found)[:5])}" if found else "it is empty"
            raise DataError(f"{public}: not an Optuna study ({held}); give the folder of a sweep")
        storage = optuna.storages.RDBStorage(address, skip_table_creation=True)
        names = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=_choose(names, name, folder, public), storage=storage)
    except (ImportError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        kind = DataError if "not a database" in why else InputOutputError
        raise kind(f"{public}: the study cannot be read ({why})") from None
    except RuntimeError as error:  # Optuna's for a schema of another version
        raise DataError(f"{public}: {str(error).splitlines()[0]}") from None


def tables(address: str) -> set[str]:
    """Names of the tables in a database."""
    from sqlalchemy import create_engine, inspect

    engine = create_engine(address)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def address_of(file: Path) -> str:
    """The address of an SQLite file with any name."""
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(file.absolute())).render_as_string(hide_password=False)


def read_only(address: str) -> str:
    """The same database for reading only, where it is a file: opening it otherwise would create a missing one.

    Raises:
        UsageError: not an address.
        InputOutputError: no such file.
    """
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except ArgumentError:
        raise UsageError("storage in sweep.json: not the address of a database, such as sqlite:///FILE") from None
    if url.get_backend_name() != "sqlite" or (url.database or "").startswith("file:"):
        return address
    if not url.database or url.database == ":memory:":
        raise InputOutputError(f"{address}: a study in memory is gone with its process")
    file = Path(url.database)
    if not file.is_file():
        raise InputOutputError(f"{file}: no such file, where the study should be")
    # The path is part of an address inside an address.
    named = URL.create("sqlite", database=f"file:{quote(str(file.absolute()))}", query={"mode": "ro", "uri": "true"})
    return named.render_as_string(hide_password=False)


def _choose(names: list[str], name: str | None, folder: Path, public: str) -> str:
    """The study to read, of the `names` in the database."""
    chosen = name if name is not None else names[0] if len(names) == 1 else folder.name
    if chosen in names:
        return chosen
    some = ", ".join(sorted(names)[:8])
    if name is not None:
        raise UsageError(f"study={name}: there is no such study in {public}; there are: {some or 'none'}")
    if not names:
        raise UsageError(f"{public}: it holds no study yet; start the sweep first")
    raise UsageError(f"{public}: it holds several studies; choose one with study=NAME from {some}")
