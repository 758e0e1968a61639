"""Passwords and tokens are in no file and in no line; a run that goes on asks for them."""

import pytest

SECRET = "hunter2hunter2"
SMALL = ["data.limit=120", "data.batch_size=16", "trainer.max_steps=2", "resamples=0", "baselines=[]", "test=false"]
SMALL += ["evaluate.figures=false"]


def assert_clean(folder, *answers):
    """No file below `folder`, whatever its format, and no line of the answers holds the secret."""
    found = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert found == []
    for answer in answers:
        assert SECRET not in answer.out + answer.err, answer


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tags=['${oc.env:MINE}']"], 2, ["tags: it would be read from the environment"]),
        (["data=pairs", f"data.path=https://u:{SECRET}@h/x.csv"], 74, ["https://u:***@h/x.csv"]),
        ([f"+hydra.job.env_set.TOKEN={SECRET}", "data.limt=3"], 2, ["data.limt"]),
        ([f"logger.mlflow.password={SECRET}"], 2, ["logger.mlflow"]),
    ],
)
def test_refusals_do_not_repeat_secrets(shell, tmp_path, arguments, code, words):
    answer = shell("train", *arguments, env={"MINE": SECRET})
    answer.refused(code, *words)
    assert_clean(tmp_path, answer)


@pytest.mark.slow
def test_a_run_keeps_no_secret_and_asks_for_it_when_it_goes_on(shell, tmp_path):
    secrets = [f"+hydra.job.env_set.TOKEN={SECRET}", f"tags=['https://u:{SECRET}@h/x']"]
    trained = shell("train", *SMALL, "logger=wandb", *secrets, "hydra.run.dir=run").ok()
    assert_clean(tmp_path, trained)
    assert "https://u:***@h/x" in (tmp_path / "run/config.yaml").read_text()
    assert "https://u:***@h/x" in (tmp_path / "run/.hydra/overrides.yaml").read_text()

    on = ["resume=run", "trainer.max_steps=4", "tags=[]"]
    shell("train", *on).refused(2, "logger.wandb.tags", "keeps no passwords", "again")
    resumed = shell("train", *on, f"logger.wandb.tags=['https://u:{SECRET}@h/x']").ok()
    assert_clean(tmp_path, resumed)


@pytest.mark.slow
def test_a_grid_keeps_no_secret(shell, tmp_path):
    answer = shell("train", "-m", "seed=0,1", "study=grid", f"tags=['https://u:{SECRET}@h/x']", *SMALL).ok()
    assert_clean(tmp_path, answer)
    assert "https://u:***@h/x" in (tmp_path / "multirun/grid/multirun.yaml").read_text()
