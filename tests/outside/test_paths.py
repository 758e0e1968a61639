"""Names with any characters that a file system allows, typed once and printed so that they can be pasted."""

import shlex
import shutil

import pytest
import yaml
from support import first_fast

from arena.core.data_keys import full

NAMES = [
    "Ünï (cödé), [x]=1.csv", "a 'b' \"c\".csv", "#;{$\\`&|<>.csv", "*~.csv", "~.csv", "[a,b]",
    "${oc.env:HOME}", "x\ny", "1", "c:\\",
]  # fmt: skip
KEYS = [
    "data.path", "data.val_path", "data.test_path", "data.hardness", "data.teacher", "data.offset",
    "data.pseudo_path", "data.pseudo_labels", "model.path", "hydra.run.dir",
]  # fmt: skip


def test_existing_paths_are_taken_literally(shell, tmp_path):
    folder = tmp_path / "é [x]=1 (MIT), {#;'"
    folder.mkdir()
    for name in NAMES:
        (folder / name).touch()
    for shift in (0, 1):
        given = dict(zip(KEYS, NAMES[shift:] + NAMES[:shift], strict=True))
        typed = [f"{key}={name}" for key, name in given.items()]
        answer = shell("train", "model=minilm", "data=pairs", *typed, "--cfg", "all", cwd=folder).ok()
        for key, name in given.items():
            found = yaml.safe_load(answer.out)
            for part in full(key).split("."):
                found = found[part]
            assert found == name.replace("${", "\\${"), key  # printed as OmegaConf would read it again


@pytest.mark.parametrize(
    ("typed", "found"),
    first_fast(
        [
            ("[a.csv,b, c.csv]", ["a.csv", "b, c.csv"]),
            ("a.csv", "a.csv"),
            ("'a b.csv'", "a b.csv"),
            ('["a.csv",d.csv]', ["a.csv", "d.csv"]),
            ("no (1), such", "no (1), such"),
        ],
        1,
    ),
)
def test_lists_and_quotes_of_hydra_are_still_read(shell, tmp_path, typed, found):
    for name in ("a.csv", "b, c.csv"):
        (tmp_path / name).touch()
    answer = shell("train", "data=pairs", f"data.path={typed}", "--cfg", "job").ok()
    assert yaml.safe_load(answer.out)["data"]["path"] == found


def test_missing_paths_are_named(shell):
    shell("train", "data=pairs", "data.path=no (1), [such]=file").refused(74, "data.path=no (1), [such]=file")
    shell("evaluate", "run=no (1), [such]=run").refused(74, "no (1), [such]=run")


@pytest.mark.slow
def test_commands_work_in_folders_with_special_characters(shell, pairwise_run, tmp_path):
    folder = tmp_path / "Ünï (cödé), [x]=1 #;'"
    folder.mkdir()
    run = shutil.copytree(pairwise_run, folder / "r, [1]")
    answer = shell("train", "hydra.run.dir=r, [1]", cwd=folder)
    assert shlex.quote(str(run)) in answer.refused(2, "resume=")
    shell("evaluate", "run=r, [1]", "output=e {1}, 'x'", "verify=false", cwd=folder).ok()
    assert (folder / "e {1}, 'x'" / "evaluation.json").is_file()
    sweep = ["sweep=seeds", "seed=range(0,2)", "hydra.sweep.dir=m, %20 {x}?"]
    small = ["trainer.max_steps=2", "data.limit=100", "test=false", "baselines=[]"]
    shell("train", "-m", *small, *sweep, cwd=folder).ok()
    shell("report", "m, %20 {x}?", cwd=folder).ok()
    assert (folder / "m, %20 {x}?" / "report.html").is_file()
