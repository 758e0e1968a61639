"""What a configuration may say, and what is refused in one line before anything is made."""

import csv
import json

import pytest
import yaml
from support import first_fast

REFUSED = [
    (["+foo=1"], ["foo: nothing reads such a key"]),
    (["++studi=a"], ["studi: nothing reads such a key", "did you mean 'study'?"]),
    (["+evaluate.tragets={accuracy: 0.7}"], ["evaluate.tragets", "did you mean 'targets'?"]),
    (["+monitor.x=1"], ["monitor.x: nothing reads such a key"]),
    (["+data.x=1"], ["data.x"]),
    (["+callback.mine=3"], ["callback.mine", "_target_"]),
    (["study=../../evil"], ["study=../../evil", "a name"]),
    (["study=.."], ["study=..", "a name"]),
    (["study='=cmd'"], ["study==cmd", "a name"]),
    (["study='a\nb'"], [r"study=a\nb", "a name"]),
    (["study=a\nb"], [r"study=a\nb", "quote"]),
    (["tags=['\x1b[31m']"], ["tags=", r"\x1b", "control characters"]),
    (["-m", "sweep=seeds", "study=../evil"], ["../evil", "a name"]),
    (["logger=wandb", "logger.wandb.group='a\nb'"], ["logger.wandb.group", "control characters"]),
    (["trainer=gpu"], ["no GPU", "trainer=cpu"]),
    (["trainer=fsdp"], ["no GPU", "trainer=cpu"]),
    (["-m", "seed=1,2", "trainer=ddp"], ["no GPU", "trainer=cpu"]),
    (["trainer=fsdp", "trainer.accelerator=cpu"], ["trainer.strategy=fsdp", "trainer=cpu"]),
]


@pytest.mark.parametrize(
    ("typed", "words"), first_fast(REFUSED, 7), ids=lambda value: " ".join(value)[:40].replace("\n", " ")
)
def test_train_refuses_in_one_line_and_makes_nothing(shell, tmp_path, typed, words):
    answer = shell("train", *typed, env={"CUDA_VISIBLE_DEVICES": ""})
    answer.refused(2, *words)
    assert len(answer.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("experiment", ["arena55k_qlora", pytest.param("polychromic_0.3", marks=pytest.mark.slow)])
def test_experiments_for_gpus_say_at_once_that_there_is_none(shell, tmp_path, experiment):
    (tmp_path / "rows.csv").write_text("id,prompt,response_a,response_b,winner\n")
    answer = shell("train", f"experiment={experiment}", "data.path=rows.csv", env={"CUDA_VISIBLE_DEVICES": ""})
    answer.refused(2, "no GPU", "trainer=cpu")


def rows(path, heads, label):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", *heads])
        writer.writerows([f"text {i}", *[label if i % 2 else "b"] * len(heads)] for i in range(20))


@pytest.mark.parametrize(
    ("head", "label", "code"), first_fast([("h", "a\x1b", 65), ("..", "a", 2), ("=cmd", "a", 2)], 1)
)
def test_names_of_heads_and_classes_are_names(shell, tmp_path, head, label, code):
    rows(tmp_path / "rows.csv", [head, "other"], label)
    typed = ["task=multihead", "data.path=rows.csv", "data.text=text", f"data.heads=['{head}',other]"]
    shell("train", *typed).refused(code, "characters")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "typed", "tags"),
    [("007", "tags=[1,007,2026-11-27]", ["1", "007", "2026-11-27"]), ("2026-11-27", "tags=[true]", ["true"])],
)
def test_numbers_and_dates_are_text_where_text_is_needed(shell, tmp_path, study, typed, tags):
    shell("train", f"study={study}", typed, "trainer=debug", "test=false", "baselines=[]").ok()
    (run,) = (tmp_path / "outputs" / study).iterdir()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["study"], config["tags"]) == (study, tags)
    assert json.loads((run / "result.json").read_text())["status"] == "completed"


@pytest.mark.parametrize("command", first_fast(["train", "predict", "report"], 1))
def test_version_is_that_of_arena(shell, command):
    from importlib.metadata import version

    assert shell(command, "--version").ok().out == f"arena {version('arena')}\n"
