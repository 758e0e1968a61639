"""`python -m arena.average run=[FOLDER,FOLDER] output=FOLDER`: one run whose weights are the mean of several runs'.

One model then predicts at the cost of one, where the average of probabilities costs as many as there are runs. It only
makes sense for runs that began with the same (pretrained) weights. Where checkpoints hold adapters (LoRA: W + B A), the
mean is that of the As and of the Bs, and mean(B) mean(A) is not mean(B A). The 1st place of Kaggle's LMSYS competition
averaged the LoRA weights of five folds this way all the same, and so did the 4th place of the WSDM Cup.
"""

import sys

from arena.config import build, restore
from arena.core.console import say, show_messages
from arena.core.errors import UsageError, run_main
from arena.core.paths import shown
from arena.core.run import RunFolder
from arena.inference import parameters

USAGE = """python -m arena.average run=[FOLDER,FOLDER,...] output=FOLDER

Writes a run folder whose weights are the mean of the runs' best weights. The runs must have been trained alike, apart
from data.fold and seed, and should have begun with the same pretrained weights. Use it like any run:

  python -m arena.predict run=FOLDER data.path=FILE output=FILE
  python -m arena.evaluate run=FOLDER data.path=FILE verify=false

  run=[FOLDER,FOLDER]    run folders of arena.train; or a pattern in quotes ('multirun/study/*'), or a folder that holds
                         the runs 0, 1, 2, ...
  output=FOLDER          the new run folder: config.yaml, result.json, checkpoints/best.ckpt, tokenizer/
"""
DEFAULTS = {"output": None}


def average(given: restore.Options) -> RunFolder:
    """Check, average, write; returns the new run folder.

    Raises:
        UsageError, InputOutputError, DataError: as `arena.inference.parameters`.
    """
    if given.data:
        raise UsageError(f"data.{next(iter(given.data))}: the data of finished runs cannot be changed")
    if not given.others["output"]:
        raise UsageError("output: a value is needed; give output=FOLDER")
    output = RunFolder(str(given.others["output"]))
    parameters.check(given.runs, output)
    build.quiet()
    with output.locked():
        parameters.average(given.runs, output)
    say(f"the mean of {len(given.runs)} runs written to {shown(output.path)}")
    return output


def main() -> None:
    """The command line."""

    def command() -> None:
        given = restore.options(sys.argv[1:], DEFAULTS, USAGE, several=True)
        show_messages()
        average(given)

    run_main(command)


if __name__ == "__main__":
    main()
