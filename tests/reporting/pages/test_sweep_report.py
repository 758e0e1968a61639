"""The report of a sweep: studies made with Optuna directly, runs without a study, and bad input."""

import csv
import json
import shlex
import sqlite3
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from scipy import stats

from arena.reporting.study import measures
from arena.reporting.study.pages import report
from arena.reporting.study.reading import read

SPACE: dict[str, Any] = {
    "optim.lr": FloatDistribution(1e-5, 1e-1, log=True),
    "seed": CategoricalDistribution([0, 1, 2]),
}


def study_in(folder: Path, directions: tuple[Literal["minimize", "maximize"], ...] = ("minimize",)) -> optuna.Study:
    folder.mkdir(parents=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=f"sqlite:///{folder}/study.db", study_name=folder.name, directions=list(directions)
    )


def add(study: optuna.Study, params: dict[str, Any], values: list[float] | None, state: str = "COMPLETE", **said: Any):
    space = {name: SPACE[name] for name in params}
    study.add_trial(
        create_trial(state=TrialState[state], params=params, distributions=space, values=values, user_attrs=said)
    )


def run_in(folder: Path, overrides: list[str], value: float, interval: tuple[float, float] | None = None) -> None:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))
    (folder / "metrics.csv").write_text(
        f"step,epoch,split,name,value\n5,0,val,log_loss,2.0\n9,0,val,log_loss,{value}\n"
    )
    ends = dict(zip(("low", "high"), interval or (None, None), strict=True))
    result = {"status": "completed", "monitor": {"name": "val/log_loss", "mode": "min", "value": value}}
    (folder / "result.json").write_text(json.dumps(result | {"validation": {"log_loss": {"value": value} | ends}}))


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))


def test_a_study_with_every_kind_of_trial(tmp_path: Path) -> None:
    folder = tmp_path / "lr sweep"
    study = study_in(folder)
    add(study, {"optim.lr": 0.01}, [0.7], kind="complete", folder="0")
    add(study, {"optim.lr": 0.001}, [0.5], kind="complete", folder="1")
    add(study, {"optim.lr": 0.1}, None, "PRUNED", kind="pruned", reason="worse than the <median>")
    add(study, {"optim.lr": 0.02}, None, "FAIL", kind="diverged", reason="the loss is nan", exit_code=76)
    run_in(folder / "0", ["data=toy", "optim.lr=0.01"], 0.7, (0.65, 0.75))
    run_in(folder / "1", ["data=toy", "optim.lr=0.001", "model.name='a b'"], 0.5, (0.45, 0.55))
    before = (folder / "study.db").read_bytes()
    report([folder])
    assert (folder / "study.db").read_bytes() == before
    assert [line["kind"] for line in table(folder)] == ["complete", "complete", "pruned", "diverged"]
    assert (table(folder)[1]["val/log_loss low"], table(folder)[3]["exit_code"]) == ("0.45", "76")
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert (best["trial"], best["values"]) == (1, {"val/log_loss": 0.5})
    page = (folder / "report.html").read_text()
    assert "the best is separable from the second" in page  # 0.55 < 0.65
    assert "left the test split alone" in page
    assert "worse than the &lt;median&gt;" in page
    assert '<a href="1/">1</a>' in page
    assert "2 complete trials are too few for importances" not in page  # one parameter has nothing to compare with
    assert not any(word in page for word in ("<script", '<link rel="stylesheet', 'src="http', "url("))
    command = next(line for line in (folder / "best.yaml").read_text().splitlines() if "arena.train" in line)
    assert shlex.split(command.lstrip("# "))[3:] == best["overrides"]


def test_seeds_are_a_recipe_with_a_t_interval(tmp_path: Path, capsys) -> None:
    """Values .5 .6 .7 and .4 .9: the first mean is lower although the second has the lowest value."""
    values = {(0.01, 0): 0.5, (0.01, 1): 0.6, (0.01, 2): 0.7, (0.1, 0): 0.4, (0.1, 1): 0.9}
    for number, ((rate, seed), value) in enumerate(values.items()):
        run_in(tmp_path / "s" / str(number), ["data=toy", f"optim.lr={rate}", f"seed={seed}"], value)
    judged = tmp_path / "s" / "1" / "result.json"
    judged.write_text(json.dumps(json.loads(judged.read_text()) | {"test": {"log_loss": {"value": 0.5}}}))
    first, second = measures.recipes(read(tmp_path / "s")[0])
    assert (first.params, second.params) == ({"optim.lr": 0.01}, {"optim.lr": 0.1})
    assert (first.spread.mean, first.spread.standard_deviation) == pytest.approx((0.6, 0.1))
    known = stats.ttest_1samp([0.5, 0.6, 0.7], 0).confidence_interval(0.95)
    assert (first.spread.low, first.spread.high) == pytest.approx((known.low, known.high))
    report([tmp_path / "s"])
    assert "optim.lr=0.01: val/log_loss 0.6000 (95% t interval" in capsys.readouterr().out
    assert "left the test split alone" not in (tmp_path / "s" / "report.html").read_text()
    assert (tmp_path / "s" / "test.tsv").read_text().splitlines()[1:] == ["optim.lr=0.01\tlog_loss\t1\t0.5\t\t\t"]
    best = yaml.safe_load((tmp_path / "s" / "best.yaml").read_text())
    assert (best["n"], best["overrides"]) == (3, ["data=toy", "optim.lr=0.01"])


def test_test_metrics_have_mean_and_deviation_over_seeds_beside_the_baselines(tmp_path: Path) -> None:
    for seed, value in enumerate((0.5, 0.6, 0.7)):
        run_in(tmp_path / "s" / str(seed), [f"seed={seed}"], 0.4)
        file = tmp_path / "s" / str(seed) / "result.json"
        found = {"test": {"log_loss": {"value": value}}, "baselines": {"test": {"prior": {"log_loss": 0.9}}}}
        file.write_text(json.dumps(json.loads(file.read_text()) | found))
    report([tmp_path / "s"])
    first, second = csv.DictReader((tmp_path / "s" / "test.tsv").read_text().splitlines(), delimiter="\t")
    assert (first["recipe"], first["n"], second["recipe"]) == ("All runs", "3", "baseline prior")
    assert [float(first[name]) for name in ("mean", "standard_deviation")] == pytest.approx([0.6, 0.1])
    assert "0.6000 \u00b1 0.1000" in (tmp_path / "s" / "report.html").read_text()
    assert [line["test/log_loss"] for line in table(tmp_path / "s")] == ["0.5", "0.6", "0.7"]


def test_the_front_of_two_objectives(tmp_path: Path) -> None:
    study = study_in(tmp_path / "two", ("minimize", "maximize"))
    for pair in ([0.5, 0.2], [0.6, 0.4], [0.7, 0.3]):  # the last is beaten by the second in both
        add(study, {"optim.lr": 0.01}, pair)
    report([tmp_path / "two"])
    best = yaml.safe_load((tmp_path / "two" / "best.yaml").read_text())
    assert [each["trial"] for each in best["front"]] == [0, 1]


def test_importance_finds_the_parameter_that_matters(tmp_path: Path) -> None:
    study = study_in(tmp_path / "many")
    for place in range(30):
        rate, seed = 10 ** (-5 + 4 * place / 29), place % 3
        add(study, {"optim.lr": rate, "seed": seed}, [abs(place - 10) / 10])
    found, share, why = measures.importances(read(tmp_path / "many")[0], 0)
    assert (list(found)[0], why) == ("optim.lr", "")
    assert share == pytest.approx(5 / 30)  # five trials at least are called the best
    assert sum(found.values()) == pytest.approx(1)


def test_strange_texts_and_very_bad_values_are_drawn(tmp_path: Path) -> None:
    """Warnings are errors here: no text is taken for a formula, and no sign without a glyph stops the page."""
    texts = ["$\\frac{", "\u65e5\u672c\u8a9e", "x" * 90]
    for number in range(12):
        given = [f"model.name={texts[number % 3]}", f"optim.lr={10.0 ** -(number % 5)}"]
        run_in(tmp_path / "odd" / str(number), given, 99.0 if number == 7 else 0.5 + 0.01 * number)
    report([tmp_path / "odd"])
    page = (tmp_path / "odd" / "report.html").read_text()
    # The upper quartile is 0.5925, the best 0.5: the axis ends at 0.5925 + 1.5 * 0.0925.
    assert "Values of val/log_loss beyond 0.731" in page
    assert page.count("<img") == 5  # history, importance, parallel coordinates, slices, curves


def test_without_a_finished_trial_the_page_says_so(tmp_path: Path) -> None:
    study = study_in(tmp_path / "new")
    add(study, {"optim.lr": 0.01}, None, "FAIL", reason="no such file")
    report([tmp_path / "new"], str(tmp_path / "out"))
    assert "No trial has completed yet: 1 failed." in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / "best.yaml").exists()


def test_several_studies_have_a_page_that_leads_to_theirs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add(study_in(tmp_path / name), {"optim.lr": 0.01}, [0.5])
    report([tmp_path / "a", tmp_path / "b"], str(tmp_path / "all"))
    page = (tmp_path / "all" / "report.html").read_text()
    for name in ("a", "b"):
        assert f'href="{name}/report.html"' in page
        assert (tmp_path / "all" / name / "summary.csv").is_file()


def test_bad_input_is_one_line(typed, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    with sqlite3.connect(tmp_path / "foreign" / "study.db") as database:
        database.execute("create table cats (name)")
    database.close()
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "study.db").write_bytes(b"no database at all" * 100)
    study_in(tmp_path / "mine")
    (tmp_path / "mine" / "report.html").write_text("somebody else's")
    for arguments, code, words in (
        (["absent"], 74, "no such folder"),
        (["empty"], 74, "it holds no runs and no study.db"),
        (["foreign"], 65, "not an Optuna study (it holds cats)"),
        (["garbage"], 65, "is not a database"),
        (["mine"], 2, "was not made by this command"),
        (["mine", "study=other"], 2, "there is no such study"),
        (["mine", "outptu=x"], 2, "did you mean 'output'"),
        ([], 2, "a folder is needed"),
    ):
        found, lines = typed(*arguments, module="report")
        assert (found, len(lines)) == (code, 1), lines
        assert words in lines[0]
