"""A trained model as a Python object: texts in, probabilities out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core.data_keys import get
from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.run import find_runs
from arena.inference.members import Member, ask_baseline, gather
from arena.inference.outputs import gather_outputs, outputs_of

Probabilities = dict[str, Any]
"""Probability of each class; of several heads those of each head; of a rating its value."""


def load(
    run: str | Path,
    *,
    calibrated: bool = True,
    checkpoint: str | Path | None = None,
    trusted_packages: Sequence[str] = (),
) -> "TrainedJudge":
    """Load a trained judge from its run folder.

    Args:
        run: a run folder, or several as `run=` of arena.predict takes them, whose probabilities are averaged.
        calibrated: apply the run's calibration.json where it has one.
        checkpoint: weights other than the run's best.
        trusted_packages: packages of your own whose classes the run may name.

    Raises:
        UsageError: a run that writes replies, or that was trained on top of the predictions of another.
        InputOutputError: no such folder, or one without weights.
        DataError: a folder that is damaged, runs that cannot be averaged, or a calibration of other weights.
    """
    runs = find_runs(str(run))
    for each in runs:
        each.trusted = tuple(trusted_packages)
        if not each.is_baseline and kind_of(restore.settings_of(each)).writes_replies:
            raise UsageError(f"run={each.path}: its model writes replies; python -m arena.evaluate samples them")
    build.quiet()
    weights = str(checkpoint) if checkpoint else None
    members = gather_outputs(runs, {}, weights) if outputs_of(runs) else gather(runs, {}, weights, calibrated)
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
        self._kind = next((kind_of(each.settings) for each in members if not each.is_baseline), None)
        self._example = self._kind.example() if self._kind else PAIR
        self._models = [None if each.is_baseline else _Model(each) for each in members]
        self.labels = members[0].labels
        self.texts = self._example.texts

    def __call__(self, *texts: Any, swap: bool = False) -> Any:
        """Return the probabilities of one row, or of each row of a list.

        Args:
            texts: one value for each of `self.texts`; trailing ones may be left out where they may be empty.
            swap: average over both orders of the two answers; takes twice the time.

        Raises:
            UsageError: too many or too few texts, or lists of different lengths.
        """
        optional = "context" in self.texts
        if not len(self.texts) - optional <= len(texts) <= len(self.texts):
            raise UsageError(f"the judge takes {', '.join(self.texts)}; {len(texts)} texts were given")
        single = isinstance(texts[0], str)
        columns = [[each] if single else list(each) for each in texts]
        if len({len(each) for each in columns}) > 1:
            raise UsageError(
                f"lists of one length are needed, they have {', '.join(str(len(each)) for each in columns)}"
            )
        if self._example.texts[1:2] == ("response_a",) and len(texts) < 3:
            raise UsageError(f"the judge takes {', '.join(self.texts)}; {len(texts)} texts were given")
        columns += [[""] * len(columns[0])] * (len(self.texts) - len(columns))
        found = [self._named(row) for row in self._predict(columns, swap)]
        return found[0] if single else found

    def iterate(
        self, rows: Iterable[Mapping[str, Any]], batch_size: int = 256, swap: bool = False
    ) -> Iterator[Probabilities]:
        """Yield the probabilities of each row of a stream, `batch_size` rows at a time in memory.

        Args:
            rows: mappings with the keys `self.texts`.
            batch_size: rows that are read before they are predicted together, longest first.
            swap: see `__call__`.
        """
        rows = iter(rows)
        while some := list(islice(rows, batch_size)):
            yield from self(*([row.get(name, "") for row in some] for name in self.texts), swap=swap)

    def frame(self, frame: Any, swap: bool = False, **columns: str) -> Any:
        """Return a pandas frame with a column for each probability, named as in the files of arena.predict.

        Args:
            frame: has the columns `self.texts`, or those that `columns` names: `frame(votes, prompt="question")`.
            swap: see `__call__`.
            columns: name of the frame's column by the name in `self.texts`.

        Raises:
            UsageError: the frame has no such column.
        """
        named = {name: columns.get(name, name) for name in self.texts}
        for name, place in named.items():
            if place not in frame.columns and (name in columns or name == self.texts[0]):
                raise UsageError(
                    f"{name}: the frame has no column {place}; it has {', '.join(map(str, frame.columns))}"
                )
        texts = [frame[place].tolist() if place in frame.columns else [""] * len(frame) for place in named.values()]
        found = self._predict(texts, swap)
        return frame.assign(**{name: found[:, position] for position, name in enumerate(self._columns())})

    def _columns(self) -> list[str]:
        if self._kind and self._kind.outputs:
            return list(self._kind.outputs)
        heads = Heads(self.labels)
        return [("probability_" if heads.named else "winner_") + name for name in heads.columns]

    def _named(self, row: Any) -> Probabilities:
        """The probabilities of one row `[C]` by name."""
        if self._kind and self._kind.outputs:
            return dict(zip(self._kind.outputs, row.tolist(), strict=True))
        heads = Heads(self.labels)
        parts = {head: part[0].tolist() for head, part in heads.split(row[None]).items()}
        found = {head: dict(zip(heads.classes[head], part, strict=True)) for head, part in parts.items()}
        return found if heads.named else found[""]

    def _predict(self, texts: list[list[Any]], swap: bool) -> Any:
        """Mean of the members' probabilities, `[N, C]` float64."""
        import numpy as np
        import pyarrow as pa

        from arena.data.source.rows import Rows
        from arena.inference.mixture import Mean

        turns = [
            [each if isinstance(each, list) else ["" if each is None else str(each)] for each in one] for one in texts
        ]
        table = pa.table(dict(zip(self.texts, turns, strict=True)), schema=self._example.text_schema)
        rows = Rows.from_table(table, "memory", self._example)
        if self._kind and self._kind.outputs:
            return np.mean([model.predict(rows, False) for model in self._models if model], axis=0)
        heads = Heads(self.labels)
        mean = Mean("probability", heads.sizes)
        for member, model in zip(self._members, self._models, strict=True):
            order = [Heads(member.labels).columns.index(name) for name in heads.columns]
            for swapped in (False, True) if swap else (False,):
                mean.add(_oriented(member, model, rows, swapped)[:, order])
        return mean.result()


def _oriented(member: Member, model: "_Model | None", rows: Any, swapped: bool) -> Any:
    """Calibrated probabilities of one member, `[N, C]`; of the swapped order with the classes swapped back."""
    import numpy as np

    from arena.data.target.labels import swap_permutation

    logs = None if model is None else model.predict(rows, swapped)
    found = member.calibrated(ask_baseline(member, rows, swapped) if logs is None else np.exp(logs), logs)
    return found[:, swap_permutation(member.labels)] if swapped else found


class _Model:
    """The rebuilt model of one run on its device, in the precision of its training."""

    def __init__(self, member: Member) -> None:
        trainer = build.evaluation_trainer(member.settings, member.run)
        task = restore.rebuild(member.run, member.settings, member.checkpoint)
        self._data = build.data(member.settings)
        self._device, self._precision = trainer.strategy.root_device, trainer.precision_plugin
        self._task = self._precision.convert_module(task).to(self._device)

    def predict(self, rows: Any, swapped: bool) -> Any:
        """Log probabilities `[N, C]` float64 of the rows, or their outputs."""
        import numpy as np
        import torch

        loader, _ = self._data.predict_loader(rows, swapped)
        parts: list[tuple[Any, Any]] = []
        with torch.inference_mode(), self._precision.forward_context():
            for number, batch in enumerate(loader):
                parts.append(
                    tuple(each.cpu().numpy() for each in self._task.predict_step(batch.to(self._device), number))
                )
        found = np.full((rows.num_rows, parts[0][1].shape[1]), np.nan)
        for position, values in parts:
            found[position] = values
        return found
