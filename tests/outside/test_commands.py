"""Every command: its help, a bare call, a key that does not exist, and real runs with all of its options."""

import csv
import shlex
import shutil

import pytest
from support import first_fast

COMMANDS = [
    "train",
    "evaluate",
    "predict",
    "compare",
    "calibrate",
    "baseline",
    "explore",
    "export",
    "report",
]
NEAR = {
    "train": ("sed=1", "seed"), "evaluate": ("resample=1", "resamples"), "predict": ("swp=true", "swap"),
    "compare": ("bse=x", "base"), "calibrate": ("metod=bias", "method"), "baseline": ("modls=[length]", "models"),
    "explore": ("sed=1", "seed"), "export": ("mrge=true", "merge"),
    "report": ("storge=x", "storage"),
}  # fmt: skip

TYPED = {
    "evaluate": [
        """run=pairwise checkpoint=pairwise/checkpoints/best.ckpt output=e 'targets={accuracy: 0.1}'
        resamples=10 verify=true data.path=rows.csv data.on_bad_row=quarantine 'trusted_packages=[mine]'""",
        """run=replies samples=2 max_new_tokens=4 temperature=0.9 top_p=0.9 top_k=50 prompts=3 split=val seed=1
        batch_size=2 name=few encoder=hash checker=rules checker.min_words=1 checker.max_words=9
        success=0.5 resamples=10""",
        """run=replies samples=2 max_new_tokens=4 prompts=3 split=val name=few encoder=null checker=regex
        'checker.pattern=[a-z]+' checker.must=false seed=1 resamples=10 verify=false""",
    ],
    "predict": [
        """run=pairwise data.path=rows.csv output=p.parquet format=probabilities swap=true average=logarithm
        weights=equal rules=true calibrated=false checkpoint=pairwise/checkpoints/best.ckpt out_of_fold=false
        on_bad_row=prior 'trusted_packages=[mine]'""",
        "'run=[pairwise,other]' data.path=rows.csv output=k.csv format=kaggle",
    ],
    "calibrate": [
        "run=heads method=bias decision=bias heads=null bins=5 resamples=10 seed=1 output=c 'trusted_packages=[mine]'",
    ],
    "compare": [
        """base=pairwise other=other split=test name=default metric=accuracy primary=accuracy rows=common
        margin=0.02 pass_margin=0.02 'bands={none: 0, weak: 0.1}' resamples=100 seed=1 output=cmp
        'trusted_packages=[mine]'""",
        "'runs=[pairwise,other]' x=log_loss y=accuracy by=seed split=val resamples=100 output=f",
    ],
    "baseline": [
        """data=pairs data.path=rows.csv data.limit=100 'models=[length]' output=b resamples=10 seed=1 study=s
        toy_rows=10 data.folds=5 data.fold=0""",
        """task=multihead data.path=heads.csv data.text=text 'data.heads=[stance,sentiment]' hydra.run.dir=bb
        'models=[prior]' resamples=0""",
    ],
    "explore": [
        """data=pairs data.path=rows.csv data.limit=100 model=tiny output=page 'limits=[64,128]' other=rows.csv
        data.folds=5 data.fold=0""",
    ],
    "export": [
        """run=pairwise output=x merge=true name=mine checkpoint=pairwise/checkpoints/best.ckpt
        'trusted_packages=[mine]'""",
        "'run=[pairwise,other]' average=true output=a 'trusted_packages=[mine]'",
    ],
    "report": ["pairwise"],
}
"""Command lines that together hold every option; `heads`, `pairwise` and `replies` are runs, `other` a second one."""


FEW = ("train", "predict", "report")
"""Their help and their bare call are in the fast suite, those of the others in the slow one."""
BARE = [each if each in FEW else pytest.param(each, marks=pytest.mark.slow) for each in COMMANDS]


@pytest.mark.parametrize("command", BARE)
def test_help_names_the_command(shell, command):
    printed = shell(command, "--help").ok().out
    assert f"python -m arena.{command}" in printed
    assert " _" not in printed  # YAMLs that others build on are no choices


@pytest.mark.parametrize("command", BARE[1:])
def test_bare_call_is_one_line(shell, command):
    answer = shell(command)
    answer.refused(2)
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("command", first_fast(COMMANDS, 3))
def test_unknown_key_gets_the_nearest_name(shell, tmp_path, command):
    typed, near = NEAR[command]
    beside = {"explore": ["output=page"]}.get(command, [])
    shell(command, typed, *beside).refused(2, typed.partition("=")[0], f"'{near}'")
    assert not list(tmp_path.iterdir())


def write_rows(path):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "response_a", "response_b", "winner"])
        for i in range(120):
            winner = ("model_a", "model_b", "tie")[i % 3]
            writer.writerow(
                [i, f'["question {i} of many"]', f'["yes {i}{" more" * (i % 7)}"]', f'["no {i * i}"]', winner]
            )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "typed"),
    [(command, typed) for command, lines in TYPED.items() for typed in lines if "merge=" not in typed],
    ids=lambda value: value.split()[0],
)
def test_all_options_of_a_command(shell, trained, tmp_path, command, typed):
    """The words that each command is documented to take are taken, together and on real runs."""
    words = shlex.split(typed)
    needed = {name for name in ("pairwise", "heads", "replies", "other") if name in typed}
    for name in sorted(needed):
        shutil.copytree(trained("pairwise" if name == "other" else name), tmp_path / name)
        if name == "other":  # another seed of the same recipe, as far as a comparison knows
            for file, seed in (("config.yaml", "\nseed: {}\n"), ("result.json", '"seed": {},')):
                place = tmp_path / "other" / file
                place.write_text(place.read_text().replace(seed.format(0), seed.format(1)))
    if "heads" in needed:
        shutil.copy(trained("heads").parent / "heads.csv", tmp_path)
    write_rows(tmp_path / "rows.csv")
    answer = shell(command, *words)
    # 65: few steps make no skill that could be calibrated
    assert answer.code in {"calibrate": (0, 65)}.get(command, (0,)), answer
    assert "no such key" not in answer.err


@pytest.mark.slow
def test_explore_names_a_missing_tokenizer(shell, tmp_path):
    write_rows(tmp_path / "rows.csv")
    shell("explore", "data=pairs", "data.path=rows.csv", "output=page", "model=minilm", "model.path=none").refused(
        74, "none"
    )


@pytest.mark.slow
def test_push_is_refused_before_anything_is_written(shell, trained, tmp_path):
    run = f"run={trained('pairwise')}"
    shell("export", run, "output=x", "push=me/judge").refused(74, "push=me/judge", "hub cannot be reached")
    shell("export", run, "output=x", "push=a/b/c").refused(2, "push=a/b/c", "USER/NAME")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", first_fast(["predict", "baseline", "compare"], 1))
def test_cfg_prints_the_values(shell, tmp_path, command):
    """`--cfg job`, as for arena.train: nothing is read and nothing is written."""
    typed = {"predict": ["run=x", "data.limit=3"], "baseline": ["toy_rows=30"], "compare": ["metric=a,b"]}[command]
    wanted = {"predict": "limit: 3", "baseline": "toy_rows: 30", "compare": "metric:\n- a\n- b"}[command]
    answer = shell(command, *typed, "--cfg", "job").ok()
    assert wanted in answer.out
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_all_options_of_report(shell, tmp_path):
    small = ["trainer.max_steps=2", "data.limit=100", "test=false", "baselines=[]", "resamples=0"]
    shell("train", "-m", *small, "sweep=seeds", "seed=range(0,2)").ok()
    place = f"sqlite:///{tmp_path}/multirun/seeds/study.db"
    shell("report", "multirun/seeds", "output=page", "study=seeds", f"storage={place}").ok()
    assert (tmp_path / "page" / "report.html").is_file()
