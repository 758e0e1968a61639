"""What is kept beside an output, and when it goes away."""

import subprocess
import sys

import numpy as np
import pytest

from arena.inference.partial import Part, Partial


def batch(*rows: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array(rows), np.array([[row / 10, 1 - row / 10] for row in rows], dtype=np.float32)


def test_another_process_reads_what_was_flushed(tmp_path):
    part = Part(tmp_path / "key")
    part.add(*batch(3, 1))
    part.add(*batch(0))
    assert not (tmp_path / "key").exists()
    part.flush()
    part.add(*batch(2))
    part.flush()
    part.flush()
    part.add(*batch(4))  # never written
    again = Part(tmp_path / "key")
    assert (again.batches, again.rows) == (3, 4)
    found = again.read(5, 2)
    assert found[:4] == pytest.approx(np.array([[r / 10, 1 - r / 10] for r in range(4)]), abs=1e-7)
    assert np.isnan(found[4]).all()
    assert [path.suffix for path in (tmp_path / "key").iterdir()] == [".npz"] * 2


def stop_after(part: Part) -> None:
    """Two rows, then an error."""
    part.add(*batch(0, 1))
    part.flush()
    raise ZeroDivisionError


def test_what_lies_behind_a_gap_does_not_count(tmp_path):
    part = Part(tmp_path / "key")
    for row in range(3):
        part.add(*batch(row))
        part.flush()
    (tmp_path / "key" / "000000001.npz").unlink()
    again = Part(tmp_path / "key")
    assert (again.batches, again.rows) == (1, 1)


def test_the_folder_goes_with_success_and_stays_with_work(tmp_path):
    partial = Partial(tmp_path / "new" / "x.csv")
    with pytest.raises(KeyError), partial.locked():
        raise KeyError
    assert not partial.folder.exists(), "nothing was kept"
    with pytest.raises(ZeroDivisionError), partial.locked():
        stop_after(partial.part("key"))
    assert partial.kept == 2
    with partial.locked():
        assert partial.part("other").rows == 0
        assert partial.part("key").rows == 2
    assert not partial.folder.exists()


def test_two_processes_do_not_write_one_output(tmp_path):
    output = tmp_path / "x.csv"
    code = (
        "import sys; from pathlib import Path; from arena.inference.partial import Partial\n"
        "from arena.core.errors import UsageError\n"
        "try:\n"
        f"    with Partial(Path({str(output)!r})).locked(): sys.exit(0)\n"
        "except UsageError: sys.exit(2)"
    )
    with Partial(output).locked():
        assert subprocess.run([sys.executable, "-c", code]).returncode == 2
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
