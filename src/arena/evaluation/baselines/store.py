"""Fitted reference models on disk: numbers as .npz, the rest as .json; nothing in them is code."""

import json
import zipfile
from pathlib import Path

import numpy as np

from arena.core.errors import DataError, InputOutputError
from arena.core.files import replacing
from arena.core.run import RunFolder, plain, write_atomically
from arena.core.schema import closest
from arena.data.source.rows import Rows
from arena.evaluation.baselines.features import Scaling
from arena.evaluation.baselines.members import Member
from arena.evaluation.baselines.names import FOLDER as FOLDER
from arena.evaluation.baselines.names import MEMBERS
from arena.evaluation.baselines.vocabulary import Vocabulary

VERSION = 1
"""Of the features: weights mean nothing to features that are computed differently."""
SCALING = ("signed", "mean", "spread")


def names(folder: Path) -> list[str]:
    """The members that a folder holds, in the order of `MEMBERS`."""
    return [name for name in MEMBERS if (folder / f"{name}.json").is_file()]


def save(folder: Path, name: str, member: Member) -> None:
    """Write `<name>.npz` and then `<name>.json`, each in one step."""
    arrays = {"offset": member.offset}
    arrays |= {f"weights.{key}": weight for key, weight in member.weights.items()}
    for kind, scaling in member.scalings.items():
        arrays |= {f"scaling.{kind}.{part}": getattr(scaling, part) for part in SCALING}
    if member.vocabulary is not None:
        arrays |= {"vocabulary.columns": member.vocabulary.columns, "vocabulary.weight": member.vocabulary.weight}
    with replacing(folder / f"{name}.npz") as partial, open(partial, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    facts = {"version": VERSION, "name": member.name, "labels": member.labels, "tuning": member.tuning}
    write_atomically(folder / f"{name}.json", json.dumps(plain(facts), indent=2) + "\n")


def load(folder: Path, name: str) -> Member:
    """A member that `save` wrote.

    Raises:
        InputOutputError: it is not there, cannot be read, or was written for other features.
    """
    place = folder / f"{name}.npz"
    if not place.is_file() or not (folder / f"{name}.json").is_file():
        raise InputOutputError(f"{folder}: there is no reference model '{name}'{closest(name, names(folder))}")
    try:
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        with np.load(place, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        found, member = facts["version"], Member(facts["name"], facts["labels"], arrays["offset"])
        member.tuning = facts["tuning"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputOutputError(f"{place}: not a reference model that can be read ({error})") from error
    if found != VERSION:
        raise InputOutputError(f"{place}: written by another version of arena ({found}, not {VERSION}); fit it again")
    member.weights = {
        key.removeprefix("weights."): value for key, value in arrays.items() if key.startswith("weights.")
    }  # fmt: skip
    kinds = {key.split(".")[1] for key in arrays if key.startswith("scaling.")}
    member.scalings = {kind: Scaling(*(arrays[f"scaling.{kind}.{part}"] for part in SCALING)) for kind in kinds}
    if "vocabulary.columns" in arrays:
        member.vocabulary = Vocabulary(arrays["vocabulary.columns"], arrays["vocabulary.weight"])
    return member


def predict(run: str | Path, rows: Rows, member: str | None = None) -> tuple[list[str], np.ndarray]:
    """What a reference model of a finished run says of some rows.

    Args:
        run: a run folder of `arena.baseline`, or of `arena.train` with `baselines`.
        rows: labelled or not.
        member: which model; by default the best of the run by validation log loss.

    Returns:
        The K labels, and probabilities `[N, K]` float64 in the order of the rows.

    Raises:
        InputOutputError: no run folder, or the model is not in it.
        DataError: the run has several models and does not say which is best.
    """
    folder = RunFolder(run).require()
    known = names(folder.path / FOLDER)
    if not known:
        raise InputOutputError(f"{folder.path}: no reference model in it; it is not a finished run of arena.baseline")
    if member is None:
        member = folder.read_result().get("best_member") or (known[0] if len(known) == 1 else None)
    if member is None:
        raise DataError(f"{folder.path}: it does not say which of {', '.join(known)} is best; name one")
    found = load(folder.path / FOLDER, member)
    return found.labels, found.predict(rows)
