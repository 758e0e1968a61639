"""What a person sees of a sweep."""

import pytest
from sweeps import Stand, plan_of, run

from arena.sweep.result import TrialResult
from arena.sweep.sweeper import format_result, format_values


@pytest.mark.parametrize(
    ("result", "best", "line"),
    [
        (TrialResult("complete", [0.5], None, 0, 10.0), True, "trial 1 complete in 10 s: 0.5000, best so far"),
        (TrialResult("complete", [0.5, 2.0], None, 0, 200.0), False, "trial 1 complete in 3 min: 0.5000 2.0000"),
        (TrialResult("pruned", [0.5], "pruned by X", 0, 1.0), False, "trial 1 pruned in 1 s: pruned by X"),
        (TrialResult("out_of_memory", None, "lower it", 77, 20.0), False, "trial 1 out of memory in 20 s: lower it"),
    ],
)
def test_a_line_for_each_end(result, best, line):
    assert format_result(1, result, best) == line


def test_values_are_short():
    assert format_values({"optim.lr": 0.00123456, "loss": "focal", "seed": 3}) == "optim.lr=0.001235 loss=focal seed=3"


def test_lines_of_a_sweep(tmp_path, capsys):
    overrides = ["optim.lr=tag(log,interval(1e-5,1e-1))", "hydra.sweeper.enqueue=[{optim.lr: 0.1},{optim.lr: 1e-3}]"]
    run(plan_of(tmp_path / "study", *overrides, "hydra.sweeper.n_trials=3"), Stand({2: ({"status": "failed"}, 1)}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "trial 0 started: optim.lr=0.1"
    assert "4.0000, best so far; 1 of 3 trials, best 4.0000 (trial 0), about 0 s left" in lines[2]
    assert "0.0000, best so far; 2 of 3 trials, best 0.0000 (trial 1)" in lines[4]
    assert lines[6].startswith("trial 2 failed in 0 s")
    assert lines[6].endswith("; 3 of 3 trials, best 0.0000 (trial 1)")
    assert lines[7] == "sweep default: 2 complete, 1 failed"
    assert lines[8:10] == ["trial    1     0.0000  optim.lr=0.001", "trial    0     4.0000  optim.lr=0.1"]
    assert lines[10].startswith("best: trial 1, ")
