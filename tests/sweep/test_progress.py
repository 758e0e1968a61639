"""What a person sees of a running sweep."""

from types import SimpleNamespace

from arena.sweep.progress import Progress, print_best
from arena.sweep.result import TrialResult


def test_lines_show_each_start_and_end_and_the_best(capsys):
    watch = Progress(4, ["minimize"], done=1, best=0.6)
    watch.started(1, {"optim.lr": 0.00123456, "loss": "focal"})
    watch.finished(1, TrialResult("complete", [0.5], None, 0, 10.0))
    watch.started(2, {"optim.lr": 0.1})
    watch.finished(2, TrialResult("out_of_memory", None, "out of memory: lower it", 77, 20.0))
    assert capsys.readouterr().out.splitlines() == [
        "trial 1 started: optim.lr=0.001235 loss=focal",
        # Two are left, at 10 seconds each.
        "trial 1 complete in 10 s: 0.5000, best so far; 2 of 4 trials, best 0.5000 (trial 1), about 20 s left",
        "trial 2 started: optim.lr=0.1",
        "trial 2 out of memory in 20 s: out of memory: lower it; 3 of 4 trials, best 0.5000 (trial 1), about 15 s left",
    ]


def test_a_preempted_trial_is_not_counted_and_maximize_is_obeyed():
    watch = Progress(2, ["maximize"])
    watch.started(0, {})
    watch.finished(0, TrialResult("preempted", None, "stopped by SIGTERM", 143, 1.0))
    assert watch.done == 0
    for number, value in ((1, 0.4), (2, 0.3)):
        watch.started(number, {})
        watch.finished(number, TrialResult("complete", [value], None, 0, 1.0))
    assert (watch.best, watch.best_number) == (0.4, 1)
    assert watch.time_left() is None


def test_the_best_are_listed_at_the_end(capsys):
    trials = [
        SimpleNamespace(number=n, values=[v, 0.75], params={"loss.lambda": 0.25}, user_attrs={"seconds": 200.0})
        for n, v in ((3, 0.5), (12, 0.625))
    ]
    print_best(trials, ["monitor", "distinct"])
    assert capsys.readouterr().out.splitlines() == [
        "trial   monitor  distinct    time  parameters",
        "    3    0.5000    0.7500   3 min  loss.lambda=0.25",
        "   12    0.6250    0.7500   3 min  loss.lambda=0.25",
    ]
    print_best([], ["monitor"])
    assert capsys.readouterr().out == ""
