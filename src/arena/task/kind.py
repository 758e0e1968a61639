"""Kinds of task: the parts that belong to each, what they require of each other, and the commands that it has.

`task=pairwise|multihead|sft` chooses one, `task._target_=mine.Rating` one from a package of your own. Nothing heavy is
imported here: a wrong pairing is an error before torch is there.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from arena.core import signatures
from arena.core.errors import UsageError

if TYPE_CHECKING:
    from arena.data.source.examples import Example

GROUPS = ("data", "model", "loss", "metric")
"""Groups of the configuration whose choices belong to a kind of task."""


class TaskKind:
    """One kind of task, independent of any run.

    Args:
        module: the LightningModule, for `arena.config.build`; not used here.

    Attributes:
        name: as in `task=NAME`.
        parts: base class of what belongs to this kind alone, by group.
        advice: what to choose instead of a part of another kind, by group.
        writes_replies: replies are sampled from the model, and no classes predicted.
        outputs: names of what is predicted of each row, where that is no class: the columns of `arena.predict`.
        measures: columns of a file of predictions that `arena.compare` compares by their means, where nothing is
            classified or written, and whether higher is better; the first one decides unless another is chosen.
        without: commands that this kind lacks, and what follows the command's name in the message.
    """

    name: ClassVar[str]
    parts: ClassVar[dict[str, str]]
    advice: ClassVar[dict[str, str]] = {}
    writes_replies: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[dict[str, bool]] = {}
    without: ClassVar[dict[str, str]] = {}

    def __init__(self, module: Any = None) -> None:
        pass

    def check(self, settings: dict[str, Any]) -> None:
        """Check the parts of a resolved configuration against each other; a `UsageError` where they do not fit."""

    def check_model(self, model: dict[str, Any]) -> None:
        """Check the node `model`; a `UsageError` where it cannot do the task as it is set."""

    def check_data(self, data: dict[str, Any], reader: Any) -> None:
        """Check the node `data` and the columns of its files.

        Args:
            data: arguments of the class of `parts`.
            reader: its reader; one that reads files can `open` them.

        Raises:
            UsageError: an unknown template, column or fold, or a setting that lacks another one.
            InputOutputError: a file cannot be found or read.
            DataError: a file's columns are not those that are needed.
        """

    def example(self) -> "Example":
        """The schema of a row; its columns of text are the inputs of a trained judge."""
        raise NotImplementedError

    def require(self, command: str) -> None:
        """Require that this kind has a command; a `UsageError` where it has not."""
        if command in self.without:
            raise UsageError(f"arena.{command} {self.without[command]}")

    def owns(self, group: str, target: str) -> bool:
        """True if a class is, or builds on, this kind's own part of a group."""
        return group in self.parts and self.parts[group] in signatures.ancestors(target)


def open_files(reader: Any, path: Any, *others: Any) -> None:
    """Check the columns of the files of a reader that reads files, of `others` too where they are not None.

    Raises:
        InputOutputError, DataError: see `TaskKind.check_data`.
    """
    if hasattr(reader, "open"):
        for each in (path, *(other for other in others if other is not None)):
            reader.open(each)
