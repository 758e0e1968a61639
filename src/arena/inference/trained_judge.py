"""A trained model as a Python object: texts in, probabilities out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core.closest import closest
from arena.core.data_keys import get
from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.run import find_runs
from arena.inference.formats import columns_of
from arena.inference.members import Member, gather, oriented
from arena.inference.mixture import Mean

Probabilities = dict[str, Any]
"""Probability of each class; of several heads those of each head; of a rating its value."""


def load(
    run: str | Path | Sequence[str | Path],
    *,
    calibrated: bool = True,
    checkpoint: str | Path | None = None,
    trusted_packages: Sequence[str] = (),
) -> "TrainedJudge":
    """Load a trained judge from its run folder.

    Args:
        run: a run folder; several (a list, or what `run=` of arena.predict takes) are averaged.
        calibrated: apply the run's calibration.json where it has one.
        checkpoint: weights other than the run's best.
        trusted_packages: packages of your own whose classes the run may name.

    Raises:
        UsageError: a run that writes replies, or that was trained with an offset.
        InputOutputError: no such folder, or one without weights.
        DataError: a folder that is damaged, runs that cannot be averaged, or a calibration of other weights.
    """
    runs = find_runs(str(run) if isinstance(run, str | Path) else f"[{','.join(map(str, run))}]")
    for each in runs:
        each.trusted = tuple(trusted_packages)
        if not each.is_baseline and kind_of(restore.settings_of(each)).writes_replies:
            raise UsageError(f"run={each.path}: its model writes replies; python -m arena.evaluate samples them")
    build.quiet()
    members = gather(runs, {}, str(checkpoint) if checkpoint else None, calibrated)
    for data in (each.settings["data"] for each in members if not each.is_baseline):
        if get(data, "target.offset") is not None:
            raise UsageError(f"run={run}: it was trained with data.offset; use python -m arena.predict data.offset=...")
        data["cache"] = None  # rows in memory have no file whose tokens could be kept
        data["loader"]["num_workers"] = 0
    return TrainedJudge(members)


class TrainedJudge:
    """A trained judge, or the mean of several.

    Called with one row of texts it returns the probability of each class, with lists of texts a list of these:

        judge(prompt, answer_a, answer_b) -> {"model_a": 0.62, "model_b": 0.21, "tie": 0.17}
        judge([prompt, ...], [answer, ...], [answer, ...]) -> [{...}, ...]

    A text of several turns is a list of them, also in a list of rows. With several heads (task=multihead) a row is a
    text and perhaps its context, and the result has the probabilities of each head by its name.

    Attributes:
        labels: names of the classes, or those of each head; empty for a task that predicts numbers.
        texts: names of the columns of text, in the order in which the judge takes them.
    """

    def __init__(self, members: list[Member]) -> None:
        from arena.data.source.examples import PAIR

        self._members = members
        self._outputs = members[0].outputs
        settings = next((each.settings for each in members if not each.is_baseline), None)
        self._example = kind_of(settings).example() if settings else PAIR
        self._models = [None if each.is_baseline else _Model(each) for each in members]
        self.labels = members[0].labels
        self.texts = self._example.texts
        self._required = [name for name in self.texts if name != "context"]

    def __call__(self, *texts: Any, swap: bool = False) -> Any:
        """Return the probabilities of one row, or of each row of a list; raises UsageError for texts that do not fit.

        Args:
            texts: one value for each of `self.texts`; a context may be left out.
            swap: average over both orders of the two answers; takes twice the time.
        """
        if not len(self._required) <= len(texts) <= len(self.texts):
            raise UsageError(f"the judge takes {', '.join(self.texts)}; {len(texts)} texts were given")
        single = isinstance(texts[0], str) or not isinstance(texts[0], Iterable)
        columns = [[each] if single else list(each) for each in texts]
        if len({len(each) for each in columns}) > 1:
            raise UsageError(
                f"lists of one length are needed, they have {', '.join(str(len(each)) for each in columns)}"
            )
        if not columns[0]:
            return []
        columns += [[""] * len(columns[0])] * (len(self.texts) - len(columns))
        found = [self._named(row) for row in self._predict(columns, swap)]
        return found[0] if single else found

    def iterate(
        self, rows: Iterable[Mapping[str, Any]], batch_size: int = 256, swap: bool = False
    ) -> Iterator[Probabilities]:
        """Yield the probabilities of each row of a stream of mappings with the keys `self.texts`.

        `batch_size` rows are in memory at a time and predicted together, longest first; `swap` as in `__call__`.
        """
        rows = iter(rows)
        while some := list(islice(rows, batch_size)):
            for name in self._required:
                if lacking := next((row for row in some if not isinstance(row, Mapping) or name not in row), None):
                    raise UsageError(f"rows are mappings with {', '.join(self._required)}; this is {str(lacking)[:80]}")
            yield from self(*([row.get(name, "") for row in some] for name in self.texts), swap=swap)

    def frame(self, frame: Any, swap: bool = False, **columns: str) -> Any:
        """Return a pandas frame with a column for each probability, named as in the files of arena.predict.

        Its texts are in the columns `self.texts`, or in those that `columns` names: `frame(votes, prompt="question")`.
        Raises UsageError where the frame has no such column.
        """
        if unknown := [name for name in columns if name not in self.texts]:
            raise UsageError(f"{unknown[0]}: the judge takes {', '.join(self.texts)}{closest(unknown[0], self.texts)}")
        named = {name: columns.get(name, name) for name in self.texts}
        for name, place in named.items():
            if place not in frame.columns and (name in columns or name in self._required):
                raise UsageError(
                    f"{name}: the frame has no column {place}; it has {', '.join(map(str, frame.columns))}"
                )
        texts = [frame[place].tolist() if place in frame.columns else [""] * len(frame) for place in named.values()]
        found = self._predict(texts, swap)
        names = self._outputs or columns_of(self.labels)
        return frame.assign(**dict(zip(names, found.T, strict=True)))

    def _named(self, row: Any) -> Probabilities:
        """Name the probabilities of one row `[C]`."""
        if self._outputs:
            return dict(zip(self._outputs, row.tolist(), strict=True))
        heads = Heads(self.labels)
        parts = heads.split(row).items()
        found = {head: dict(zip(heads.classes[head], part.tolist(), strict=True)) for head, part in parts}
        return found if heads.named else found[""]

    def _predict(self, texts: list[list[Any]], swap: bool) -> Any:
        """Average the members' probabilities, `[N, C]` float64."""
        import numpy as np
        import pyarrow as pa

        from arena.data.source.rows import Rows

        for name, column in zip(self.texts, texts, strict=True):
            if wrong := [each for each in column if not isinstance(each, str | list)]:
                raise UsageError(f"{name}: a text or a list of turns is needed, not {str(wrong[0])[:80]}")
        turns = [[each if isinstance(each, list) else [each] for each in one] for one in texts]
        table = pa.table(dict(zip(self.texts, turns, strict=True)), schema=self._example.text_schema)
        rows = Rows.from_table(table, "memory", self._example)
        if self._outputs:
            return np.mean([model.predict(rows, False) for model in self._models if model], axis=0)
        mean = Mean("probability", Heads(self.labels).sizes)
        for member, model in zip(self._members, self._models, strict=True):
            for swapped in (False, True) if swap else (False,):
                logs = model.predict(rows, swapped) if model else None
                mean.add(oriented(member, self.labels, rows, swapped, logs))
        return mean.result()


class _Model:
    """The rebuilt model of one run on its device, in the precision of its training."""

    def __init__(self, member: Member) -> None:
        trainer = build.evaluation_trainer(member.settings, member.run)
        task = restore.rebuild(member.run, member.settings, member.checkpoint)
        self._data = build.data(member.settings)
        self._device, self._precision = trainer.strategy.root_device, trainer.precision_plugin
        self._task = self._precision.convert_module(task).to(self._device)

    def predict(self, rows: Any, swapped: bool) -> Any:
        """Return log probabilities of the rows, or their outputs, `[N, C]` float64."""
        import numpy as np
        import torch

        loader, _ = self._data.predict_loader(rows, swapped)
        with torch.inference_mode(), self._precision.forward_context():
            steps = [self._task.predict_step(batch.to(self._device), number) for number, batch in enumerate(loader)]
        positions, values = (
            np.concatenate([each.cpu().numpy() for each in column]) for column in zip(*steps, strict=True)
        )
        found = np.empty(values.shape)
        found[positions] = values
        return found
