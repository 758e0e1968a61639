"""`python -m arena.export run=FOLDER output=FOLDER`: a trained model for people who do not have arena.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core import checkpoints, signatures
from arena.core.console import run_command, say
from arena.core.data_keys import refuse_idle_keys
from arena.core.errors import UsageError
from arena.core.paths import shown
from arena.core.run import RunFolder
from arena.core.schema import check_values
from arena.inference import parameters
from arena.model.identity import ENCODER

USAGE = """python -m arena.export run=FOLDER output=FOLDER [merge=true|false]
python -m arena.export run=[FOLDER,FOLDER] average=true output=FOLDER

Writes a folder that transformers loads without arena: safetensors, tokenizer, and a model card with data, metrics with
intervals, and limits. The folder is loaded again by transformers and must give the same logits to 1e-5.

  run=FOLDER          a run folder of arena.train (or of average=true)
  output=FOLDER       a new folder
  merge=true          adapters are added to the weights: AutoModelForSequenceClassification (joint, symmetric, score) or
                      AutoModelForCausalLM (verbalizer); false: only the adapters and the head, for PeftModel
  checkpoint=FILE     weights other than the run's best
  name=TEXT           title of the model card (default: the name of the output folder)

Or one run folder of arena whose weights are the mean of several runs': one model at the cost of one, to predict, to
evaluate (data.path=FILE verify=false), or to export. The runs must have been trained alike, apart from data.fold and
seed, and should have begun with the same pretrained weights.

  average=true        writes it: config.yaml, result.json, checkpoints/best.ckpt, tokenizer/
  run=[FOLDER,FOLDER] the runs; or a pattern in quotes ('multirun/study/*'), or a folder that holds 0, 1, 2, ...
"""


@dataclass
class Options:
    """The keys of `USAGE` besides `run`."""

    output: Any = None
    average: bool = False
    merge: bool = True
    checkpoint: Any = None
    name: Any = None


DEFAULTS = asdict(Options())
FOR_ONE = ("merge", "checkpoint", "name")
"""Keys that say nothing to a mean."""


def export(given: restore.Options) -> Path:
    """Write the folder for transformers, or the mean of several runs; returns the folder that was written.

    Raises:
        UsageError: no output, an output that exists, or a model that no class of transformers can hold.
        ArenaError: the written folder gives other logits.
    """
    others = given.others
    check_values(others, Options)
    if not others["output"]:
        raise UsageError("output: a value is needed; give output=FOLDER")
    if others["average"]:
        return average(given).path
    if len(given.runs) > 1:
        raise UsageError(
            f"run: it names {len(given.runs)} runs; give one, or average=true for the mean of their weights"
        )
    output = Path(others["output"]).expanduser()
    if output.exists():
        raise UsageError(f"output={output}: it exists already; choose another folder")
    settings = restore.settings_of(given.run, given.data)
    kind_of(settings).require("export")
    if ENCODER not in signatures.ancestors(settings["model"]["_target_"]):
        raise UsageError(f"run={given.run.path}: its model is arena's own and has no class in transformers")
    if settings["data"]["target"]["offset"] is not None:
        raise UsageError(f"run={given.run.path}: it was trained with data.offset, which no class of transformers adds")
    checkpoint = Path(others["checkpoint"]) if others["checkpoint"] else given.run.best
    checkpoints.check(checkpoint)
    build.quiet()
    from arena.inference import exporting

    model, data = restore.rebuild(given.run, settings, checkpoint).model, build.data(settings)
    name = others["name"] or output.name
    difference = exporting.write(output, given.run, settings, model, data, others["merge"], name)
    say(f"transformers gives the same logits (largest difference {difference:.1e})\nwritten to {shown(output)}")
    return output


def average(given: restore.Options) -> RunFolder:
    """Write the mean of the weights of several runs as a run folder of its own.

    Raises:
        UsageError, InputOutputError, DataError: as `arena.inference.parameters`.
    """
    refuse_idle_keys(given.data, None, "the data of finished runs cannot be changed")
    for key in FOR_ONE:
        if given.others[key] != DEFAULTS[key]:
            raise UsageError(f"{key}: the mean of several runs has no use for it")
    output = RunFolder(str(given.others["output"]))
    parameters.check(given.runs, output)
    build.quiet()
    with output.locked():
        parameters.average(given.runs, output)
    say(f"the mean of {len(given.runs)} runs written to {shown(output.path)}")
    return output


def main() -> None:
    """The command line."""
    run_command(lambda typed: export(restore.options(typed, DEFAULTS, USAGE, several=True)))


if __name__ == "__main__":
    main()
