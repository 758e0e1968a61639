"""A run in TensorBoard."""

from typing import Any

from arena.logger.journal_logger import Entry, JournalLogger


class TensorBoardRun(JournalLogger):
    """The journal as scalars in `RUN/tensorboard`: `tensorboard --logdir multirun/STUDY` shows all trials of a study.

    Args:
        folder: the run folder.
    """

    title = "TensorBoard"

    def open(self, directions: dict[str, str]) -> None:
        """Begin anew: a resumed run writes its whole journal again."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self.run.path / "tensorboard"
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self.writer: Any = SummaryWriter(str(folder))
        if self.run.config.is_file():
            text = self.run.config.read_text(encoding="utf-8")
            self.writer.add_text("config", "".join(f"    {line}\n" for line in text.splitlines()))

    def write(self, entry: Entry) -> None:
        """One scalar for each value."""
        for name, value in entry.values.items():
            self.writer.add_scalar(name, value, entry.step)
        if entry.split != "train":
            self.writer.flush()

    def close(self, result: dict[str, Any], code: int) -> None:
        """Say how the run ended, and close the file."""
        self.writer.add_text("status", f"{result.get('status')} (exit code {code})")
        self.writer.close()
