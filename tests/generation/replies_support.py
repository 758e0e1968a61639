"""A small language model and a few prompts, with the interfaces that the generation asks for."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

END, PAD, LETTERS = 4, 5, "abcd"


@dataclass(frozen=True)
class Sampling:
    samples: int = 3
    max_new_tokens: int = 6
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


class Samples(NamedTuple):
    ids: Tensor
    length: Tensor
    finished: Tensor


class Letters:
    """Four letters, an end and padding."""

    pad = PAD

    def decode(self, ids: np.ndarray) -> str:
        return "".join(LETTERS[i] for i in ids.tolist() if i < END)


class SmallLlama(nn.Module):
    """A Llama of 3 thousand random weights that samples token by token.

    Args:
        room: sequences that fit into its memory.
    """

    def __init__(self, room: int = 10_000) -> None:
        from transformers import AutoConfig, AutoModelForCausalLM

        super().__init__()
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = AutoConfig.for_model("llama", vocab_size=6, pad_token_id=PAD, num_key_value_heads=2, **sizes)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.language_model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
            for parameter in self.language_model.parameters():
                if parameter.ndim == 2:
                    nn.init.normal_(parameter, std=0.4)
        self.dropout = nn.Dropout(0.5)
        self.room, self.calls = room, []

    def sample(self, prompt_ids: Tensor, mask: Tensor, sampling: Sampling, seed: int) -> Samples:
        assert not self.training
        assert not torch.is_grad_enabled()
        if len(prompt_ids) * sampling.samples > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.calls.append(len(prompt_ids))
        ids, seen = (each.repeat_interleave(sampling.samples, 0) for each in (prompt_ids, mask))
        draw = torch.Generator().manual_seed(seed)
        replies = []
        finished = torch.zeros(len(ids), dtype=torch.bool)
        length = torch.zeros(len(ids), dtype=torch.int64)
        for _ in range(sampling.max_new_tokens):
            logits = self.language_model(input_ids=ids, attention_mask=seen).logits[:, -1].float()
            logits[:, PAD] = -torch.inf
            odds = (logits / sampling.temperature).log_softmax(-1)
            token = torch.multinomial(odds.exp(), 1, generator=draw).squeeze(1)
            token = torch.where(finished, PAD, token)
            length += ~finished
            finished = finished | (token == END)
            replies.append(token)
            ids = torch.cat([ids, token[:, None]], 1)
            seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        return Samples(torch.stack(replies, 1), length, finished)

    def log_probabilities(self, prompt_ids: Tensor, mask: Tensor, samples: Samples, temperature: float) -> Tensor:
        times = len(samples.ids) // len(prompt_ids)
        reply = torch.arange(samples.ids.shape[1]) < samples.length[:, None]
        ids = torch.cat([prompt_ids.repeat_interleave(times, 0), samples.ids], 1)
        seen = torch.cat([mask.repeat_interleave(times, 0), reply.long()], 1)
        logits = self.language_model(input_ids=ids, attention_mask=seen).logits[:, prompt_ids.shape[1] - 1 : -1].float()
        logits[..., PAD] = -torch.inf
        odds = (logits / temperature).log_softmax(-1).gather(2, samples.ids[..., None]).squeeze(2)
        return torch.where(reply, odds, 0).sum(1)


class Replies:
    """Prompts of letters with a reference each, all of them in one split; two rows are one group, and the last row
    repeats the prompt of the first."""

    tokenizer = Letters()

    def __init__(self, rows: int = 10, fingerprint: str = "f") -> None:
        draw = np.random.default_rng(1)
        self.prompts = ["".join(draw.choice(list(LETTERS), 3 + i)) for i in range(rows - 1)]
        self.prompts.append(self.prompts[0])
        self.fingerprint = fingerprint
        self.first = 100
        """Position of the first row in the table of all splits."""

    def covariates(self, split: str) -> pa.Table:
        number = len(self.prompts) if split == "test" else 0
        row = np.arange(self.first, self.first + number)
        names = pa.array([f"r{i}" for i in range(number)], pa.string())
        return pa.table({"row": row, "id": names, "group": np.arange(number) // 2})

    def prompt_texts(self, split: str) -> list[str]:
        return self.prompts

    def references(self, split: str) -> list[str]:
        return [prompt[::-1] for prompt in self.prompts]

    def prompt_ids(self, row: int) -> np.ndarray:
        return np.array([LETTERS.index(letter) for letter in self.prompts[row - self.first]])

    def summary(self) -> dict[str, str]:
        return {"fingerprint": self.fingerprint}
