"""A checkpoint that does not hold the bytes that were written is refused, its file of weights included."""

import pytest

from arena.core import checkpoints
from arena.core.errors import DataError, InputOutputError


def test_damaged_and_missing_checkpoints_are_refused(tmp_path):
    for name in (checkpoints.BEST, checkpoints.LAST, "weights-1.ckpt"):
        (tmp_path / name).write_bytes(name.encode())
    entries = {name: {"sha256": checkpoints.digest(tmp_path / name)} for name in ("best.ckpt", "last.ckpt")}
    entries["last.ckpt"]["weights"] = "weights-1.ckpt"
    entries["weights-1.ckpt"] = {"sha256": checkpoints.digest(tmp_path / "weights-1.ckpt")}
    checkpoints.write_manifest(tmp_path, entries)
    assert checkpoints.check(tmp_path / "best.ckpt") == entries["best.ckpt"]
    assert checkpoints.check(tmp_path / "last.ckpt") == entries["last.ckpt"]
    (tmp_path / "best.ckpt").write_bytes(b"best,ckpt")
    with pytest.raises(DataError, match=r"best\.ckpt: damaged"):
        checkpoints.check(tmp_path / "best.ckpt")
    (tmp_path / "weights-1.ckpt").write_bytes(b"")
    with pytest.raises(DataError, match=r"weights-1\.ckpt: damaged"):
        checkpoints.check(tmp_path / "last.ckpt")
    (tmp_path / "weights-1.ckpt").unlink()
    with pytest.raises(InputOutputError, match=r"no such checkpoint, which manifest\.json names"):
        checkpoints.check(tmp_path / "last.ckpt")
