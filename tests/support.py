"""What tests of several rooms use, apart from fixtures."""

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from arena.config import compose as config
from arena.config.overrides import expanded
from arena.core import checkpoints, moved
from arena.core.construct import instantiate
from arena.core.run import RunFolder
from arena.data.text.truncation import TruncationSettings

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ARENA_SHARED", ROOT.parent / "shared"))
PAIRWISE_ROWS = {
    "lmsys_kaggle_sample/data.parquet": 156,
    "lmsys_kaggle_sample/train.csv": 81,
    "pandalm_human/data.parquet": 798,
    "qa_feedback_dev/data.parquet": 2406,
    "hh_harmless_test/data.parquet": 1844,
    "llmbar/data.parquet": 958,
    "arena_bench_judged/data.parquet": 7101,
    "ja_vicuna_judged/data.parquet": 1089,
}
"""Rows of the labelled pairwise files below `SHARED / "data"`, as the README of each set counts them."""


def compose(*overrides: str) -> DictConfig:
    """The configuration of a command line; fp32 unless it says otherwise, so that any machine computes the same."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    config.register_resolvers()
    precision = [] if any("precision" in o for o in overrides) else ["trainer.precision=32-true"]
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        return hydra_compose("train", [*precision, *map(expanded, overrides)])


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` fills once for all processes of a session, in the first that asks for it."""
    base = factory.getbasetemp()
    place = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "once"
    place.mkdir(exist_ok=True)
    folder, done = place / name, place / f"{name}.done"
    with open(place / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder


def replace_best(run: RunFolder, checkpoint: dict) -> None:
    """Write a whole `best.ckpt` in the place of another, its hash included."""
    import torch

    torch.save(checkpoint, run.best)
    entries = checkpoints.manifest(run.best.parent)
    entries[run.best.name] |= {"sha256": checkpoints.digest(run.best), "bytes": run.best.stat().st_size}
    checkpoints.write_manifest(run.best.parent, entries)


HEADS = {"stance": ["AGAINST", "FAVOR", "NONE"], "sentiment": ["negative", "positive"]}


def head_predictions(path: Path, labels: dict[str, list[str]], rows: int):
    """A predictions file of random heads that know something: its path, probabilities `[N, C]` and targets `[N, T]`.

    A sixth of the labels is missing, row 7 has none, and three rows each are one group.
    """
    import numpy as np
    import pyarrow as pa

    from arena.callback.predictions import prediction_table, write_table
    from arena.core.types import UNLABELLED

    generator = np.random.default_rng(0)
    parts, targets = [], []
    for classes in labels.values():
        target = generator.integers(0, len(classes), rows)
        scores = generator.normal(size=(rows, len(classes))) + np.eye(len(classes))[target]
        parts.append(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))
        targets.append(np.where(generator.random(rows) < 0.15, UNLABELLED, target))
    probabilities, target = np.concatenate(parts, axis=1).astype(np.float32), np.stack(targets, axis=1)
    target[7] = UNLABELLED
    identity = {"row": np.arange(rows), "id": list(map(str, range(rows))), "group": [f"g{i // 3}" for i in range(rows)]}
    loss = np.where((target >= 0).any(axis=1), 0.5, np.nan)
    write_table(path, prediction_table(pa.table(identity), labels, np.arange(rows), probabilities, target, loss))
    return path, probabilities, target


def write_head_rows(path: Path, rows: int = 500, seed: int = 0, labelled: bool = True) -> Path:
    """A csv file of texts that say which class each of `HEADS` has; a seventh of the labels is drawn by lot, a tenth is
    missing. A tiny model learns most of it in a second."""
    import csv

    import numpy as np

    signs = {"AGAINST": "xxxx", "FAVOR": "yyyy", "NONE": "zzzz", "negative": "----", "positive": "++++"}
    shares = {"stance": [0.5, 0.35, 0.15], "sentiment": [0.6, 0.4]}
    draw = np.random.default_rng(seed)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", *(HEADS if labelled else [])])
        for i in range(rows):
            words, labels = [], []
            for head, classes in HEADS.items():
                label = classes[draw.choice(len(classes), p=shares[head])]
                told = classes[draw.choice(len(classes))] if draw.random() < 1 / 7 else label
                labels.append("" if draw.random() < 0.1 else told)
                words.append(signs[label])
            writer.writerow([f"r{i}", " ".join([*words, f"{i:03d}"]), *(labels if labelled else [])])
    return path


def head_settings(path: Path | str, *overrides: str) -> list[str]:
    """The command line of a small and quick training on such a file."""
    common = ["task=multihead", f"data.path={path}", "data.text=text", "data.heads=[stance,sentiment]"]
    common += ["data.near_duplicates=null", "data.cache=null", "data.batch_size=16", "data.max_length=32"]
    return [*common, "data.val_share=0.25", "data.test_share=0.25", "baselines=[]", "resamples=0", *overrides]


def metrics_of_heads(labels: dict[str, list[str]]):
    """The metrics of conf/metric/multi_head.yaml for these heads."""
    from omegaconf import OmegaConf

    from arena.config import build

    made = OmegaConf.merge(
        {"data": {"labels": labels}}, {"metric": OmegaConf.load(ROOT / "conf" / "metric" / "multi_head.yaml")}
    )
    return build.instantiate(OmegaConf.to_container(made.metric, resolve=True))


def encode(table, tokenizer, max_length=512, missing_text="(no answer)", cut="tail", turns="last", **template):
    """The token sequences of a table in memory; `template` as `arena.data.text.template.compile_template`."""
    from arena.data.source.rows import Rows
    from arena.data.text.template import compile_template
    from arena.data.text.tokens import tokenize
    from arena.data.text.truncation import truncate

    tokens = tokenize(Rows.from_table(table, "test"), tokenizer, missing_text=missing_text)
    settings = TruncationSettings(max_length, cut, turns)  # pyright: ignore[reportArgumentType]
    return truncate(tokens, compile_template(tokenizer, **template), settings)


def stories_folder(source: Path, target: Path) -> Path:
    """A real pretrained language model of 260 thousand parameters with its tokenizer, as in a folder of the hub."""
    import json
    import shutil

    from arena.data.text import backend

    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(source / name, target / name)
    backend.from_scores(source / "vocab.json").save(str(target / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "bos_token": "<s>"}
    (target / "tokenizer_config.json").write_text(json.dumps(settings))
    return target


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 512,
    "pad_token_id": 258,
}
KINDS = {
    "qwen2": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "llama": {"num_key_value_heads": 1, "tie_word_embeddings": False},
    "gemma2": {"num_key_value_heads": 1, "head_dim": 16, "final_logit_softcapping": 2.0, "tie_word_embeddings": True},
    "bert": {},
    "roberta": {"max_position_embeddings": 514, "pad_token_id": 1},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 64},
}


def small_folder(kind: str, folder: Path, seed: int = 0) -> Path:
    """A folder as the hub has them: a very small architecture with random weights, and a tokenizer over bytes."""
    import json

    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    causal = kind in ("qwen2", "llama", "gemma2")
    config = AutoConfig.for_model(kind, **(SIZES | KINDS[kind]))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = (AutoModelForCausalLM if causal else AutoModel).from_config(config)
        for name, parameter in made.named_parameters():
            if parameter.ndim >= 2 and "embed" in name:
                torch.nn.init.normal_(parameter, std=0.5)  # the default is so small that all rows look alike
    made.save_pretrained(str(folder))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate(alphabet)} | {"<sep>": 256, "</s>": 257, "<pad>": 258}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
    tokenizer.add_special_tokens(["<sep>", "</s>", "<pad>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"sep_token": "<sep>", "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | named))
    return folder


def built(kind: type, *arguments: object, **options: object):
    """A data module whose parts are given by their short names: `built(PairData, reader, tokenizer, batch_size=8)`."""
    node = moved.nested({"_target_": f"{kind.__module__}.{kind.__qualname__}", **options})
    parts = {name: instantiate(each) if isinstance(each, dict) and "_target_" in each else each
             for name, each in node.items() if name != "_target_"}  # fmt: skip
    return kind(*arguments, **parts)


def first_fast(cases: Sequence[Any], count: int) -> list[Any]:
    """Parameters of a test whose first `count` cases are fast and the others, which start a process each too, slow."""
    slow = [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]
    return [*cases[:count], *slow[count:]]
