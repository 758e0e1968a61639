"""Wrong input: the contract's exit code, one line that names the culprit and the way out, nothing left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import first_fast

CASES = [
    (["modle=tiny"], 2, "modle: no such group or key; did you mean 'model'?"),
    (["loss=focl"], 2, "loss=focl: no such choice; did you mean 'focal'?"),
    (["loss=focal", "loss.gama=2"], 2, "loss.gama: no such key; did you mean 'gamma'?"),
    (["optim.lr=abc"], 2, "optim.lr=abc: a number greater than 0 is needed"),
    (["optim.lr=-1"], 2, "optim.lr=-1: a number greater than 0 is needed"),
    (["schedule=lineer"], 2, "schedule=lineer: no such choice; did you mean 'linear'?"),
    (["trainer.max_steps=many"], 2, "trainer.max_steps=many: a whole number, 1 or more, or -1 for no limit is needed"),
    (["trainer.precision=fp7"], 2, "trainer.precision=fp7: one of 32-true, 16-mixed, bf16-mixed"),
    (["trainer.devices=0"], 2, "trainer.devices=0: a whole number, 1 or more, or -1"),
    (["trainer.accelerator=cpu", "trainer.devices=999"], 2, "trainer.devices=999: this machine has "),
    (["trainer.limit_val_batches=0"], 2, "trainer.limit_val_batches=0: a number greater than 0"),
    (["+trainer.max_stepz=3"], 2, "trainer.max_stepz: Trainer has no such argument; did you mean 'max_steps'?"),
    (["monitor.mode=up"], 2, "monitor.mode=up: one of min, max is needed"),
    (["seed=-1"], 2, "seed=-1: a whole number, 0 or more is needed"),
    (["data=pairs"], 2, "data.path: a value is needed; give data.path=..."),
    (["data=pairs", "data.path=nothing.csv"], 74, "data.path=nothing.csv: no such file or folder"),
    (["loss._target_=os.system"], 2, "loss._target_: 'os.system' is not allowed"),
    (["-m", "optim.lr=1e-3,abc"], 2, "optim.lr=abc: a number greater than 0 is needed"),
    (["optim.lr=["], 2, "cannot read 'optim.lr=['"),
    (["resume=nothing"], 74, "no such folder"),
    (["data.swap=true"], 2, "data.swap=True: one of none, both, random is needed"),
    (["data.on_bad_row=skip"], 2, "data.on_bad_row=skip: one of error, quarantine is needed"),
    (["data.max_rejected=2"], 2, "data.max_rejected=2: a number from 0 to 1 is needed"),
    (["data=pairs", "data.path=[a.csv,b.csv]"], 74, "data.path=a.csv: no such file or folder"),
    (["data.test_path=nothing.csv"], 74, "data.test_path=nothing.csv: no such file or folder"),
]
DATA = [
    (["data.template=dgit"], 2, "data.template=dgit: no such template; did you mean 'digit'?"),
    (["data.template=chat"], 2, "the byte tokenizer has no chat template; choose another template or model"),
    (["data.test_share=0"], 2, "there are no test rows; give data.test_share or data.test_path, or test=false"),
    (["data.val_share=0"], 2, "the best weights are chosen on validation rows, and there are none"),
    (["data.folds=5"], 2, "data.fold=None: with data.folds=5 one of 0 to 4 is needed"),
    (["data.labels=[model_a,tie]", "data.swap=both"], 2, "must hold both model_a and model_b"),
]
"""Found once the run folder exists: it says so in `result.json`. What the data refuse besides: tests/data."""


@pytest.mark.parametrize(
    ("arguments", "code", "message"), CASES, ids=lambda x: " ".join(x) if isinstance(x, list) else ""
)
def test_configuration_errors(typed, tmp_path, arguments, code, message):
    found, lines = typed(*arguments)
    assert found == code, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("arena: ")
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"), first_fast(DATA, 3), ids=lambda x: " ".join(x) if isinstance(x, list) else ""
)
def test_data_settings(typed, tmp_path, arguments, code, message):
    found, lines = typed(*arguments, "toy_rows=300", "hydra.run.dir=out")
    assert found == code, lines
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert json.loads((tmp_path / "out" / "result.json").read_text())["status"] == "failed"


def rows_file(path: Path, broken: int) -> None:
    """A hundred good rows and some broken ones."""
    rows = [
        {"id": str(i), "prompt": [f"What is {i * 7919 % 1000}?"], "response_a": ["a"], "response_b": ["b"],
         "winner": ["model_a", "model_b", "tie"][i % 3], "source": "x"}
        for i in range(100)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n" * broken)


@pytest.mark.slow
def test_a_broken_row_stops_unless_it_may_be_set_aside(typed, tmp_path):
    rows_file(tmp_path / "x.jsonl", broken=1)
    common = ("data=pairs", "data.path=x.jsonl", "data.cache=null", "hydra.run.dir=out")
    code, lines = typed(*common)
    assert code == 65
    assert "x.jsonl: row 101" in lines[0]
    assert "data.on_bad_row=quarantine sets such rows aside" in lines[0]
    code, lines = typed(*common[:3], "hydra.run.dir=two", "data.on_bad_row=quarantine")
    assert code == 65
    assert "1 of 101 records cannot be used (E_JSON 0.99%), more than data.max_rejected=0.005" in lines[0]
    [reject] = (tmp_path / "two" / "rejects.jsonl").read_text().splitlines()
    assert json.loads(reject)["code"] == "E_JSON"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["data=pairs", "data.path=x.jsonl"], 2, "output: a value is needed; give output=DIR"),
        (["data=pairs", "data.path=x.jsonl", "output=o", "limits=many"], 2, "limits=many: a list is needed"),
        (["data=pairs", "data.path=y.jsonl", "output=o"], 74, "data.path=y.jsonl: no such file or folder"),
        (["data=pairs", "data.path=x.jsonl", "output=o", "other=y.jsonl"], 74, "y.jsonl: no such file"),
        (["data=pears", "output=o"], 2, "data=pears: no such choice; did you mean 'pairs'?"),
        (["data=pairs", "data.path=x.jsonl", "output=x.jsonl"], 2, "x.jsonl"),
    ],
)
def test_exploring(typed, tmp_path, arguments, code, message):
    rows_file(tmp_path / "x.jsonl", broken=0)
    found, lines = typed(*arguments, module="explore")
    assert found == code, lines
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_configuration_errors_need_no_heavy_import(tmp_path):
    """Faster than torch's import, because torch is not imported: checked by what is loaded, not by a clock."""
    code = (
        "import sys; sys.argv = ['train', 'optim.lr=abc']\n"
        "from arena import train\n"
        "try: train.main()\n"
        "except SystemExit as end: assert end.code == 2\n"
        "heavy = {'torch', 'lightning', 'transformers', 'pyarrow', 'numpy', 'wandb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(root / "src")})


@pytest.mark.slow
def test_a_csv_without_the_needed_columns(typed, tmp_path):
    (tmp_path / "x.csv").write_text("id,prompt,answer\n1,a,b\n")
    code, lines = typed("data=pairs", "data.path=x.csv", "hydra.run.dir=out")
    assert code == 65
    assert len(lines) == 1
    assert "x.csv: missing column response_a, response_b; found id, prompt, answer" in lines[0]
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["status"] == "failed"
    assert result["reason"] in lines[0]


@pytest.mark.slow
def test_an_unreachable_hub(typed, tmp_path):
    code, lines = typed("model=mbert", "hydra.run.dir=out")
    assert code == 74
    assert len(lines) == 1
    assert "model.path=<folder" in lines[0]
    assert "model.pretrained=false" in lines[0]


def test_a_finished_run_is_never_overwritten(typed, tmp_path):
    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    (tmp_path / "out" / "checkpoints" / "last.ckpt").write_bytes(b"precious")
    code, lines = typed("hydra.run.dir=out")
    assert code == 2
    assert "holds a run already" in lines[0]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["checkpoints"]


@pytest.mark.parametrize("module", ["evaluate", "predict", "export", "calibrate"])
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "run: a value is needed; give run=FOLDER"),
        (["run=nothing"], 74, "no such folder"),
        (["run=."], 74, "not a run folder"),
        (["runn=x"], 2, "runn: no such key; did you mean 'run'?"),
        (["x"], 2, "cannot read 'x'; write key=value"),
    ],
)
def test_entry_points_on_runs(typed, module, arguments, code, message):
    output = {"predict": ["output=o.csv"], "export": ["output=o"]}.get(module, [])
    found, lines = typed(*arguments, *output, module=module)
    assert found == code, lines
    assert message in lines[-1]
