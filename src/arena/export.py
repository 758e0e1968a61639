"""`python -m arena.export run=FOLDER output=FOLDER`: a trained model for people who do not have arena."""

from dataclasses import dataclass, fields
from pathlib import Path

from arena.config import build, restore
from arena.config.options import RunOptions, entry_point, option
from arena.config.pairing import kind_of
from arena.core import checkpoints, hub, signatures
from arena.core.console import echo
from arena.core.data_keys import refuse_idle_keys
from arena.core.errors import UsageError
from arena.core.paths import quote_path
from arena.core.run import RunFolder
from arena.core.schema import InputPath, OutputPath
from arena.inference import parameters
from arena.model.identity import ENCODER


@dataclass(frozen=True, kw_only=True)
class ExportOptions(RunOptions):
    """python -m arena.export run=FOLDER output=FOLDER [merge=true|false] [push=NAME]
    python -m arena.export run=[FOLDER,FOLDER] average=true output=FOLDER

    Write a folder that transformers loads without arena: safetensors, tokenizer, and a model card with data, metrics
    with intervals, and limits. The folder is loaded again by transformers and must give the same logits to 1e-5.

    Or, with average=true, one run folder of arena whose weights are the mean of several runs': one model at the cost of
    one, to predict, to evaluate (data.path=FILE verify=false), or to export. The runs must have been trained alike,
    apart from data.fold and seed, and should have begun with the same pretrained weights.
    """

    run: str = option(
        "a run folder of arena.train; with average=true [FOLDER,FOLDER], a pattern in quotes ('multirun/study/*'), or "
        "a folder that holds 0, 1, 2, ...",
        placeholder="FOLDER",
        takes="text",
    )
    output: OutputPath = option("a new folder", placeholder="FOLDER")
    merge: bool = option(
        "adapters are added to the weights: AutoModelForSequenceClassification (joint, symmetric, score) or "
        "AutoModelForCausalLM (verbalizer); false: only the adapters and the head, for PeftModel",
        default=True,
    )
    checkpoint: InputPath | None = option("weights other than the run's best", default=None, placeholder="FILE")
    name: str | None = option("title of the model card (default: the name of the output folder)", default=None)
    push: str | None = option(
        "also upload the folder to the hub as this repository (private; needs hf auth login)",
        default=None,
        placeholder="USER/NAME",
    )
    average: bool = option(
        "the mean of the weights of several runs: config.yaml, result.json, checkpoints/best.ckpt, tokenizer/", False
    )


def export(options: ExportOptions) -> Path:
    """Write the folder for transformers, or the mean of several runs; returns the folder that was written.

    Raises:
        UsageError: an output that exists, or a model that no class of transformers can hold.
        InputOutputError: the hub cannot be reached or does not take the model.
        ArenaError: the written folder gives other logits.
    """
    if options.average:
        return average(options).path
    if len(options.runs) > 1:
        raise UsageError(
            f"run: it names {len(options.runs)} runs; give one, or average=true for the mean of their weights"
        )
    run, output = options.runs[0], Path(options.output).expanduser()
    if output.exists():
        raise UsageError(f"output={output}: it exists already; choose another folder")
    if options.push:
        hub.check_push(options.push)
    settings = restore.settings_of(run, options.data)
    kind_of(settings).require("export")
    if ENCODER not in signatures.ancestors(settings["model"]["_target_"]):
        raise UsageError(f"run={run.path}: its model is arena's own and has no class in transformers")
    if settings["data"]["target"]["offset"] is not None:
        raise UsageError(f"run={run.path}: it was trained with data.offset, which no class of transformers adds")
    checkpoint = Path(options.checkpoint) if options.checkpoint else run.best
    checkpoints.check(checkpoint)
    build.quiet()
    from arena.inference import exporting

    model, data = restore.rebuild(run, settings, checkpoint).model, build.data(settings)
    name = options.name or output.name
    difference = exporting.write(output, run, settings, model, data, options.merge, name)
    echo(f"transformers gives the same logits (largest difference {difference:.1e})\nwritten to {quote_path(output)}")
    if options.push:
        echo(f"uploaded to {hub.push(output, options.push)}")
    return output


def average(options: ExportOptions) -> RunFolder:
    """Write the mean of the weights of several runs as a run folder; raises the errors of `inference.parameters`."""
    refuse_idle_keys(options.data, None, "the data of finished runs cannot be changed")
    for each in fields(options):
        if each.name in ("merge", "checkpoint", "name", "push") and getattr(options, each.name) != each.default:
            raise UsageError(f"{each.name}: the mean of several runs has no use for it")
    output = RunFolder(options.output)
    parameters.check(options.runs, output)
    build.quiet()
    with output.locked():
        parameters.average(options.runs, output)
    echo(f"the mean of {len(options.runs)} runs written to {quote_path(output.path)}")
    return output


main = entry_point(export, ExportOptions)

if __name__ == "__main__":
    main()
