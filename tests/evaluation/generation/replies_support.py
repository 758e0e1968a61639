"""A small language model and a few prompts, with the interfaces that the generation asks for."""

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from arena.model.causal import CausalModel
from arena.model.sampling import Samples, Sampling

LETTERS, END = "abcd", 4
SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def sampling(**options: Any) -> Sampling:
    """Three replies of six tokens at most; padding and the end are one token, as many models have them."""
    return Sampling(**({"samples": 3, "max_new_tokens": 6, "end_ids": (END,), "pad": END} | options))


class Letters:
    """Four letters and an end."""

    pad = END

    def decode(self, ids: np.ndarray) -> str:
        return "".join(LETTERS[i] for i in ids.tolist() if i < END)


class SmallLlama(CausalModel):
    """A Llama of 3 thousand random weights.

    Args:
        room: sequences that fit into its memory.
    """

    def __init__(self, room: int = 10_000) -> None:
        kind = {"model_type": "llama", "vocab_size": 5, "pad_token_id": END, "num_key_value_heads": 2}
        super().__init__("small", kind | SIZES, pretrained=False)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.4, generator=generator)
        self.dropout = nn.Dropout(0.5)
        self.room, self.calls = room, []

    def sample(self, prompt_ids: Tensor, mask: Tensor, sampling: Sampling, seed: int) -> Samples:
        assert not self.training
        if len(prompt_ids) * sampling.samples > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.calls.append(len(prompt_ids))
        return super().sample(prompt_ids, mask, sampling, seed)


class Replies:
    """Prompts of letters with a reference each, all of them in one split; two rows are one group, and the last row
    repeats the prompt of the first."""

    tokenizer = Letters()
    end_ids = (END,)

    def __init__(self, rows: int = 10, fingerprint: str = "f") -> None:
        draw = np.random.default_rng(1)
        self.prompts = ["".join(draw.choice(list(LETTERS), 3 + i)) for i in range(rows - 1)]
        self.prompts.append(self.prompts[0])
        self.fingerprint = fingerprint
        self.first = 100
        """Position of the first row in the table of all splits."""

    def setup(self) -> None:
        """They are there already."""

    def covariates(self, split: str) -> pa.Table:
        number = len(self.prompts) if split == "test" else 0
        row = np.arange(self.first, self.first + number)
        names = pa.array([f"r{i}" for i in range(number)], pa.string())
        return pa.table({"row": row, "id": names, "group": np.arange(number) // 2})

    def prompt_texts(self, split: str) -> list[str]:
        return self.prompts

    def reference_replies(self, split: str) -> list[str]:
        return [prompt[::-1] for prompt in self.prompts]

    def prompt_ids(self, row: int) -> np.ndarray:
        return np.array([LETTERS.index(letter) for letter in self.prompts[row - self.first]])

    def summary(self) -> dict[str, str]:
        return {"fingerprint": self.fingerprint}


def write_generations(folder: Any, prompts: list[tuple[str, str, list[str]]], finished: float = 1.0) -> Any:
    """`generations.parquet` of groups, references and replies; a reply of w words has w tokens of -1 nat each, and the
    first `finished` of all replies ended by themselves."""
    from arena.callback.predictions import write_table
    from arena.evaluation.generation.store import COLUMNS, FILE, write_settings

    rows = []
    for i, (group, reference, texts) in enumerate(prompts):
        for sample, text in enumerate(texts):
            tokens = len(text.split())
            rows.append([f"p{i}", group, sample, f"prompt {i}", text, reference, tokens, True, -float(tokens)])
    for i, row in enumerate(rows):
        row[COLUMNS.index("finished")] = i < finished * len(rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_settings(folder, {"sampling": {"samples": len(prompts[0][2])}, "split": "test", "rows": len(prompts)})
    write_table(folder / FILE, pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))))
    return folder
