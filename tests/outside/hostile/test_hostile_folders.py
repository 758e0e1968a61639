"""Run folders from strangers: nothing in them is executed, written elsewhere or read from the environment.

`everything.py` types every command at the whole corpus; here each attack meets the check, and a few meet the commands.
"""

import copy
import json
import shutil
from pathlib import Path

import corpus
import pytest
from support import compose, first_fast, write_head_rows

from arena.config import compose as config
from arena.config import restore
from arena.core import stored as file
from arena.core.errors import ArenaError
from arena.core.run import RunFolder

KINDS = {
    "comparisons": ["model=tiny"],
    "sampled": ["task=sft", "loss=polychromic", "diversity@loss.score=vendi"],
    "adapted": ["model=minilm", "adapter=lora", "logger=[wandb,tensorboard]", "callback=[ema,early_stopping]"],
    "heads": ["task=multihead", "data.text=text", "data.heads=[stance,sentiment]"],
}


@pytest.fixture
def ground(tmp_path: Path) -> corpus.Ground:
    return corpus.Ground.make(tmp_path / "ground")


@pytest.fixture(params=["comparisons", *(pytest.param(kind, marks=pytest.mark.slow) for kind in list(KINDS)[1:])])
def run(request, tmp_path: Path) -> Path:
    """A run folder as far as the check of its configuration looks at it."""
    chosen = list(KINDS[request.param])
    if request.param == "heads":
        chosen.append(f"data.path={write_head_rows(tmp_path / 'heads.csv', 40)}")
    return made_up(tmp_path / "run", *chosen)


def made_up(path: Path, *chosen: str) -> Path:
    settings = config.resolved(compose(*chosen, f"run_dir={path}"))
    file.write(path / "config.yaml", settings)
    for name in ("best.ckpt", "last.ckpt"):
        (path / "checkpoints").mkdir(exist_ok=True)
        (path / "checkpoints" / name).touch()
    (path / "result.json").write_text(json.dumps({"status": "preempted"}))
    return path


def test_what_arena_stores_passes(run):
    """Also those of Lightning's classes that conf/ names."""
    found = RunFolder(run)
    assert restore.check_stored(found, restore.stored_values(found))["run_dir"] == str(run)


def test_every_place_refuses_what_is_not_of_its_kind(run, ground):
    found = RunFolder(run)
    settings = restore.stored_values(found)
    metrics = [key for key in corpus.places(settings) if key.startswith("metric.metrics.")]
    # One metric is like the other; `everything.py` takes all of them.
    for key in (*(key for key in corpus.places(settings) if key not in metrics[1:]), *corpus.NEW_PLACES):
        for name, node in corpus.nodes(key, ground).items():
            hostile = copy.deepcopy(settings)
            corpus.put(hostile, key, node)
            with pytest.raises(ArenaError, match="config.yaml: ") as refusal:
                restore.check_stored(found, hostile)
            assert refusal.value.code in (2, 65), (key, name, refusal.value)
    assert ground.harm() == []


def test_interpolations_are_text(run, monkeypatch):
    monkeypatch.setenv("CANARY_SECRET", corpus.SECRET)
    settings = file.read(run / "config.yaml")
    settings |= {"study": "${oc.env:CANARY_SECRET}", "tags": ["${", "\\${x}", "${now:%Y}", "1e3", "2026-01-01"]}
    file.write(run / "config.yaml", settings)
    found = restore.check_stored(RunFolder(run), restore.stored_values(RunFolder(run)))
    assert (found["study"], found["tags"]) == (settings["study"], settings["tags"])


TYPED = [
    (["evaluate", "run=run"], "loss", "function"),
    (["predict", "run=run", "data.path=rows.csv", "output=o.csv"], "evaluator", "sender"),
    (["calibrate", "run=run"], "callback.evil", "outside"),
    (["export", "run=run", "output=out"], "logger.evil", "kind"),
    (["evaluate", "run=run"], "metric.metrics.log_loss", "outside"),
    (["train", "resume=run"], "trainer.profiler", "writer"),
    (["train", "resume=run"], "task.module", "function"),
]


@pytest.mark.parametrize(
    ("command", "key", "name"), first_fast(TYPED, 2), ids=lambda each: each if isinstance(each, str) else each[0]
)
def test_commands_refuse_hostile_folders(shell, tmp_path, ground, command, key, name):
    place = made_up(tmp_path / "run")
    settings = file.read(place / "config.yaml")
    corpus.put(settings, key, corpus.nodes(key, ground)[name])
    file.write(place / "config.yaml", settings)
    (tmp_path / "rows.csv").write_text("id,prompt,response_a,response_b\n1,a,b,c\n")
    (place / "metrics.csv").write_text("step,epoch,split,name,value\n")
    module, *arguments = command
    shell(module, *arguments, env=ground.variables()).refused(65, f"config.yaml: {key}._target_: ", "is not allowed")
    assert ground.harm() == []


@pytest.mark.parametrize("damage", first_fast(["cut off", "tag", "bomb", "deep", "empty", "large", "list"], 2))
def test_damaged_configurations_are_named(shell, tmp_path, ground, damage):
    place = made_up(tmp_path / "run")
    whole = (place / "config.yaml").read_text()
    texts = {"empty": "", "cut off": whole[: len(whole) // 3], "large": "a: 1\n" * 300_000, "list": "[1]\n"}
    if damage in corpus.FILES:
        corpus.FILES[damage](place, ground)
    else:
        (place / "config.yaml").write_text(texts[damage])
    commands = [["evaluate", "run=run"], ["train", "resume=run"]]
    for command in commands if damage in ("bomb", "cut off") else commands[:1]:
        shell(*command, env=ground.variables(), timeout=20).refused(65, "config.yaml: ")
    assert ground.harm() == []


@pytest.mark.parametrize("name", [name for name in corpus.FILES if name.startswith("link")])
def test_links_that_lead_out_are_refused(tmp_path, ground, name):
    place = made_up(tmp_path / "run")
    corpus.FILES[name](place, ground)
    with pytest.raises(ArenaError, match="a link that leads out of") as refusal:
        RunFolder(place).require()
    assert refusal.value.code == 65


@pytest.mark.slow
def test_stored_command_lines_and_places_have_no_effect(shell, pairwise_run, tmp_path, ground):
    """What is no longer read or written: Hydra's files, another folder for rejects, a note of W&B that leads out."""
    place = tmp_path / "run"
    shutil.copytree(pairwise_run, place)
    for name in ("overrides", "hydra", "hydra config", "synced"):
        corpus.FILES[name](place, ground)
    settings = file.read(place / "config.yaml") | {"study": "${oc.env:CANARY_SECRET}"}
    corpus.put(settings, "data.ingest.rejects", str(ground.sentinel / "notes.txt"))
    corpus.put(settings, "data.cache", str(ground.sentinel))
    file.write(place / "config.yaml", settings)
    env = ground.variables()
    shell("calibrate", "run=run", "resamples=0", env=env)
    answers = [
        shell("report", "run", "wandb=true", env=env),
        shell("train", "resume=run", "trainer.max_steps=13", env=env).ok(),
    ]
    assert ground.harm() == []
    assert not any(corpus.SECRET in answer.out + answer.err for answer in answers)
    for path in place.rglob("*"):
        assert not path.is_file() or corpus.SECRET.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_pickles_are_not_unpickled(shell, pairwise_run, tmp_path, ground):
    shutil.copytree(pairwise_run, tmp_path / "run")
    for name in ("best pickle", "last pickle"):
        corpus.FILES[name](tmp_path / "run", ground)
    env = ground.variables()
    shell("evaluate", f"run={pairwise_run}", "checkpoint=run/checkpoints/best.ckpt", "output=o", env=env).refused(74)
    assert shell("train", "resume=run", "trainer.max_steps=14", env=env).code in (65, 74)
    assert ground.harm() == []
