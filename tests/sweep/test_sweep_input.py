"""Bad input of a sweep: refused at once, in one line, with nothing written."""

import sqlite3

import pytest
from support import first_fast
from sweeps import Instant, plan_of, run

from arena.config import compose as config
from arena.core.errors import UsageError
from arena.sweep import plan, samplers, space
from arena.sweep.space import parameter
from arena.sweep.study import Study

ARENA = ["-m", "hydra/sweeper=arena"]
LR = "optim.lr=interval(1e-5,1e-2)"

WRONG = [
    (["hydra.sweeper.n_trials=0", LR], "hydra.sweeper.n_trials=0: a whole number, 1 or more"),
    (["hydra.sweeper.n_trial=3", LR], "did you mean 'n_trials'"),
    (["optim.lr=interval(1e-2,1e-5)"], "an empty interval"),
    (["optim.lrr=interval(1e-5,1e-2)"], "did you mean 'lr'"),
    (["hydra.sweeper.params={optim.lrr: 'interval(1e-5,1e-2)'}"], "did you mean 'lr'"),
    (["optim.weight_decay=interval(-1,1)"], "optim.weight_decay=-1"),
    (["loss=choice(focal,focl)"], "did you mean 'focal'"),
    ([], "nothing to search"),
    ([LR, "hydra.sweeper.objectives=[test.log_loss.value]", "hydra.sweeper.direction=minimize"], "test split"),
    ([LR, "hydra.sweeper.direction=maximize"], "monitor.mode=min"),
    ([LR, "hydra.sweeper.enqueue=[{optim.lr: 1}]"], "optim.lr=1.0 lies outside"),
    ([LR, "hydra/sweeper/sampler=grid"], "a grid needs values"),
    ([LR, "hydra.sweeper.storage=nodb://x"], "hydra.sweeper.storage=nodb://x"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), first_fast(WRONG, 5), ids=lambda each: str(each)[:60])
def test_wrong_sweeps_end_with_2_and_one_line(typed, tmp_path, arguments, words):
    code, lines = typed(*ARENA, *arguments)
    assert code == 2
    assert len(lines) == 1, lines
    assert words in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code", "words"), [("text", 65, "not a database"), ("folder", 74, "unable to open")])
def test_what_is_no_database_is_left_alone(typed, tmp_path, kind, code, words):
    path = tmp_path / "multirun" / "default" / "study.db"
    path.parent.mkdir(parents=True)
    if kind == "text":
        path.write_text("these are no pages of a database" * 100)
    else:
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    found, lines = typed(*ARENA, LR)
    assert (found, len(lines)) == (code, 1), lines
    assert words in lines[0]
    assert before is None or path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == [".lock", "study.db"]


@pytest.mark.slow
def test_a_locked_database(typed, tmp_path):
    folder = tmp_path / "multirun" / "default"
    run(plan_of(folder, LR, "hydra.sweeper.n_trials=1"), Instant())
    holder = sqlite3.connect(folder / "study.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        code, lines = typed(*ARENA, LR)
    finally:
        holder.close()
    assert code == 74
    assert len(lines) == 1
    assert "locked by another program" in lines[0]


def test_a_study_that_arena_did_not_make(tmp_path):
    import optuna

    (tmp_path / "study").mkdir()
    url = f"sqlite:///{tmp_path / 'study' / 'study.db'}"
    study = optuna.create_study(study_name="default", storage=url)
    study.tell(study.ask(), 1.0)
    with pytest.raises(Exception, match="arena did not make"):
        Study(plan_of(tmp_path / "study", LR))


def test_plain_sweeps_stay_with_hydra(typed):
    found = config.composed([])
    assert found.hydra.sweeper._target_.endswith("BasicSweeper")
    assert plan.check(["seed=1,2"]) is False


# --- the grammar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed_", "low", "high", "log", "step"),
    [
        ("interval(0, 5)", 0.0, 5.0, False, None),
        ("tag(log, interval(1e-5, 1e-3))", 1e-5, 1e-3, True, None),
        ("int(interval(1, 8))", 1, 8, False, 1),
        ("tag(log, int(interval(1, 64)))", 1, 64, True, 1),
        ("range(1, 10)", 1, 9, False, 1),
        ("range(1, 10, 4)", 1, 9, False, 4),
        ("range(0, 5, 2)", 0, 4, False, 2),
        ("range(0.0, 0.3, 0.1)", 0.0, 0.2, False, 0.1),
    ],
)
def test_numbers(typed_, low, high, log, step):
    found = space.parameter("a.b", typed_)
    assert found is not None
    distribution = found.distribution
    assert (distribution.low, distribution.log, distribution.step) == (low, log, step)
    assert distribution.high == pytest.approx(high)
    assert isinstance(distribution.low, type(low))
    assert found.ends()[0] == low


def test_choices_keep_their_spelling():
    found = space.parameter("a", "choice(x, 'b c', 1, 1.0, true, [u,v], {k: 2})")
    assert found is not None
    values = found.distribution.choices
    assert values == ("x", "b c", 1, 1.0, True, "[u,v]", "{k:2}")
    texts = [found.override(value) for value in values]
    assert texts == ["a=x", r"a=b\ c", "a=1", "a=1.0", "a=true", "a=[u,v]", "a={k:2}"]
    assert not found.holds("y")
    assert found.override(values[2]) != found.override(values[4])


def test_stepped_numbers_are_spelled_as_people_would():
    found = space.parameter("a", "range(0, 1, 0.1)")
    assert found is not None
    assert [found.override(value) for value in found.values()][:4] == ["a=0", "a=0.1", "a=0.2", "a=0.3"]
    assert len(found.values()) == 10


@pytest.mark.parametrize(
    "typed_",
    ["interval(5, 0)", "range(5, 0)", "interval(0, inf)", "tag(log, interval(0, 1))", "choice(a, a)", "glob(*)",
     "tag(log, range(1, 8))", "choice(", "interval(nan, 1)"],
)  # fmt: skip
def test_spaces_that_cannot_be_searched(typed_):
    with pytest.raises(UsageError) as end:
        space.parameter("a", typed_)
    assert "\n" not in str(end.value)


def test_the_command_line_wins_over_the_file(tmp_path):
    found = plan_of(tmp_path / "study", "sweep=lr", "optim.lr=interval(1,2)", "hydra.sweeper.n_trials=2")
    assert found.typed == {"optim.lr": "interval(1,2)"}
    assert found.settings["pruner"]["name"] == "median"


@pytest.mark.parametrize(
    ("choice", "objectives", "words"),
    [
        ({"name": "tpee"}, 1, "did you mean 'tpe'"),
        ({"name": "tpe", "multivariat": True}, 1, "did you mean 'multivariate'"),
        ({"name": "cmaes"}, 2, "it optimises one value"),
        ({"name": "nsgaii", "population_size": 1}, 1, "population_size"),
    ],
)
def test_samplers_are_checked(choice, objectives, words):
    with pytest.raises(UsageError, match=words):
        samplers.check("sampler", choice, objectives)


@pytest.mark.parametrize(
    ("choice", "objectives", "words"),
    [
        ({"name": "mediann"}, 1, "did you mean 'median'"),
        ({"name": "median"}, 2, "cannot be pruned"),
        ({"name": "percentile", "percentile": 200}, 1, "ercentile"),
    ],
)
def test_pruners_are_checked(choice, objectives, words):
    with pytest.raises(UsageError, match=words):
        samplers.check("pruner", choice, objectives)


def test_a_parameter_has_one_name_however_it_is_typed():
    """Reports know the seeds and folds of a recipe by these names, and a study from before has them."""
    typed = {"data.fold": "range(0,5)", "data.split.fold": "range(0,5)", "data.sampling.method": "choice(uniform,hard)"}
    found = [each for key, text in typed.items() if (each := parameter(key, text)) is not None]
    assert [each.name for each in found] == ["data.fold", "data.fold", "data.sampling"]
    assert found[1].override(3) == "data.split.fold=3"
