"""`examples/rating`: a task as a package of its own, without a line in arena."""

import csv
import json
import os
import random
from pathlib import Path

import pytest
from support import ROOT, SHARED

EXAMPLE = ROOT / "examples" / "rating"
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(EXAMPLE)])}
TRUST = "trusted_packages=[rating]"
OWN = ["--config-dir", str(EXAMPLE / "conf"), TRUST, "task=rating"]
BRIEF = [
    "trainer.max_steps=4",
    "schedule=constant",
    "schedule.warmup=0",
    "trainer.log_every_n_steps=2",
    "resamples=50",
    "data.batch_size=8",
]


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    """200 answers to 50 questions; the longer, the better, with chance in it."""
    draw = random.Random(0)
    path = tmp_path / "ratings.csv"
    with open(path, "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "prompt", "response", "score"])
        for number in range(200):
            words = draw.randint(1, 19)
            score = min(10, max(1, round(words / 2 + draw.random() * 2)))
            question = f"question {number % 50} of {'abcdefgh'[number % 8] * 9}"
            lines.writerow([number, question, " ".join(["word"] * words), score])
    return path


REFUSED = {
    "not trusted": (2, ["task=rating"], "task._target_: 'rating.task.Rating' is not allowed", TRUST),
    "a loss of classes": (2, [*OWN[2:], "loss=focal"], "Focal belongs to task=pairwise; choose loss=squared_error"),
    "a model that writes": (2, [*OWN[2:], "model=stories"], "CausalModel belongs to task=sft; choose a model that"),
}


@pytest.mark.parametrize(("code", "arguments", "words"), [(c, a, w) for c, a, *w in REFUSED.values()], ids=REFUSED)
def test_a_wrong_pairing_is_one_line(shell, ratings, code, arguments, words):
    given = ["--config-dir", str(EXAMPLE / "conf"), f"data.path={ratings.name}", *arguments]
    shell("train", *given, env=ENVIRONMENT).refused(code, *words)


@pytest.mark.slow
def test_a_score_beyond_the_scale_is_named(shell, ratings):
    line = shell("train", *OWN, f"data.path={ratings.name}", "data.high=8", env=ENVIRONMENT)
    line.refused(65, "is not on the scale from 1 to 8 (E_RANGE)", "column score")


def test_the_ordinal_likelihood_is_one_over_the_levels(monkeypatch):
    import torch

    monkeypatch.syspath_prepend(str(EXAMPLE))
    from rating.loss import Ordinal, SquaredError

    counts = torch.arange(19) % 4 + 1
    loss, output = Ordinal(), torch.linspace(-30, 30, 13, dtype=torch.float64)
    loss.set_class_counts(counts, counts)
    shares = loss.log_shares(output).exp()
    assert torch.allclose(shares.sum(1), torch.ones(13, dtype=torch.float64))
    # P(y > k) of a logistic distribution around the output
    above = torch.sigmoid(output[:, None] - loss.thresholds.double())
    assert torch.allclose(shares.flip(1).cumsum(1).flip(1)[:, 1:], above, atol=1e-9)
    # The untrained model says how often each level occurs (one added to each).
    level = torch.linspace(0, 9, 19).round().long()
    known = torch.ones(10, dtype=torch.float64).index_add_(0, level, counts.double())
    assert torch.allclose(loss.log_shares(torch.zeros(1, dtype=torch.float64)).exp()[0], known / known.sum(), atol=1e-6)

    normal = SquaredError()
    normal.set_class_counts(counts, counts)
    target, guess = torch.tensor([2.0, 9.5]), torch.tensor([[0.3], [-1.0]])
    wanted = torch.distributions.Normal(normal.predict(guess), normal.deviation).log_prob(target.double())
    assert torch.allclose(normal.cost(guess[:, 0], target).double(), -wanted, atol=1e-6)


@pytest.mark.slow
def test_it_trains_evaluates_predicts_compares_and_resumes(shell, tmp_path, ratings):
    data = f"data.path={ratings.name}"
    shell("train", *OWN, data, *BRIEF, "hydra.run.dir=one", env=ENVIRONMENT).ok()
    shell("train", *OWN, data, *BRIEF, "loss=ordinal", "hydra.run.dir=two", env=ENVIRONMENT).ok()
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert result["status"] == "completed"
    assert set(result["test"]) == {"mae", "rmse", "spearman", "loss"}
    assert result["test"]["mae"]["low"] < result["test"]["mae"]["value"] < result["test"]["mae"]["high"]

    shell("evaluate", "run=one", env=ENVIRONMENT).refused(2, "'rating.task.Rating' is not allowed", TRUST)
    told = shell("evaluate", "run=one", TRUST, env=ENVIRONMENT).ok().out
    assert "the model reproduces the recorded validation loss" in told
    assert "gain over the prior" in told

    shell("predict", "run=[one,two]", TRUST, data, "output=mean.csv", env=ENVIRONMENT).ok()
    for name in ("one", "two"):
        shell("predict", f"run={name}", TRUST, data, f"output={name}.csv", env=ENVIRONMENT).ok()
    texts = [(tmp_path / f"{name}.csv").read_text() for name in ("one", "two", "mean")]
    columns = [list(csv.DictReader(text.splitlines())) for text in texts]
    assert [len(rows) for rows in columns] == [200] * 3
    for one, two, mean in zip(*columns, strict=True):
        assert float(mean["score"]) == pytest.approx((float(one["score"]) + float(two["score"])) / 2)
    shell("predict", "run=one", TRUST, data, "output=x.csv", "swap=true", env=ENVIRONMENT).refused(2, "about classes")

    shell("compare", "base=one", "other=two", TRUST, "output=compared", env=ENVIRONMENT).ok()
    found = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert list(found["measures"]) == ["absolute_error", "squared_error"]
    for arm, run in (("base", "one"), ("other", "two")):
        known = json.loads((tmp_path / run / "result.json").read_text())["test"]["mae"]["value"]
        assert found["measures"]["absolute_error"][arm] == pytest.approx(known, abs=1e-6)

    # Stopped after four steps and resumed to eight is the same as eight at once.
    shell("train", "resume=one", TRUST, "trainer.max_steps=8", env=ENVIRONMENT).ok()
    shell("train", *OWN, data, *BRIEF, "trainer.max_steps=8", "hydra.run.dir=whole", env=ENVIRONMENT).ok()
    resumed, whole = (json.loads((tmp_path / n / "result.json").read_text()) for n in ("one", "whole"))
    assert resumed["test"] == whole["test"]

    for command, more in (("calibrate", []), ("export", ["output=z"])):
        shell(command, "run=one", TRUST, *more, env=ENVIRONMENT).refused(2, "a rating is a number")


@pytest.mark.slow
def test_real_scores_become_rated_answers_and_train(shell, tmp_path):
    pairs = SHARED / "data" / "arena_bench_judged" / "data.parquet"
    if not pairs.is_file():
        pytest.skip("the scored answers are not here (ARENA_SHARED)")
    import subprocess
    import sys

    environment = os.environ | ENVIRONMENT
    command = [sys.executable, "-m", "rating.prepare", str(pairs), "ratings.parquet"]
    made = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "3893 rated answers" in made.stdout
    shell("train", *OWN, "data.path=ratings.parquet", "data.limit=400", *BRIEF, "hydra.run.dir=r", env=ENVIRONMENT).ok()
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert result["data"]["rows_read"] == 3893
    assert result["data"]["splits"]["train"] + result["data"]["splits"]["val"] + result["data"]["splits"]["test"] == 400
