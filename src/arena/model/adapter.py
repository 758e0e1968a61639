"""Low-rank adapters: a few trained weights beside a frozen backbone."""

import re
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from arena.core.errors import UsageError, first_line
from arena.core.schema import Count, Positive, Share

ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class Adapter:
    r"""Low-rank adapters: $W x$ becomes $W x + \frac{\alpha}{r} B A x$ with $W$ frozen and $B = 0$ at the start.

    Sources: LoRA, Hu et al., arXiv 2106.09685; rank-stabilised scaling, Kalajdzievski, arXiv 2312.03732; DoRA, Liu et
    al., arXiv 2402.09353; QLoRA, Dettmers et al., arXiv 2305.14314.
    """

    method: Literal["none", "lora", "dora", "qlora"] = "none"
    rank: Count = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    targets: str | list[str] = ALL_LINEAR
    rank_stabilized: bool = False
    base_precision: Literal["float32", "bfloat16"] = "float32"

    def chosen(self, backbone: Any, leave_out: str | None = None) -> list[str]:
        """Find the full names of the linear layers that get an adapter; never the one called `leave_out`."""
        from torch import nn

        linear = [name for name, part in backbone.named_modules() if isinstance(part, nn.Linear) and name != leave_out]
        found: set[str] = set()
        for pattern in [self.targets] if isinstance(self.targets, str) else self.targets:
            matching = [name for name in linear if pattern == ALL_LINEAR or _matches(name, pattern)]
            if not matching:
                ends = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
                raise UsageError(
                    f"adapter.targets={pattern}: this backbone has no linear layer of that name; there are {ends}, "
                    f"or {ALL_LINEAR}"
                )
            found |= set(matching)
        return [name for name in linear if name in found]

    def attach(self, backbone: Any, leave_out: str | None = None) -> Any:
        """Add adapters to a backbone (see `chosen`) and freeze everything else; nothing without a method."""
        if self.method == "none":
            return backbone
        if self.method == "qlora":
            for module in backbone.modules():
                # Processors with AVX512-BF16 would repack the weights at the first validation, with less precise scales
                # and in a layout that the merge of an export cannot read.
                if hasattr(module, "support_avx512bf16_for_cpu"):
                    module.support_avx512bf16_for_cpu = False
        from peft import LoraConfig

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # pyright: ignore[reportArgumentType]
            lora_dropout=self.dropout,
            target_modules=self.chosen(backbone, leave_out),
            use_rslora=self.rank_stabilized,
            use_dora=self.method == "dora",
            bias="none",
        )
        return wrapped(backbone, config)


def wrapped(module: Any, config: Any) -> Any:
    """Make peft's model around a module, without a warning that is not for the user."""
    from peft import get_peft_model

    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 under the name that it had before.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        return get_peft_model(module, config)


def check_quantization() -> None:
    """Raise a `UsageError` where bitsandbytes or accelerate is missing or does not work."""
    try:
        import accelerate  # noqa: F401  # transformers loads quantised weights with it
        import torch
        from bitsandbytes import functional

        packed, state = functional.quantize_4bit(torch.ones(64, 64), quant_type="nf4", compress_statistics=True)
        functional.dequantize_4bit(packed, state)
    except Exception as error:  # each broken installation fails in its own way
        raise UsageError(
            f"adapter=qlora: 4-bit weights do not work on this machine ({first_line(error)}); take adapter=lora, "
            "perhaps with adapter.base_precision=bfloat16, or install bitsandbytes and accelerate"
        ) from None


def quantization(adapter: Adapter) -> Any:
    """Make transformers' settings for 4-bit weights: NF4 with double quantisation."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, adapter.base_precision),
    )


def _matches(name: str, pattern: str) -> bool:
    if name == pattern or name.endswith(f".{pattern}"):
        return True
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise UsageError(f"adapter.targets={pattern}: not a regular expression ({error})") from None
