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


def stories_folder(source: Path, target: Path) -> Path:
    """A real pretrained language model of 260 thousand parameters with its tokenizer, as a folder of the hub has them.

    The tokenizer comes from the vocabulary: a byte-pair encoding whose merges are all pairs of pieces that make a
    piece, the best score first.
    """
    import json
    import shutil

    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(source / name, target / name)
    entries = json.loads((source / "vocab.json").read_text(encoding="utf-8"))
    names = {0: "<unk>", 1: "<s>", 2: "</s>"}
    pieces = {}
    for entry in entries:
        text = entry["piece"].encode("latin-1").decode("utf-8")
        pieces[names.get(entry["id"], text.replace(" ", "\u2581"))] = (entry["id"], entry["score"])
    merges = [
        (piece[:cut], piece[cut:])
        for piece, _ in sorted(pieces.items(), key=lambda item: -item[1][1])
        if not piece.startswith("<0x") and piece not in names.values()
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    vocabulary = {piece: number for piece, (number, _) in pieces.items()}
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])  # pyright: ignore
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])  # pyright: ignore
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])  # pyright: ignore
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    made.save(str(target / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "bos_token": "<s>"}
    (target / "tokenizer_config.json").write_text(json.dumps(settings))
    return target
