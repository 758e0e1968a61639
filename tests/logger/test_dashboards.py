"""Dashboards repeat the journal, and break without anybody noticing in training."""

import contextlib
import csv
import json
import math
import socket
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import wandb_file
from support import compose, write_head_rows

from arena.config import compose as config
from arena.core.errors import DivergedError, UsageError
from arena.logger import journal
from arena.logger.journal import Journal, full_name, grouped
from arena.logger.sender import answers
from arena.logger.wandb import WandbRun

QUICK = ("trainer.max_steps=4", "validate_every=2", "trainer.log_every_n_steps=1", "data.max_length=48", "baselines=[]")


def logged(path: Path) -> list[tuple]:
    """The values of a journal in order: step, epoch, name, value."""
    return [(row["step"], row["epoch"], full_name(row), row["value"]) for row in journal.read(path)]


def defined(path: Path) -> list[tuple[int, int | None, dict[str, float]]]:
    """The same by step, epoch and split, without undefined values."""
    return [
        (step, epoch, {name: value for name, value in values.items() if not math.isnan(value)})
        for step, epoch, values in grouped(journal.read(path))
    ]


def test_a_dashboard_that_breaks_says_so_once_and_is_silent(tmp_path, caplog):
    class Broken(WandbRun):
        calls = 0

        def _open(self, directions):
            pass

        def _write(self, values):
            self.calls += 1
            raise ConnectionError("no route\nto host")

        def _close(self, result, code):
            self.calls += 100

    log, dashboard = Journal(tmp_path / "metrics.csv"), Broken(str(tmp_path))
    dashboard.begin({})
    with caplog.at_level("WARNING", "arena"):
        for step in range(5):
            log.log_metrics({"train/loss": 1.0}, step)
            dashboard.log_metrics({})
        dashboard.end({}, 0, lambda _: None)
    assert dashboard.calls == 1
    assert [r.getMessage() for r in caplog.records] == [
        f"W&B: nothing more is sent there (no route); {tmp_path / 'metrics.csv'} has everything"
    ]


# --- what is chosen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("logger.wandb.project=my/project", "characters without"),
        ("logger.wandb.project=''", "characters without"),
        (f"logger.wandb.project={'x' * 129}", "characters without"),
        ("logger.wandb.entity=a:b", "characters without"),
        ("logger.wandb.samples=-1", "whole number"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_loaded(override, said):
    with pytest.raises(UsageError, match=said):
        config.resolved(compose("logger=wandb", override, "run_dir=out"))


def test_several_loggers_are_chosen_by_a_list():
    assert set(compose("logger=[wandb,tensorboard,mlflow]").logger) == {"wandb", "tensorboard", "mlflow"}
    assert set(compose("logger=[csv,wandb]").logger) == {"wandb"}


# --- TensorBoard and MLflow -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow uses what its database layer deprecates
def test_tensorboard_and_mlflow_hold_the_values_a_step_early_while_training(train_run, tmp_path):
    """Of Lightning's own loggers: every value; steps of the training are one behind, the last ones are right."""
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place = f"sqlite:///{tmp_path}/mlflow.db"
    run = train_run("run", "logger=[tensorboard,mlflow]", f"logger.mlflow.tracking_uri={place}", *QUICK)
    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    client = MlflowClient(place)
    experiment = client.get_experiment_by_name("arena")
    assert experiment is not None
    (kept,) = client.search_runs([experiment.experiment_id])
    for name in ("train/loss", "val/log_loss", "test/log_loss"):
        wanted = [(step, np.float32(value)) for step, _, each, value in logged(run.metrics) if each == name]
        earlier = 0 if name.startswith("test") else 1
        found = [(e.step + earlier, np.float32(e.value)) for e in events.Scalars(name)]
        assert found == wanted, name
        history = client.get_metric_history(kept.info.run_id, name)
        assert [(m.step + earlier, np.float32(m.value)) for m in history] == wanted, name


# --- W&B --------------------------------------------------------------------------------------------------------------


def tables(run_folder: Path) -> dict[str, dict]:
    """Tables of W&B by name: columns and data."""
    folder = next((run_folder / "wandb").glob("offline-run-*")) / "files" / "media" / "table"
    found = {}
    for path in folder.rglob("*.table.json"):
        name = str(path.relative_to(folder)).rsplit("_", 2)[0].removesuffix("_table")
        found[name] = json.loads(path.read_text())
    return found


@pytest.mark.slow
def test_wandb_offline_equals_the_journal(train_run, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_GROUP", "my_study")  # as a sweep sets it for its trials
    run = train_run("run", "logger=wandb", "logger.wandb.samples=8", "tags=[blue]", *QUICK)
    held = wandb_file.only(run.path / "wandb")
    assert held.values == defined(run.metrics)
    assert any(math.isnan(value) for *_, value in logged(run.metrics)), "there is an undefined value to be left out"
    assert (held.project, held.group, held.job_type, held.tags, held.exit_code) == (
        "arena", "my_study", "train", ["blue"], 0,
    )  # fmt: skip
    assert held.id == json.loads((run.path / "wandb.json").read_text())["id"]
    assert held.config["optim"]["lr"] == 0.005
    assert held.summary["status"] == "completed"
    for name, better in (("log_loss", min), ("accuracy", max), ("recall/tie", max), ("brier", min)):
        values = [value for *_, each, value in logged(run.metrics) if each == f"val/{name}" and not math.isnan(value)]
        assert held.summary[f"val/{name}"] == {better.__name__: better(values)}
    assert held.summary["best/value"] == run.read_result()["monitor"]["value"]
    assert {held.metrics[name].step_metric for name in ("*", "val/log_loss")} == {"step"}
    assert held.statistics > 0, "system metrics"


@pytest.mark.slow
def test_wandb_tables_are_those_of_the_folder(train_run):
    run = train_run("run", "logger=wandb", "logger.wandb.samples=8", "evaluate.figures=true", *QUICK)
    found = tables(run.path)
    kinds = ("report/{}/confusion", "report/{}/per_class", "samples/{}")
    assert set(found) == {kind.format(split) for kind in kinds for split in ("val", "test")}
    with open(run.path / "report" / "val" / "per_class.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [dict(zip(found["report/val/per_class"]["columns"], row, strict=True)) for row in
            found["report/val/per_class"]["data"]] == [
        {k: v if k == "class" else float(v) if v else None for k, v in line.items()} for line in lines
    ]  # fmt: skip
    with open(run.path / "report" / "val" / "confusion.csv", newline="") as file:
        counts = {(line["true"], line["predicted"]): int(line["rows"]) for line in csv.DictReader(file)}
    table = found["report/val/confusion"]
    lines = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {(line["true"], line["predicted"]): line["rows"] for line in lines} == counts
    assert list((run.path / "wandb").glob("offline-run-*/files/media/images/report/val/confusion_picture*.png"))
    predictions = pq.read_table(run.predictions("val")).to_pylist()
    samples = found["samples/val"]
    place = samples["columns"].index("loss")
    worst = sorted((row["loss"] for row in predictions), reverse=True)[:4]
    assert [row[place] for row in samples["data"][:4]] == worst
    assert len(samples["data"]) == 8
    assert samples["columns"] == [
        "id",
        "probability_model_a",
        "probability_model_b",
        "probability_tie",
        "target",
        "loss",
    ]


@pytest.mark.slow
def test_texts_are_in_wandb_only_where_they_are_asked_for(train_run, tmp_path):
    path = write_head_rows(tmp_path / "rows.csv")
    heads = [
        "task=multihead",
        f"data.path={path}",
        "data.text=text",
        "data.heads=[stance,sentiment]",
        "data.limit=null",
    ]
    heads += ["data.near_duplicates=null", "data.cache=null"]
    run = train_run("with", *heads, "logger=wandb", "logger.wandb.texts=true", *QUICK)
    found = tables(run.path)
    assert {"report/val/confusion_stance", "report/test/per_class_sentiment"} <= set(found)
    with open(path, newline="") as file:
        written = {row["id"]: row["text"] for row in csv.DictReader(file)}
    columns = found["samples/val"]["columns"]
    (name,) = (each for each in columns if each.startswith(("prompt", "text")))
    for row in found["samples/val"]["data"]:
        assert row[columns.index(name)] == written[row[columns.index("id")]]
    run = train_run("without", *heads, "logger=wandb", *QUICK)
    everything = b"".join(p.read_bytes() for p in (run.path / "wandb").rglob("*") if p.is_file())
    assert not any(text.encode() in everything for text in written.values())


@pytest.mark.slow
def test_a_run_that_breaks_is_marked_as_failed(train_run, monkeypatch, tmp_path):
    from arena.callback.diagnostics import FiniteLoss

    def diverge(self, trainer, *rest):
        if trainer.global_step == 3:
            raise DivergedError("on purpose")

    monkeypatch.setattr(FiniteLoss, "on_train_batch_end", diverge)
    with pytest.raises(DivergedError):
        train_run("run", "logger=wandb", *QUICK)
    held = wandb_file.only(tmp_path / "run" / "wandb")
    assert (held.exit_code, held.summary["status"], held.summary["reason"]) == (76, "diverged", "on purpose")
    assert held.tags == ["diverged"]
    assert held.values == defined(tmp_path / "run" / "metrics.csv")


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run_and_whole(train_run, tmp_path):
    train_run("run", "logger=wandb", *QUICK)
    run = train_run("run", "logger=wandb", *QUICK, "trainer.max_steps=6", f"resume={tmp_path / 'run'}")
    first, second = (wandb_file.read(path) for path in sorted((run.path / "wandb").glob("offline-run-*/*.wandb")))
    assert first.id == second.id
    assert second.values == defined(run.metrics)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["never answers", "refuses"])
def test_a_dead_server_leaves_the_run_whole(arena, monkeypatch, tmp_path, kind):
    """A real process with a key: it ends well and soon, says once where the run is, and has lost nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if kind == "never answers":
            server.listen(16)  # the kernel accepts, nobody ever reads
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.delenv("WANDB_MODE", raising=False)
        small = ["data.limit=120", "data.batch_size=8", "resamples=0", "evaluate.figures=false", "hydra.run.dir=run"]
        done = arena("train", *small, *QUICK, "logger=wandb", "logger.wandb.offline=false", timeout=120)
        asked = waiting(server) if kind == "never answers" else [b"POST /graphql"]
    assert done.returncode == 0, done.stderr
    assert asked == [b"POST /graphql"], "one question of arena's; W&B's reports on itself would wait 10 s at the end"
    assert done.stdout.count("W&B") == 1
    assert f"does not answer; the run is whole in {tmp_path / 'run' / 'wandb'}" in done.stdout
    assert wandb_file.only(tmp_path / "run" / "wandb").values == defined(tmp_path / "run" / "metrics.csv")


def waiting(server: socket.socket) -> list[bytes]:
    """What was asked of a server that read nothing: method and path of each connection."""
    server.settimeout(0.5)
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(0.5)
                found.append(b" ".join(connection.recv(4096).split()[:2]))
    return found


def test_a_server_that_answers_or_not():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert not answers(address, 0.2)
        server.listen(1)
        assert not answers(address, 0.2)
    assert not answers("no address", 0.2)
