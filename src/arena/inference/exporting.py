"""A trained model as a folder that transformers loads without arena."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.errors import ArenaError
from arena.core.run import RunFolder, write_atomically
from arena.reporting.card import model_card

if TYPE_CHECKING:
    from arena.core.types import TextBatch

TOLERANCE = 1e-5
"""Largest difference of a logit between arena and transformers."""


def write(
    output: Path, run: RunFolder, settings: dict[str, Any], model: Any, data: Any, merge: bool, name: str
) -> float:
    """Write weights, settings, tokenizer and card in one step; returns the largest difference of a reloaded logit.

    Args:
        output: the new folder.
        run, settings: the origin of the model.
        model, data: rebuilt from there.
        merge: add adapters to the weights.
        name: title of the model card.

    Raises:
        UsageError: no class of transformers gives this model's logits.
        ArenaError: the difference is larger than `TOLERANCE`; nothing is written then.
    """
    import torch

    from arena.model import hub_classes

    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    hub_classes.check_exportable(model)
    batch = sample(model, data)
    with torch.inference_mode():
        wanted = model.eval().read(batch)
    try:
        made = (hub_classes.whole if merge else hub_classes.adapted)(model, data.labels, data.tokenizer.pad)
        options = {} if merge else {"save_embedding_layers": False}
        made.save_pretrained(str(temporary), safe_serialization=True, **options)
        data.tokenizer.save(temporary)
        found = hub_classes.load_again(temporary, model, merge, data.tokenizer.pad, batch)
        difference = float((found - wanted).abs().max())
        if not difference <= TOLERANCE:
            raise ArenaError(
                f"the exported model gives other logits (largest difference {difference:.1e}, allowed "
                f"{TOLERANCE:.0e}); nothing was written"
            )
        template = {key: value for key, value in data.template.items() if key != "words"}
        words, ties = data.template.get("words"), model.output.tie_law
        card = model_card(name, settings, run.read_result(), template, words, merge, ties)
        write_atomically(temporary / "README.md", card)
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return difference


def sample(model: Any, data: Any) -> "TextBatch":
    """Make eight sequences of arbitrary tokens other than padding, 5 to 40 long, padded to `[8, 40]`."""
    import torch

    from arena.core.types import TextBatch

    generator = torch.Generator().manual_seed(0)
    lengths = torch.arange(5, 45, 5)
    ids = torch.randint(0, min(model.vocabulary_size, data.tokenizer.size), (8, 40), generator=generator)
    pad = data.tokenizer.pad
    ids = torch.where(ids == pad, torch.full_like(ids, (pad + 1) % model.vocabulary_size), ids)
    mask = (torch.arange(40) < lengths[:, None]).long()
    nothing = torch.zeros(8, dtype=torch.long)
    return TextBatch(torch.where(mask > 0, ids, pad), mask, nothing, nothing.float(), nothing, 0)
