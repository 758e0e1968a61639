"""Wrong input: the contract's exit code, one line that names the culprit and the way out, nothing left behind."""

from pathlib import Path

import pytest

CASES = [
    (["modle=tiny"], 2, "modle: no such group or key; did you mean 'model'?"),
    (["loss=focl"], 2, "loss=focl: no such choice; did you mean 'focal'?"),
    (["loss=focal", "loss.gama=2"], 2, "loss.gama: no such key; did you mean 'gamma'?"),
    (["optim.lr=abc"], 2, "optim.lr=abc: a number greater than 0 is needed"),
    (["optim.lr=-1"], 2, "optim.lr=-1: a number greater than 0 is needed"),
    (["optim.schedule=lineer"], 2, "optim.schedule=lineer: one of constant, linear, cosine, plateau is needed"),
    (["trainer.max_steps=many"], 2, "trainer.max_steps=many: a whole number is needed"),
    (["+trainer.max_stepz=3"], 2, "trainer.max_stepz: Trainer has no such argument; did you mean 'max_steps'?"),
    (["monitor.mode=up"], 2, "monitor.mode=up: one of min, max is needed"),
    (["seed=-1"], 2, "seed=-1: a whole number, 0 or more is needed"),
    (["data=pairs"], 2, "data.path: a value is needed; give data.path=..."),
    (["data=pairs", "data.path=nothing.csv"], 74, "data.path=nothing.csv: no such file or folder"),
    (["loss._target_=os.system"], 2, "loss._target_: 'os.system' is not allowed"),
    (["-m", "optim.lr=1e-3,abc"], 2, "optim.lr=abc: a number greater than 0 is needed"),
    (["optim.lr=["], 2, "cannot read 'optim.lr=['"),
    (["resume=nothing"], 74, "no such folder"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), CASES, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_configuration_errors(arena, tmp_path, arguments, code, message):
    done = arena("train", *arguments, timeout=60)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("arena: ")
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_configuration_errors_need_no_heavy_import(tmp_path):
    """Faster than torch's import, because torch is not imported: checked by what is loaded, not by a clock."""
    import subprocess
    import sys

    code = (
        "import sys; sys.argv = ['train', 'optim.lr=abc']\n"
        "from arena import train\n"
        "try: train.main()\n"
        "except SystemExit as end: assert end.code == 2\n"
        "heavy = {'torch', 'lightning', 'transformers', 'pyarrow', 'numpy', 'wandb'} & set(sys.modules); assert not heavy, heavy"
    )
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(root / "src")})


def test_a_csv_without_the_needed_columns(arena, tmp_path):
    (tmp_path / "x.csv").write_text("id,prompt,answer\n1,a,b\n")
    done = arena("train", "data=pairs", "data.path=x.csv", "hydra.run.dir=out")
    assert done.returncode == 65, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "x.csv" in done.stderr
    assert "response_a" in done.stderr


def test_an_unreachable_hub(arena, tmp_path):
    done = arena("train", "model=mbert", "hydra.run.dir=out")
    assert done.returncode == 74, done.stderr
    assert "model.path=<folder" in done.stderr
    assert "model.pretrained=false" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
