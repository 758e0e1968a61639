"""`arena.predict` from the command line to the file, on real runs and rows with real trouble in them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import ROOT

from arena import predict
from arena.config.options import read
from arena.core.errors import DataError, InputOutputError, Interrupted, UsageError
from arena.inference.options import PredictOptions

pytestmark = pytest.mark.slow  # two runs are trained for it

ROWS = 90


def write_rows(path, swapped=False, rows=ROWS):
    """Kaggle's test columns; row 5 has identical answers, row 6 an empty answer A."""
    words = ["the", "red", "fox", "sees", "an", "old", "house", "by", "the", "sea", "and", "sings"]
    draw = np.random.default_rng(0)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "response_a", "response_b"])
        for i in range(rows):
            texts = [" ".join(draw.choice(words, draw.integers(1, 25))) for _ in range(3)]
            if i == 5:
                texts[2] = texts[1]
            cells = [json.dumps([None if (i == 6 and k == 1) else text]) for k, text in enumerate(texts)]
            if swapped:
                cells[1], cells[2] = cells[2], cells[1]
            writer.writerow([f"{i:04d}", *cells])
    return path


def run(folders, tmp_path, name, *arguments):
    """The command in this process; returns header, ids and numbers of the file."""
    source = tmp_path / "rows.csv"
    if not source.exists():
        write_rows(source)
    runs = "[" + ",".join(str(folder.path) for folder in folders) + "]"
    given = [f"run={runs}", f"data.path={source}", f"output={tmp_path / name}", "data.cache=null"]
    given = [each for each in given if not any(a.partition("=")[0] == each.partition("=")[0] for a in arguments)]
    predict.predict(read(PredictOptions, [*given, *arguments]))
    with open(tmp_path / name, newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    return header, [line[0] for line in lines], np.array([list(map(float, line[1:])) for line in lines])


def test_a_submission_of_two_folds_is_the_mean_of_both(folds, tmp_path):
    _, _, first = run([folds["0"]], tmp_path, "0.csv")
    _, _, second = run([folds["1"]], tmp_path, "1.csv")
    assert abs(first - second).max() > 1e-3
    header, ids, both = run([folds["0"], folds["1"]], tmp_path, "x.csv", "format=kaggle")
    assert header == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    assert ids == [f"{i:04d}" for i in range(ROWS)]
    assert both == pytest.approx((first + second) / 2, abs=1e-12)
    assert abs(both.sum(axis=1) - 1).max() < 1e-12
    _, _, weighted = run([folds["0"], folds["1"]], tmp_path, "x.csv", "weights=[3,1]")
    assert weighted == pytest.approx((3 * first + second) / 4, abs=1e-12)
    _, _, geometric = run([folds["0"], folds["1"]], tmp_path, "x.csv", "average=logarithm")
    product = np.sqrt(first * second)
    assert geometric == pytest.approx(product / product.sum(axis=1, keepdims=True), abs=1e-12)


@pytest.mark.parametrize("average", ["probability", "logarithm"])
def test_with_swap_a_swapped_file_gives_the_swapped_answer(folds, tmp_path, capsys, average):
    other = write_rows(tmp_path / "other.csv", swapped=True)
    chosen = [folds["0"], folds["1"]], tmp_path, "x.csv"
    _, _, straight = run(*chosen, "swap=true", f"average={average}")
    _, _, mirrored = run(*chosen, "swap=true", f"average={average}", f"data.path={other}")
    assert straight == pytest.approx(mirrored[:, [1, 0, 2]], abs=1e-6)
    _, _, alone = run(*chosen, f"average={average}")
    _, _, other_alone = run(*chosen, f"average={average}", f"data.path={other}")
    assert abs(alone - other_alone[:, [1, 0, 2]]).max() > 1e-3, "without it the order matters"
    if average == "probability":
        assert straight == pytest.approx((alone + other_alone[:, [1, 0, 2]]) / 2, abs=1e-6)
    said = capsys.readouterr().out
    assert "0: the two orders disagree on the class of " in said
    assert "1: the two orders disagree on the class of " in said


def test_the_disagreement_is_counted(capsys):
    from arena.inference.prediction import report_disagreement

    straight = np.array([[0.6, 0.4], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    report_disagreement("x", straight, np.array([[0.4, 0.6], [0.8, 0.2], [0.2, 0.8], [0.9, 0.1]]))
    wanted = "x: the two orders disagree on the class of 25.0% of the rows; their probabilities are 0.1000 apart"
    assert wanted in capsys.readouterr().out


def test_rules_are_by_choice_and_counted(folds, tmp_path, capsys):
    _, _, plain = run([folds["0"]], tmp_path, "x.csv")
    assert "overridden" not in capsys.readouterr().out
    _, _, ruled = run([folds["0"]], tmp_path, "x.csv", "rules=true")
    assert "1 rows with identical answers, 1 with one empty answer" in capsys.readouterr().out
    assert ruled[5] == pytest.approx([0.06, 0.06, 0.88], abs=1e-15)
    assert ruled[6] == pytest.approx([0.04, 0.88, 0.08], abs=1e-15)
    same = [i for i in range(ROWS) if i not in (5, 6)]
    assert (ruled[same] == plain[same]).all()
    assert abs(plain[5:7] - ruled[5:7]).max() > 0.1


def test_two_classes_in_three_columns(folds, tmp_path, capsys):
    header, _, found = run([folds["two"]], tmp_path, "x.csv", "format=kaggle")
    assert header[3] == "winner_tie"
    assert found[:, 2] == pytest.approx(1e-6, abs=1e-12)
    assert abs(found.sum(axis=1) - 1).max() < 1e-12
    assert "the run has no class for ties: winner_tie is 1e-06" in capsys.readouterr().out


def test_weights_come_from_validation(folds, tmp_path, capsys):
    """The two folds share one weight; the printed losses are those of the stored predictions."""
    chosen = [folds["0"], folds["focal"], folds["1"]]
    _, _, found = run(chosen, tmp_path, "x.csv", "weights=validation")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines] == ["0", "focal", "ensemble"]
    assert lines[0][1:3] == ["(2", "folds)"]
    losses = []
    target = None
    for name in ("0", "focal"):
        table = {row["id"]: row for row in pq.read_table(folds[name].predictions("val")).to_pylist()}
        target = {i: row["target"] for i, row in table.items()}
        losses.append(np.mean([-np.log(row[f"probability_{row['target']}"]) for row in table.values()]))
    assert target is not None
    assert float(lines[0][3]) == pytest.approx(losses[0], abs=6e-5)
    assert float(lines[1][1]) == pytest.approx(losses[1], abs=6e-5)
    assert float(lines[2][1]) <= min(losses) + 6e-5
    weights = float(lines[0][5]), float(lines[1][3])
    assert sum(weights) == pytest.approx(1, abs=2e-4)
    single = [run([run_folder], tmp_path, "y.csv")[2] for run_folder in chosen]
    expected = weights[0] / 2 * (single[0] + single[2]) + weights[1] * single[1]
    assert found == pytest.approx(expected, abs=2e-4)


def test_recipes_without_common_rows_have_no_weights(folds, tmp_path):
    with pytest.raises(DataError, match="the 2 recipes have 0 validation rows in common, at least 50 are needed"):
        run([folds["1"], folds["focal"]], tmp_path, "x.csv", "weights=validation")
    assert list(tmp_path.glob(".x*")) == []


def test_other_classes_are_named_with_both_runs(folds, tmp_path):
    with pytest.raises(DataError, match=r"two has the classes model_a, model_b, .*/0 has model_a, model_b, tie"):
        run([folds["0"], folds["two"]], tmp_path, "x.csv")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["output=x.txt"], UsageError, "must end in .csv or .parquet"),
        (["format=kagle"], UsageError, "format=kagle: one of probabilities, kaggle, wsdm is needed"),
        (["swap=both"], UsageError, "swap=both: true or false is needed"),
        (["average=median"], UsageError, "average=median: one of probability, logarithm is needed"),
        (["weights=[1]"], UsageError, "2 numbers, 0 or more and not all 0, are needed"),
        (["weights=[1,-1]"], UsageError, "2 numbers, 0 or more and not all 0, are needed"),
        (["weights=[0,0]"], UsageError, "2 numbers, 0 or more and not all 0, are needed"),
        (["weights=best"], UsageError, "one of equal, validation"),
        (["weights=validation", "average=logarithm"], UsageError, "only with average=probability"),
        (["checkpoint=."], UsageError, "it belongs to one run, but run= names 2"),
        (["data.max_lenght=8"], UsageError, "did you mean 'max_length'"),
        (["out_of_fold=true"], UsageError, "must end in .parquet"),
        (["data.path=nothing.csv"], InputOutputError, "nothing.csv"),
    ],
)
def test_what_cannot_work_is_refused_in_words(folds, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message.replace("[", r"\[")):
        run([folds["0"], folds["1"]], tmp_path, "x.csv", *arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv"]


def test_refusals_need_no_heavy_import(folds, tmp_path):
    (tmp_path / "rows.csv").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.yaml").write_text(folds["0"].config.read_text())
    common = ["data.path=rows.csv", "output=x.csv"]
    cases = [
        (2, [f"run={folds['0'].path}", *common, "format=other"]),
        (2, [f"run={folds['0'].path}", "data.path=rows.csv", "output=x.txt"]),
        (74, ["run=nothing", *common]),
        (74, ["run=empty", *common]),
        (65, [f"run=[{folds['0'].path},{folds['two'].path}]", *common]),
    ]
    code = (
        "import sys\n"
        "from arena import predict\n"
        f"for code, arguments in {cases!r}:\n"
        "    sys.argv = ['predict', *arguments]\n"
        "    try: predict.main()\n"
        "    except SystemExit as end: assert end.code == code, (end.code, arguments)\n"
        "heavy = {'torch', 'lightning', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")})


def test_folds_are_joined(folds, tmp_path, capsys):
    chosen = [folds["1"], folds["0"]]
    runs = f"run=[{','.join(str(each.path) for each in chosen)}]"
    arguments = [runs, f"output={tmp_path / 'oof.parquet'}", "out_of_fold=true"]
    predict.predict(read(PredictOptions, arguments))
    table = pq.read_table(tmp_path / "oof.parquet")
    parts = [pq.read_table(each.predictions("val")) for each in chosen]
    assert table.column_names == [*parts[0].column_names, "fold", "run"]
    assert table.drop_columns(["fold", "run"]).to_pylist() == [*parts[0].to_pylist(), *parts[1].to_pylist()]
    assert table["fold"].to_pylist() == [1] * parts[0].num_rows + [0] * parts[1].num_rows
    assert set(table["run"].to_pylist()) == {str(each.path) for each in chosen}
    splits = pq.read_table(folds["0"].splits).to_pylist()
    assert sorted(table["id"].to_pylist()) == sorted(row["id"] for row in splits if row["split"] != "test")
    loss = np.mean([-np.log(row[f"probability_{row['target']}"]) for row in table.to_pylist()])
    said = capsys.readouterr().out
    assert f"log_loss {loss:.4f} (" in said
    assert f"{table.num_rows} rows of 2 runs" in said


def test_a_fold_given_twice_and_other_data_are_refused(folds, train_run, tmp_path):
    def join(*runs):
        names = ",".join(str(each.path) for each in runs)
        arguments = [f"run=[{names}]", f"output={tmp_path / 'oof.parquet'}", "out_of_fold=true"]
        predict.predict(read(PredictOptions, arguments))

    with pytest.raises(DataError, match="validated by more than one of the runs"):
        join(folds["0"], folds["focal"])
    common = ["trainer.max_steps=1", "test=false", "data.folds=2", "data.fold=1"]
    with pytest.raises(DataError, match="has another data"):
        join(folds["0"], train_run("other", *common, "data.reader.seed=1"))
    with pytest.raises(DataError, match=r"has another split_seed \(1\)"):
        join(folds["0"], train_run("seed", *common, "data.split_seed=1"))
    with pytest.raises(UsageError, match="was not trained with data.folds"):
        join(train_run("share", "trainer.max_steps=1", "test=false"))
    assert not (tmp_path / "oof.parquet").exists()


def test_a_stop_changes_no_bit(folds, tmp_path, monkeypatch, capsys):
    """This process sends itself a real signal at the 30th batch, which is in the second of two orders."""
    from arena.callback.prediction_streamer import PredictionStreamer

    common = "swap=true", "data.eval_batch_size=4"
    run([folds["0"]], tmp_path, "whole.csv", *common)
    original, calls = PredictionStreamer.on_predict_batch_end, []

    def hook(self, *arguments):
        calls.append(arguments)
        if len(calls) == 30:
            os.kill(os.getpid(), signal.SIGINT)
        original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PredictionStreamer, "on_predict_batch_end", hook)
        with pytest.raises(Interrupted, match="stopped by Ctrl-C; 118 predictions are kept, the same") as stop:
            run([folds["0"]], tmp_path, "parts.csv", *common)
    assert stop.value.code == 130
    assert not (tmp_path / "parts.csv").exists()
    capsys.readouterr()
    run([folds["0"]], tmp_path, "parts.csv", *common)
    said = capsys.readouterr().out
    assert f"0, answers swapped: goes on after 28 of {ROWS} rows" in said
    assert "0: 90 rows predicted" not in said, "the first order was not computed again"
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not (tmp_path / ".parts.csv.partial").exists()


def test_another_command_does_not_take_what_is_kept(folds, tmp_path, monkeypatch, capsys):
    from arena.callback.prediction_streamer import PredictionStreamer

    with monkeypatch.context() as patch:
        original = PredictionStreamer.on_predict_batch_end
        patch.setattr(
            PredictionStreamer, "on_predict_batch_end", lambda *a: (os.kill(os.getpid(), signal.SIGTERM), original(*a))
        )
        with pytest.raises(Interrupted):
            run([folds["0"]], tmp_path, "x.csv", "data.eval_batch_size=4")
    for others in (["data.eval_batch_size=4", "data.max_length=64"], ["data.eval_batch_size=8"]):
        kept = list((tmp_path / ".x.csv.partial").iterdir())
        assert len(kept) == 2, "a lock and a folder"
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / ".x.csv.partial", copy)
        _, _, found = run([folds["0"]], tmp_path, "x.csv", *others)
        assert "goes on" not in capsys.readouterr().out
        assert found == pytest.approx(run([folds["0"]], tmp_path, "y.csv", *others)[2], abs=0)
        copy.rename(tmp_path / ".x.csv.partial")


def test_a_stopped_process_goes_on_and_ends_with_the_same_bits(folds, tmp_path):
    """Stopped in the second of two orders: a real process, and batches of one row so that it takes a while."""
    rows = 400
    write_rows(tmp_path / "rows.csv", rows=rows)
    common = ["data.path=rows.csv", "swap=true", "data.eval_batch_size=1", "data.cache=null"]
    command = [sys.executable, "-m", "arena.predict", f"run={folds['0'].path}", *common]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    settings: dict = {"cwd": tmp_path, "env": environment, "text": True}

    def finish(output):
        done = subprocess.run([*command, f"output={output}"], capture_output=True, **settings)
        assert done.returncode == 0, done.stderr
        return done.stdout

    finish("whole.csv")
    process = subprocess.Popen(
        [*command, "output=parts.csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("0, answers swapped: "):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143
    [line] = error.strip().splitlines()
    assert line.startswith("arena: stopped by SIGTERM; ")
    assert line.endswith(" predictions are kept, the same command goes on from there")
    kept = int(line.split("; ")[1].split()[0])
    assert rows < kept < 2 * rows, "one order, and some of the other"
    assert not (tmp_path / "parts.csv").exists()
    said = finish("parts.csv")
    assert f"0, answers swapped: goes on after {kept - rows} of {rows} rows" in said
    assert f"0: {rows} rows predicted" not in said, "the first order was not computed again"
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not (tmp_path / ".parts.csv.partial").exists()
