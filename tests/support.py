"""What tests of several rooms use, apart from fixtures."""

import os
from pathlib import Path

from omegaconf import DictConfig

from arena import config
from arena.data.text import Cut, Turns

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
        return hydra_compose("train", [*precision, *overrides])


def encode(
    table, tokenizer, max_length=512, missing_text="(no answer)", cut: Cut = "tail", turns: Turns = "last", **template
):
    """The token sequences of a table in memory; `template` as `arena.data.template.compile_template`."""
    from arena.data.rows import Rows
    from arena.data.template import compile_template
    from arena.data.text import fit
    from arena.data.tokens import tokenize

    tokens = tokenize(Rows.from_table(table, "test"), tokenizer, missing_text=missing_text)
    return fit(tokens, compile_template(tokenizer, **template), max_length, cut, turns)
