"""`python -m arena.evaluate` on a run that writes replies: what it leaves, and one line for whatever is wrong."""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from replies_support import Replies

from arena.config import build, restore
from arena.config.options import help_text, read
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.run import RunFolder
from arena.evaluate import EvaluateOptions
from arena.evaluation.generation import command

SMALL = ["samples=3", "max_new_tokens=8", "prompts=6", "encoder=hash"]


@pytest.fixture
def run(train_run):
    """A small language model after two steps on toy stories."""
    few = ["trainer.max_steps=2", "data.val_share=0.5", "data.test_share=0", "test=false"]
    return train_run("run", "task=sft", "baselines=[]", "data.limit=40", *few)


def evaluate(run: RunFolder, *arguments: str):
    given = read(EvaluateOptions, [f"run={run.path}", "resamples=20", *arguments])
    settings = restore.settings_of(run)
    task, data = restore.rebuild(run, settings), build.data(settings)
    return command.evaluate_replies(given, given.split, given.name, settings, task, data, run)


@pytest.mark.slow
def test_a_run_is_judged_on_its_replies(run, capsys):
    arguments = ["split=val", *SMALL]
    judged = evaluate(run, *arguments, "checker=regex", "checker.pattern=[aeiou]")
    folder = run.path / "generations" / "default"
    names = {"generations.parquet", "settings.json", "measures.parquet", "evaluation.json"}
    assert {path.name for path in folder.iterdir()} == names | {"distributions.png", "curves.png"}
    replies = pq.read_table(folder / "generations.parquet")
    data: Any = build.data(restore.settings_of(run))
    data.setup()
    known = dict(zip(data.prompt_texts("val"), data.reference_replies("val"), strict=True))
    assert replies.num_rows == 3 * judged["prompts"] == 18
    assert set(replies["prompt"].to_pylist()) <= set(known)
    assert set(replies["reference"].to_pylist()) <= set(data.reference_replies("val"))
    assert max(replies["tokens"].to_pylist()) <= 8
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["rows"] == 6
    assert settings["fingerprint"] == data.summary()["fingerprint"]
    assert settings["checker"]["pattern"] == "[aeiou]"
    shown = capsys.readouterr().out
    assert "run, val: 6 prompts" in shown
    assert "pass@3" in shown
    assert "caution: " in shown  # hardly trained, it goes on for ever
    assert f"replies, measures and pictures: {folder}" in shown
    before = (folder / "generations.parquet").read_bytes()

    # Another checker judges the same replies; nothing is sampled again.
    again = evaluate(run, *arguments)
    assert (folder / "generations.parquet").read_bytes() == before
    assert "these replies are there already" in capsys.readouterr().out
    assert "pass@1" not in again["measures"]
    assert again["measures"]["distinct_1"] == judged["measures"]["distinct_1"]

    with pytest.raises(UsageError, match="holds replies made with samples=3, not samples=2; give name=OTHER"):
        evaluate(run, *arguments, "samples=2")
    evaluate(run, *arguments, "samples=1", "temperature=0", "name=greedy")
    greedy = json.loads((run.path / "generations" / "greedy" / "evaluation.json").read_text())
    assert greedy["measures"]["self_bleu_2"]["value"] is None
    assert greedy["measures"]["self_bleu_2"]["reason"] == "6 of 6 prompts: fewer than two texts with words"
    with pytest.raises(DataError, match="split=test: the run has no rows there; give another split"):
        evaluate(run, "name=other", *SMALL)
    with pytest.raises(UsageError, match="none of split=val is of use: the reference holds no number"):
        evaluate(run, "name=other", "split=val", "checker=exact_number", *SMALL)
    assert not (run.path / "generations" / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["samples=0"], "samples=0: a whole number, 1 or more is needed"),
        (["max_new_tokens=0"], "max_new_tokens=0: a whole number, 1 or more is needed"),
        (["temperature=-1"], "temperature=-1: a number, 0 or more is needed"),
        (["temperature=0"], "temperature=0: all 8 samples of a prompt would be the same; give samples=1"),
        (["top_p=0"], "top_p=0: no token would be left"),
        (["top_p=2"], "top_p=2: a number from 0 to 1 is needed"),
        (["prompts=many"], "prompts=many: a whole number, 1 or more or null is needed"),
        (["split=all"], "split=all: one of train, val, test is needed"),
        (["encoder=bert"], "encoder=bert: one of minilm, hash or null is needed"),
        (["name=a/b"], "name=a/b: a name of 1 to 100 characters without / and "),
        (["name=.."], "name=..: a name of 1 to 100 characters without / and "),
        (["success=2"], "success=2: a number from 0 to 1 is needed"),
        (["sample=3"], "sample: no such key; did you mean 'samples'?"),
        (["checker=regexp"], "checker=regexp: no such checker; did you mean 'regex'?"),
        (["checker=regex", "checker.pattern=[a"], "checker.pattern=[a: no regular expression"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, arguments, message):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    with pytest.raises(UsageError) as error:
        command.check(read(EvaluateOptions, [f"run={tmp_path}", *arguments]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.code == 2


def test_prompts_null_means_all(tmp_path):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    options = read(EvaluateOptions, [f"run={tmp_path}", "prompts=null", "encoder=null"])
    assert (options.prompts, options.encoder, command.check(options)) == (None, None, None)
    assert command.encoder_of(options.encoder) is None


def test_every_key_is_in_the_usage():
    usage = help_text(EvaluateOptions)
    for key in command.KEYS:
        assert f" {key}=" in usage, key
    from arena.evaluation.generation.checkers import CHECKERS

    for name in CHECKERS:
        assert f" {name}: " in usage, name


def test_a_checker_without_references():
    class Without(Replies):
        def reference_replies(self, split):
            return [""] * len(self.prompts)

    checker = command.check(read(EvaluateOptions, ["run=x", "checker=exact_number"]))
    assert checker is not None
    with pytest.raises(UsageError, match="none of split=test is of use: the rows have no replies"):
        command.insist_on_references(checker, Without(), "test")


def test_a_half_written_settings_file(tmp_path):
    from arena.evaluation.generation.store import read_settings

    (tmp_path / "settings.json").write_text('{"sampl')
    with pytest.raises(InputOutputError, match="settings.json: cannot be read .* delete"):
        read_settings(tmp_path)
