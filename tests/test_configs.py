"""Every YAML file of conf/ is composed and checked; one of each kind is built and trained for two steps."""

import random
import re
import shutil
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader
from support import ROOT, compose, small_folder

from arena.config import compose as config
from arena.logger import journal

CONF = ROOT / "conf"
SMALL = [
    "model.pretrained=false", "model.architecture.num_hidden_layers=2", "model.architecture.hidden_size=32",
    "model.architecture.num_attention_heads=2", "model.architecture.intermediate_size=48",
]  # fmt: skip
"""The real architectures, shrunk."""
VOCABULARY = "model.architecture.vocab_size=300"
QWEN = [*SMALL, VOCABULARY, "model.architecture.num_key_value_heads=1"]
CPU = "trainer.accelerator=cpu"
WSDM = ["data.path={wsdm}", CPU]
TWO_HEADS = ["task=multihead", "data.path={heads}", "data.text=text", "data.heads=[sentiment,polarization]"]
LEARNS = [*QWEN, "data.path={replies}", CPU]
CAUSAL = ["task=sft", "data=sft", *LEARNS]
SCORED = ["task=sft", "loss=polychromic", "loss.max_new_tokens=6"]
REPLIES = ["evaluator.samples=2", "evaluator.prompts=4", "evaluator.encoder=hash", "evaluator.max_new_tokens=6"]
SENTENCES = [
    "loss.score.encoder.name=small", "loss.score.encoder.path={encoder}", "loss.score.encoder.package=null",
]  # fmt: skip
DIGIT = ["model.path={weights}", "data.path={kaggle}", CPU]
RUNS: dict[str, list[str]] = {
    "loss/cross_entropy data/toy metric/pairwise optim/adamw schedule/linear trainer/cpu logger/csv callback/default "
    "model/tiny": [],
    "loss/focal": ["loss=focal", "loss.gamma=2", "loss.alpha={tie: 2.0}"],
    "loss/generalized_cross_entropy": ["loss=generalized_cross_entropy"],
    "loss/symmetric_cross_entropy": ["loss=symmetric_cross_entropy"],
    "loss/logit_adjustment": ["loss=logit_adjustment", "loss.decision=natural"],
    "loss/bradley_terry": ["loss=bradley_terry", "loss.margin=0.2", "loss.centering=0.01"],
    "loss/distillation": ["loss=distillation", "loss.temperature=2"],
    "loss/ldam": ["loss=ldam", "loss.class_weight=effective", "loss.class_weight_from_epoch=1"],
    "loss/dice": ["loss=dice"],
    "loss/asymmetric": ["loss=asymmetric"],
    "loss/poly": ["loss=poly", "loss.class_weight={tie: 2.0}"],
    "loss/two_stage": ["loss=two_stage", "loss.first=tie"],
    "metric/binary data/wsdm": ["data=wsdm", "metric=binary", "data.path={wsdm}"],
    "data/pairs": ["data=pairs", "data.path={pairs}"],
    "data/kaggle": ["data=kaggle", "data.path={kaggle}"],
    "data/arena55k": ["data=arena55k", "data.path={kaggle}"],
    "data/arena33k": ["data=arena33k", "data.path={conversations}"],
    "data/arena100k": ["data=arena100k", "data.path={conversations}"],
    "data/arena140k": ["data=arena140k", "data.path={sessions}"],
    "data/hh_rlhf": ["data=hh_rlhf", "metric=binary", "data.path={transcripts}"],
    "model/minilm": ["model=minilm", *SMALL],
    "model/mbert": ["model=mbert", *SMALL, VOCABULARY],
    "model/deberta_v3": ["model=deberta_v3", *SMALL, VOCABULARY],
    "model/modernbert": ["model=modernbert", *SMALL],
    "model/qwen05b": ["model=qwen05b", *QWEN],
    "model/qwen15b": ["model=qwen15b", *QWEN],
    "model/qwen7b": ["model=qwen7b", *QWEN],
    "model/encoder": ["model=encoder", "model.name={encoder}"],
    "model/causal": ["model=causal", "model.name={weights}"],
    "model/causal_lm": ["task=sft", "model=causal_lm", "model.name={weights}", "data=sft", "data.path={replies}", CPU],
    "model/gemma2_9b": ["model=gemma2_9b", *QWEN, "model.architecture.head_dim=16"],
    "adapter/none": ["adapter=none"],
    "adapter/lora": ["model=qwen05b", *QWEN, "adapter=lora"],
    "adapter/dora": ["model=qwen05b", *QWEN, "adapter=dora", "adapter.targets=[q_proj]"],
    "adapter/qlora": ["model=qwen05b", "model.path={weights}", "adapter=qlora"],
    "trainer/gpu": ["trainer=gpu", "trainer.accelerator=cpu"],
    "trainer/ddp": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.strategy=auto"],
    "trainer/fsdp": ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.strategy=auto"],
    "trainer/debug debug/fast": ["debug=fast"],
    "debug/overfit": ["debug=overfit"],
    "debug/profiler": ["debug=profiler"],
    "callback/early_stopping schedule/plateau": ["callback=early_stopping", "schedule=plateau"],
    "callback/adversarial": ["callback=adversarial", "trainer.accumulate_grad_batches=2"],
    "callback/ema": ["callback=ema", "callback.ema.update_every_n_steps=2"],
    "optim/adamw8bit schedule/cosine": ["optim=adamw8bit", "schedule=cosine"],
    "optim/lion schedule/wsd": ["optim=lion", "schedule=wsd"],
    "optim/muon schedule/polynomial": ["optim=muon", "schedule=polynomial"],
    "optim/schedule_free schedule/constant": ["optim=schedule_free"],
    "logger/wandb": ["logger=wandb"],
    "sweep/lr": ["sweep=lr"],
    "sweep/lambda": ["sweep=lambda", "task=sft", "model=stories", "model.pretrained=false", *REPLIES],
    "sweep/focal_gamma": ["sweep=focal_gamma"],
    "sweep/imbalance": ["sweep=imbalance"],
    "sweep/seeds": ["sweep=seeds"],
    "sweep/folds": ["sweep=folds", "data.fold=1"],
    "sweep/lambda_lr": ["sweep=lambda_lr", "task=sft", "model=stories", "model.pretrained=false", *REPLIES],
    "sweep/gamma_lr": ["sweep=gamma_lr"],
    "sweep/rdrop_alpha": ["sweep=rdrop_alpha", *TWO_HEADS, "loss.rdrop.alpha=0.5"],
    "logger/tensorboard": ["logger=tensorboard"],
    "logger/mlflow": ["logger=mlflow", "logger.mlflow.tracking_uri=sqlite:///{database}"],
    "task/pairwise": ["task=pairwise"],
    "task/sft model/tiny_causal data/toy_replies loss/language_model metric/replies": ["task=sft"],
    "model/stories": ["task=sft", "model=stories", "model.pretrained=false", *REPLIES],
    "model/qwen05b_causal data/sft": ["model=qwen05b_causal", *CAUSAL, "adapter=lora", "data.packing=true"],
    "model/smollm2_135m": ["model=smollm2_135m", *CAUSAL],
    "model/qwen3_8b": ["model=qwen3_8b", *CAUSAL, "model.architecture.head_dim=16"],
    "loss/polychromic diversity/distinct": SCORED,
    "reward/rules": [*SCORED, "reward@loss.reward=rules", "loss.reward.min_words=1"],
    "reward/regex": [*SCORED, "reward@loss.reward=regex", "loss.reward.pattern='[a-z]'"],
    "reward/exact_number": [*SCORED, "reward@loss.reward=exact_number"],
    "diversity/self_bleu": [*SCORED, "diversity@loss.score=self_bleu"],
    "diversity/cosine": [*SCORED, "diversity@loss.score=cosine", *SENTENCES],
    "diversity/log_det": [*SCORED, "diversity@loss.score=log_det", *SENTENCES],
    "diversity/vendi": [*SCORED, "diversity@loss.score=vendi", *SENTENCES],
    **{
        f"experiment/polychromic_{weight}": [
            f"experiment=polychromic_{weight}", *LEARNS, "model.architecture.head_dim=16", "loss.max_new_tokens=6",
            *REPLIES,
        ]
        for weight in ("0.3", "1.0", "2.0")
    },
    "experiment/polychromic_stories": [
        "experiment=polychromic_stories", "model.pretrained=false", *REPLIES,
    ],
    "task/multihead data/heads loss/multi_head metric/multi_head": [
        *TWO_HEADS, "data.copies=1", "data.augment={word_swap: 0.1}", "loss@loss.head=focal", "loss.head.alpha=sqrt",
    ],
    "experiment/mbert_two_heads": ["experiment=mbert_two_heads", *SMALL, VOCABULARY, "data.path={heads}", CPU],
    "experiment/mbert_two_heads_second": [
        "experiment=mbert_two_heads_second", *SMALL, VOCABULARY, "data.path={heads}", CPU,
    ],
    "experiment/mbert_two_heads_recommended": [
        "experiment=mbert_two_heads_recommended", *SMALL, VOCABULARY, "data.path={heads}", CPU,
    ],
    "experiment/semeval_stance": ["experiment=semeval_stance", *SMALL, "data.path={heads}"],
    "experiment/hoasa_ten_heads": ["experiment=hoasa_ten_heads", *SMALL, "data.path={heads}"],
    "experiment/pandalm_minilm": ["experiment=pandalm_minilm", *SMALL, "data.path={pairs}"],
    "experiment/wsdm_qwen05b": ["experiment=wsdm_qwen05b", *QWEN, "data.path={wsdm}", "trainer.accelerator=cpu"],
    "experiment/wsdm_qwen05b_swap": ["experiment=wsdm_qwen05b_swap", *QWEN, *WSDM],
    "experiment/wsdm_qwen05b_smoothing": ["experiment=wsdm_qwen05b_smoothing", *QWEN, *WSDM],
    "experiment/wsdm_qwen05b_more_data": [
        "experiment=wsdm_qwen05b_more_data", *QWEN, "data.path=[{wsdm},{kaggle}]", CPU,
    ],
    "experiment/wsdm_qwen05b_score": ["experiment=wsdm_qwen05b_score", *QWEN, *WSDM],
    "experiment/wsdm_qwen15b": ["experiment=wsdm_qwen15b", *QWEN, *WSDM],
    "experiment/arena55k_qlora": ["experiment=arena55k_qlora", *DIGIT],
    "experiment/arena55k_qlora_recommended": ["experiment=arena55k_qlora_recommended", *DIGIT],
    "experiment/kaggle_modernbert": ["experiment=kaggle_modernbert", *SMALL, "data.path={kaggle}", CPU],
    "experiment/arena55k_gemma2_teacher": [
        "experiment=arena55k_gemma2_teacher", *QWEN, "model.architecture.head_dim=16", "data.path={kaggle}",
        "data.teacher={teacher}", "data.fold=1", CPU,
    ],
}  # fmt: skip
"""The files that each command line is there for, without their ending, and its overrides."""
FILES = {
    "kaggle": "kaggle.csv", "pairs": "pairs.jsonl", "wsdm": "wsdm.parquet", "conversations": "conversations.jsonl",
    "sessions": "sessions.jsonl", "transcripts": "transcripts.jsonl", "weights": "weights", "teacher": "teacher.csv",
    "heads": "heads.csv", "replies": "replies.jsonl", "encoder": "encoder",
}  # fmt: skip
COMPOSED_ELSEWHERE = {
    "train",
    "hydra/job_logging/arena",
    "hydra/hydra_logging/arena",
}
"""Files that every run includes."""


def filled(overrides: list[str], paths: dict[str, str]) -> list[str]:
    """The overrides with the paths of files in them."""
    return [o if ": " in o else o.format(**paths) for o in overrides]


def yaml_of(experiment: str) -> Any:
    """The experiment's own file."""
    return OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml")


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, str]:
    """One small file of each format."""
    import csv
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("rows")
    winners = ["model_a", "model_b", "tie"]
    rows = [
        {
            "id": str(i), "prompt": f"question {i // 2}?", "response_a": f"answer {i}" * (i % 4 + 1),
            "response_b": f"reply {i}" * (i % 3 + 1), "model_a": "x", "model_b": "y", "winner": winners[i % 3],
        }
        for i in range(96)
    ]  # fmt: skip
    small_folder("qwen2", folder / "weights")
    small_folder("bert", folder / "encoder")
    with open(folder / "replies.jsonl", "w") as file:
        for row in rows:
            file.write(json.dumps({"id": row["id"], "prompt": row["prompt"], "reply": row["response_a"]}) + "\n")
    with open(folder / "kaggle.csv", "w", newline="") as file, open(folder / "teacher.csv", "w", newline="") as other:
        columns = ["id", "model_a", "model_b", "prompt", "response_a", "response_b", *(f"winner_{w}" for w in winners)]
        writer = csv.writer(file)
        writer.writerow(columns)
        teacher = csv.writer(other)
        teacher.writerow(["id", *(f"probability_{w}" for w in winners)])
        teacher.writerows([row["id"], 0.5, 0.3, 0.2] for row in rows)
        for row in rows:
            texts = [json.dumps([row[name]]) for name in ("prompt", "response_a", "response_b")]
            writer.writerow([row["id"], "x", "y", *texts, *(int(row["winner"] == w) for w in winners)])
    heads = yaml_of("semeval_stance")["data"]["heads"] + yaml_of("hoasa_ten_heads")["data"]["heads"]
    with open(folder / "heads.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["text", "target", "sentiment", "polarization", *(head for head in heads if head != "sentiment")]
        )
        for i in range(96):
            labels = ("abc"[(i + h) % 3] for h in range(len(heads) + 1))
            writer.writerow([f"text number {i} of these", f"target {i % 2}", *labels])
    with open(folder / "pairs.jsonl", "w") as file:
        for row in rows:
            lists = {name: [row[name]] for name in ("prompt", "response_a", "response_b")}
            file.write(json.dumps(row | lists | {"language": "English", "source": "test"}) + "\n")
    write_conversations(folder, rows)
    decided = [row | {"language": "English"} for row in rows if row["winner"] != "tie"]
    pq.write_table(pa.Table.from_pylist(decided), folder / "wsdm.parquet")
    return {name: str(folder / file) for name, file in FILES.items()} | {"database": str(folder / "mlflow.db")}


def write_conversations(folder: Path, rows: list[dict]) -> None:
    """The same rows as the arena's own later sets and HH-RLHF write them."""
    import json

    def conversation(row: dict, side: str, part) -> list[dict]:
        turns = [("user", row["prompt"]), ("assistant", row[f"response_{side}"])]
        return [{"role": role, "content": part(text)} for role, text in turns]

    with (
        open(folder / "conversations.jsonl", "w") as plain,
        open(folder / "sessions.jsonl", "w") as parts,
        open(folder / "transcripts.jsonl", "w") as transcripts,
    ):
        for number, row in enumerate(rows):
            known = {name: row[name] for name in ("model_a", "model_b")} | {"language": "English"}
            tie = row["winner"] == "tie"
            texts = {f"conversation_{side}": conversation(row, side, lambda text: text) for side in "ab"}
            winner = {"winner": "tie (bothbad)" if tie else row["winner"]}
            plain.write(json.dumps({"question_id": row["id"], "turn": 1} | known | winner | texts) + "\n")
            texts = {
                f"conversation_{side}": conversation(row, side, lambda text: [{"type": "text", "text": text}])
                for side in "ab"
            }
            session = {"evaluation_session_id": f"s{number // 3}", "evaluation_order": number % 3 + 1}
            winner = {"winner": "both_bad" if tie else row["winner"]}
            parts.write(json.dumps({"id": row["id"]} | known | session | winner | texts) + "\n")
            start = f"\n\nHuman: {row['prompt']}\n\nAssistant: "
            pair = {"chosen": start + row["response_a"], "rejected": start + row["response_b"]}
            transcripts.write(json.dumps(pair) + "\n")


def test_every_file_has_a_run():
    """But for bases, which begin with `_` and which another file of the group builds on."""
    names = {str(path.relative_to(CONF).with_suffix("")) for path in CONF.rglob("*.yaml")}
    covered = {name for key in RUNS for name in key.split()}
    bases = {name for name in names if "/_" in name}
    texts = "".join(path.read_text() for path in CONF.rglob("*.yaml"))
    assert [name for name in bases if not re.search(rf"\b{name.partition('/')[2]}\b", texts)] == []
    names -= bases
    assert names - covered - COMPOSED_ELSEWHERE == set()
    assert covered - names == set()


TRAINED_BY = {
    **dict.fromkeys((key for key in RUNS if key.startswith("sweep/")), "tests/sweep/test_sweep_command.py"),
    **dict.fromkeys(("task/pairwise", "adapter/none", "trainer/ddp", "trainer/fsdp"), "trainer/gpu"),
    "data/pairs": "experiment/pandalm_minilm",
    "data/arena55k": "experiment/arena55k_qlora_recommended",
    "data/arena100k": "data/arena33k",
    "model/minilm": "experiment/pandalm_minilm",
    "model/mbert": "experiment/mbert_two_heads_recommended",
    "model/modernbert": "experiment/kaggle_modernbert",
    "model/gemma2_9b": "experiment/arena55k_gemma2_teacher",
    **dict.fromkeys(("model/qwen05b", "model/qwen15b", "model/qwen7b"), "experiment/wsdm_qwen05b_score"),
    "model/stories": "experiment/polychromic_stories",
    "model/qwen3_8b": "experiment/polychromic_1.0",
    **dict.fromkeys(("optim/adamw8bit", "optim/lion", "optim/schedule_free", "callback/ema"), "tests/test_resume.py"),
    "callback/adversarial": "tests/test_resume.py",
    **dict.fromkeys(("logger/wandb", "logger/tensorboard", "logger/mlflow"), "tests/logger/test_dashboards.py"),
    **dict.fromkeys(("reward/regex", "reward/exact_number"), "reward/rules"),
    **dict.fromkeys(("diversity/cosine", "diversity/vendi"), "diversity/log_det"),
    **dict.fromkeys(("experiment/polychromic_0.3", "experiment/polychromic_2.0"), "experiment/polychromic_1.0"),
    "experiment/mbert_two_heads": "experiment/mbert_two_heads_recommended",
    "experiment/mbert_two_heads_second": "experiment/mbert_two_heads_recommended",
    "experiment/arena55k_qlora": "experiment/arena55k_qlora_recommended",
    **dict.fromkeys(
        (
            "experiment/wsdm_qwen05b", "experiment/wsdm_qwen05b_swap", "experiment/wsdm_qwen05b_smoothing",
            "experiment/wsdm_qwen15b",
        ),
        "experiment/wsdm_qwen05b_score",
    ),
}  # fmt: skip
"""Files whose run trains nothing that another one, or a test file, does not: they are composed and checked only."""
QUICK = ("data/toy", "task/multihead", "data/toy_replies")
"""One training of each kind is in the fast suite; the others run in the slow one."""
TRAINED = [
    key if set(QUICK) & set(key.split()) else pytest.param(key, marks=pytest.mark.slow)
    for key in RUNS
    if not set(TRAINED_BY) & set(key.split())
]


def test_what_is_not_trained_here_is_trained_elsewhere():
    trained = {name for key in RUNS for name in key.split()} - set(TRAINED_BY)
    lost = [name for name in TRAINED_BY.values() if name not in trained and not (ROOT / name).is_file()]
    assert lost == []
    assert {name for key in RUNS for name in key.split()} >= set(TRAINED_BY)


@pytest.mark.parametrize("key", TRAINED)
def test_a_run_of_two_steps_leaves_a_complete_folder(key, files, train_run):
    overrides = filled(RUNS[key], files)
    length = 300 if "qlora" in key or "gemma2_teacher" in key or "kaggle_modern" in key else 48
    run = train_run("run", *overrides, "trainer.max_steps=2", f"data.max_length={length}")
    result = run.read_result()
    assert result["status"] == "completed"
    assert result["monitor"]["value"] is not None
    assert result["steps"] == 2
    settings = OmegaConf.to_container(OmegaConf.load(run.config))
    assert isinstance(settings, dict)
    splits = ["val", "test"] if settings["test"] else ["val"]
    for split, name in (("val", "validation"), ("test", "test")):
        assert bool(result[name]) == (split in splits)
        if split in splits:
            assert result[name]["log_loss"]["value"] > 0
            assert result["baselines"][split]["prior"]["log_loss"] > 0
    replies = settings["data"]["labels"] == []
    assert {"fingerprint", "rows_kept", "splits", "truncated" if replies else "class_shares"} <= set(result["data"])
    assert {"setup", "fit", "test"} <= set(result["time"])
    for path in (
        run.config,
        run.metrics,
        run.splits,
        *map(run.predictions, splits),
        run.best,
        run.last,
    ):
        assert path.is_file(), path
    logged = {(row["split"], row["name"]) for row in journal.read(run.metrics)}
    besides = {("val", "perplexity")} if replies else {("val", "accuracy"), ("start", "log_loss")}
    assert {("val", "log_loss"), (splits[-1], "log_loss"), *besides} <= logged
    if "polychromic" in " ".join(RUNS[key]):
        assert {("train", "diversity"), ("train", "gradient_ratio")} <= logged
    for path in (run.best, run.last):
        torch.load(path, weights_only=True)


@pytest.mark.slow
def test_first_loss_validations_and_number_of_steps(train_run):
    """A head that starts at zero gives every class the same probability: ln 3 nats. Validations count updates, not
    batches; six updates take more than the one epoch that is given beside them."""
    steps = ["trainer.max_steps=6", "trainer.max_epochs=1", "trainer.accumulate_grad_batches=2", "validate_every=2"]
    run = train_run("run", *steps, "data.limit=60", "trainer.log_every_n_steps=1", "test=false")
    rows = journal.read(run.metrics)
    first = next(row["value"] for row in rows if (row["split"], row["name"]) == ("train", "loss"))
    assert first == pytest.approx(1.0986123, abs=1e-6)
    assert [row["step"] for row in rows if (row["split"], row["name"]) == ("val", "log_loss")] == [2, 4, 6]
    assert run.read_result()["steps"] == 6


def test_the_monitors_mode_must_fit_its_metric(train_run):
    from arena.core.errors import UsageError

    with pytest.raises(UsageError, match="better when lower"):
        train_run("run", "monitor.mode=max", "trainer.max_steps=1")


WITH_ANY = re.compile("(optim|callback|logger|debug|trainer)/|adapter/none|task/pairwise|sweep/(lr|seeds|folds)")
"""Choices that go with every loss and every file of comparisons: they are composed together with one."""


def compositions() -> dict[str, list[str]]:
    """Command lines that together name every file, and their overrides."""
    added = [key for key in RUNS if WITH_ANY.match(key)]
    open_to_any = [key for key in RUNS if key.startswith(("loss/", "data/")) and "model=" not in " ".join(RUNS[key])]
    together = {f"{a} {b}": [*RUNS[a], *RUNS[b]] for a, b in zip(open_to_any, added, strict=False)}
    both = {key for pair in zip(open_to_any, added, strict=False) for key in pair}
    return together | {key: overrides for key, overrides in RUNS.items() if key not in both}


def test_every_choice_of_every_group_is_composed_and_checked(files, monkeypatch):
    """Without building anything and without weights: the check knows the signature of every part. A file that many
    compositions share is parsed once."""
    parse = lru_cache(partial(yaml.load, Loader=get_yaml_loader()))
    monkeypatch.setattr(yaml, "load", lambda stream, Loader: parse(stream.read()))
    chosen = compositions()
    assert {name for key in chosen for name in key.split()} == {name for key in RUNS for name in key.split()}
    for key, overrides in chosen.items():
        settings = config.resolved(compose(*filled(overrides, files), "run_dir=out"))
        labels = settings["data"]["labels"]
        assert settings["num_classes"] == len(labels), key
        assert isinstance(labels, dict) or len(labels) in (0, 2, 3), key


@pytest.mark.slow
def test_a_neutral_model_needs_a_name_and_its_files(typed):
    assert typed("model=encoder") == (2, ["arena: model.name: a value is needed; give model.name=..."])
    code, (line,) = typed("task=sft", "model=causal_lm", "model.name=nobody/model")
    assert code == 74
    assert line.startswith("arena: model nobody/model: not on this machine and the hub cannot be reached; give model.")
    code, (line,) = typed("model=causal", "model.name=nobody/model", "model.pretrained=false")
    assert (code, "random weights need an architecture" in line) == (2, True)


def test_values_are_written_once():
    """No YAML below train.yaml repeats the monitor, the labels or the seed as a value."""
    for path in CONF.rglob("*.yaml"):
        text = path.read_text()
        if path.name != "train.yaml":
            assert "val/log_loss" not in text, path
        if path.parent.name != "data":
            assert "[model_a" not in text, path


def test_conf_lies_at_the_top():
    assert config.folder() == Path(CONF)


BROUGHT_LATE = ("task", "experiment", "sweep", "debug", "override ")
"""They bring other choices, so they stand behind these."""


@pytest.mark.parametrize(
    "chosen",
    [
        ["model=qwen05b", "optim=lion", "adapter=qlora", "trainer=debug"],
        ["task=sft", "loss=polychromic", "callback=ema", "optim=schedule_free"],
        ["experiment=mbert_two_heads", "schedule=plateau", "data.path=x"],
    ],
    ids=lambda chosen: chosen[0],
)
def test_order_of_the_defaults_list_decides_nothing(chosen, tmp_path, monkeypatch):
    """Composed with three other orders of the free part of the list."""
    whole = yaml.safe_load((CONF / "train.yaml").read_text())
    entries = [entry for entry in whole["defaults"] if entry != "_self_"]
    late = [entry for entry in entries if next(iter(entry)).startswith(BROUGHT_LATE)]
    free = [entry for entry in entries if entry not in late]
    expected = OmegaConf.to_container(compose(*chosen), resolve=False)
    folder = tmp_path / "conf"
    shutil.copytree(CONF, folder)
    monkeypatch.setattr(config, "folder", lambda: folder)
    draw = random.Random(0)
    for _ in range(3):
        draw.shuffle(free)
        order = sorted(free, key=lambda entry: next(iter(entry)) == "optim")  # it may bring a schedule
        (folder / "train.yaml").write_text(yaml.safe_dump(whole | {"defaults": ["_self_", *order, *late]}))
        assert OmegaConf.to_container(compose(*chosen), resolve=False) == expected, order
