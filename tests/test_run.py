"""The run folder: atomic files, the lock, plain JSON."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from arena.core.errors import InputOutputError, UsageError, classify
from arena.core.run import RunFolder, plain, write_atomically


def test_undefined_numbers_become_null(tmp_path):
    run = RunFolder(tmp_path)
    run.write_result({"a": math.nan, "b": [math.inf, 1.5], "c": np.float32(2.0), "d": np.array([1, 2])})
    assert json.loads(run.result.read_text()) == {"a": None, "b": [None, 1.5], "c": 2.0, "d": [1, 2]}
    assert run.read_result()["a"] is None
    assert plain({1: (2,)}) == {"1": [2]}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_second_process_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    code = (
        "import sys; from arena.core.run import RunFolder; from arena.core.errors import UsageError\n"
        "try:\n"
        f"    with RunFolder({str(tmp_path)!r}).locked(): sys.exit(0)\n"
        "except UsageError: sys.exit(2)"
    )
    with run.locked():
        assert subprocess.run([sys.executable, "-c", code]).returncode == 2
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(InputOutputError, match="no such folder"):
        RunFolder(tmp_path / "nothing").require()
    with pytest.raises(InputOutputError, match="no config.yaml"):
        RunFolder(tmp_path).require()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (KeyboardInterrupt(), 130),
        (RuntimeError("CUDA out of memory. Tried to allocate"), 77),
        (MemoryError(), 77),
        (PermissionError(13, "denied", "/x"), 74),
        (ValueError("x"), 1),
    ],
)
def test_every_exception_has_the_contracts_exit_code(error, code):
    assert classify(error).code == code
    assert "\n" not in str(classify(error))
