"""`python -m arena.export run=FOLDER output=FOLDER`: a trained model for people who do not have arena."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core import checkpoints, signatures
from arena.core.console import say, show_messages
from arena.core.errors import ArenaError, UsageError, run_main
from arena.core.paths import shown
from arena.model.identity import ENCODER

USAGE = """python -m arena.export run=FOLDER output=FOLDER [merge=true|false]

Writes a folder that transformers loads without arena: safetensors, tokenizer, and a model card with data, metrics with
intervals, and limits. The folder is loaded again by transformers and must give the same logits to 1e-5.

  run=FOLDER          a run folder of arena.train (or arena.average)
  output=FOLDER       a new folder
  merge=true          adapters are added to the weights: AutoModelForSequenceClassification (joint, symmetric, score) or
                      AutoModelForCausalLM (verbalizer); false: only the adapters and the head, for PeftModel
  checkpoint=FILE     weights other than the run's best
  name=TEXT           title of the model card (default: the name of the output folder)
"""
DEFAULTS: dict[str, Any] = {"output": None, "checkpoint": None, "merge": True, "name": None}
TOLERANCE = 1e-5
"""Largest difference of a logit between arena and transformers."""


def export(given: restore.Options) -> Path:
    """Rebuild, convert, write, load again and compare; returns the folder that was written.

    Raises:
        UsageError: no output, an output that exists, or a model that no class of transformers can hold.
        ArenaError: the written folder gives other logits.
    """
    others = given.others
    if not others["output"]:
        raise UsageError("output: a value is needed; give output=FOLDER")
    output = Path(others["output"]).expanduser()
    if output.exists():
        raise UsageError(f"output={output}: it exists already; choose another folder")
    if not isinstance(others["merge"], bool):
        raise UsageError(f"merge={others['merge']}: true or false is needed")
    settings = restore.settings_of(given.run, given.data)
    kind_of(settings).require("export")
    if ENCODER not in signatures.ancestors(settings["model"]["_target_"]):
        raise UsageError(f"run={given.run.path}: its model is arena's own and has no class in transformers")
    if settings["data"]["target"]["offset"] is not None:
        raise UsageError(f"run={given.run.path}: it was trained with data.offset, which no class of transformers adds")
    checkpoint = Path(others["checkpoint"]) if others["checkpoint"] else given.run.best
    checkpoints.check(checkpoint)
    build.quiet()
    task = restore.rebuild(given.run, settings, checkpoint)
    data = build.data(settings)
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        difference = write(task.model, data, temporary, others["merge"])
        ties = task.model.pairing.tie_law
        card(given.run, settings, data, temporary, others["name"] or output.name, others["merge"], ties)
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    say(f"transformers gives the same logits (largest difference {difference:.1e})\nwritten to {shown(output)}")
    return output


def write(model: Any, data: Any, folder: Path, merge: bool) -> float:
    """Weights, settings and tokenizer; returns the largest difference of a logit after loading them again.

    Raises:
        ArenaError: it is larger than `TOLERANCE`.
    """
    import torch

    from arena.model import hub_classes

    hub_classes.check_exportable(model)
    batch = sample(model, data)
    with torch.inference_mode():
        wanted = hub_classes.reference(model, batch)
    convert = hub_classes.whole if merge else hub_classes.adapted
    made = convert(model, data.labels, data.tokenizer.pad)
    options = {} if merge else {"save_embedding_layers": False}
    made.save_pretrained(str(folder), safe_serialization=True, **options)
    data.tokenizer.save(folder)
    found = hub_classes.load_again(folder, model, merge, data.tokenizer.pad, batch)
    difference = float((found - wanted).abs().max())
    if not difference <= TOLERANCE:
        raise ArenaError(
            f"the exported model gives other logits (largest difference {difference:.1e}, allowed {TOLERANCE:.0e}); "
            "nothing was written"
        )
    return difference


def sample(model: Any, data: Any) -> Any:
    """Eight sequences of arbitrary tokens, 5 to 40 long and padded, without the id of padding among the tokens."""
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


def card(run: Any, settings: build.Settings, data: Any, folder: Path, name: str, merge: bool, ties: str | None) -> None:
    """`README.md` of the folder."""
    from arena.core.run import write_atomically
    from arena.reporting.card import model_card

    template = {key: value for key, value in data.template.items() if key != "words"}
    text = model_card(name, settings, run.read_result(), template, data.template.get("words"), merge, ties)
    write_atomically(folder / "README.md", text)


def main() -> None:
    """The command line."""

    def command() -> None:
        given = restore.options(sys.argv[1:], DEFAULTS, USAGE)
        show_messages()
        export(given)

    run_main(command)


if __name__ == "__main__":
    main()
