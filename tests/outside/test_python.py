"""arena from Python, as a notebook uses it: what the functions return is what the commands write."""

import csv
import json
import re
import subprocess
import sys

import pytest
from support import ROOT

from arena.core.errors import UsageError

PAIRS = [("Why is the sky blue?", "Rayleigh scattering.", "Because."), ("2 + 2?", "4", "five, I think")]


def script(text, cwd, env):
    """Run a script in a process of its own."""
    done = subprocess.run([sys.executable, "-c", text], cwd=cwd, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light(tmp_path):
    """Nothing but the standard library is loaded before a name is used."""
    seen = "import sys; before = set(sys.modules); import arena; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", seen], cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")},
                          capture_output=True, text=True)  # fmt: skip
    loaded = set(re.findall(r"'(\w+)", done.stdout))
    assert "arena" in loaded
    assert loaded <= {"arena", *sys.stdlib_module_names}


def test_an_unknown_name_is_no_attribute():
    import arena

    assert {"compare_runs", "evaluate_run", "fit", "load"} <= set(dir(arena))
    with pytest.raises(AttributeError, match="no attribute 'lod'; there are compare_runs, evaluate_run, fit, load"):
        _ = arena.lod  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.slow
def test_fit_load_evaluate_and_compare(tmp_path):
    from outside.conftest import environment

    few = '"toy_rows=300", "trainer.max_steps=6", "baselines=[]", "resamples=20", "evaluate.figures=false"'
    script(
        f"""
import csv, arena
runs = [arena.fit([{few}, f"seed={{seed}}", f"hydra.run.dir=r{{seed}}"]) for seed in (0, 1)]
assert runs[0].status == "completed" and runs[0].folder.name == "r0", runs[0]
assert runs[0].metrics["log_loss"].low < runs[0].metrics["log_loss"].value
found = arena.evaluate_run("r0", resamples=20)
assert abs(found.metrics["loss"].value - runs[0].details["validation"]["loss"]["value"]) < 1e-6
both = arena.compare_runs("r0", "r1", resamples=100)
assert both.rows and "log_loss" in both.differences and both.verdict
""",
        tmp_path,
        environment(),
    )


@pytest.mark.slow
def test_a_judge_says_what_arena_predict_writes(shell, trained, tmp_path):
    """Single rows, lists, streams and frames, in both orders, of one run and of two; `f(a, b)` mirrors `f(b, a)`."""
    import pandas

    import arena

    run = trained("pairwise")
    with open(tmp_path / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("prompt", "response_a", "response_b"), *([json.dumps([text]) for text in row] for row in PAIRS)]
        )
    for swap in ("false", "true"):
        shell("predict", f"run={run}", "data.path=rows.csv", f"output={swap}.csv", f"swap={swap}").ok()
    judge = arena.load(run)
    written = {swap: pandas.read_csv(tmp_path / f"{swap}.csv") for swap in ("false", "true")}
    for swap, frame in written.items():
        columns = [f"winner_{label}" for label in judge.labels]
        found = judge(*map(list, zip(*PAIRS, strict=True)), swap=swap == "true")
        assert [[row[label] for label in judge.labels] for row in found] == pytest.approx(
            frame[columns].values, abs=1e-6
        )
    plain = judge(*map(list, zip(*PAIRS, strict=True)))
    assert judge(*PAIRS[0]) == pytest.approx(plain[0], abs=1e-6)
    rows = [dict(zip(judge.texts, row, strict=True)) for row in PAIRS]
    assert [row["model_a"] for row in judge.iterate(rows, batch_size=1)] == pytest.approx([r["model_a"] for r in plain])
    framed = judge.frame(pandas.DataFrame(rows).rename(columns={"prompt": "question"}), prompt="question")
    assert framed["winner_tie"].tolist() == pytest.approx([row["tie"] for row in plain], abs=1e-6)
    first, second = judge(*PAIRS[0], swap=True), judge(PAIRS[0][0], PAIRS[0][2], PAIRS[0][1], swap=True)
    assert first["model_a"] == pytest.approx(second["model_b"], abs=1e-6)
    with pytest.raises(UsageError, match="the judge takes prompt, response_a, response_b; 2 texts were given"):
        judge("a", "b")
    frame = pandas.DataFrame(rows)
    for call, words in (
        (lambda: judge.frame(frame, prompt="question"), "no column question"),
        (lambda: judge.frame(frame.drop(columns="response_b")), "response_b: the frame has no column response_b"),
        (lambda: judge.frame(frame, respons_a="response_a"), "respons_a: the judge takes .* did you mean 'response_a'"),
        (lambda: list(judge.iterate([{"prompt": "a", "a": "b"}])), "rows are mappings with prompt, response_a"),
        (lambda: judge("a", None, "b"), "response_a: a text or a list of turns is needed, not None"),
        (lambda: judge(1, "a", "b"), "prompt: a text or a list of turns is needed, not 1"),
        (lambda: arena.load([]), "run: a value is needed"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    assert judge([], [], []) == []


@pytest.mark.slow
def test_a_judge_of_several_heads(trained):
    import arena

    judge = arena.load(trained("heads"))
    found = judge("a text", "what it is about")
    assert set(found) == set(judge.labels)
    for head, labels in judge.labels.items():
        assert list(found[head]) == labels
        assert sum(found[head].values()) == pytest.approx(1)
    with pytest.raises(UsageError, match="its model writes replies"):
        arena.load(trained("replies"))
