"""Exchange A and B in the file: what a model says of them changes places, for every formulation."""

import numpy as np
import pytest
import torch
from support import compose, small_folder

from arena.config import build
from arena.config import compose as config
from arena.core.types import ClassPrior
from arena.data.source.rows import Rows
from arena.data.source.toy import ToyReader
from arena.data.target.labels import swap_permutation

LABELS = {"three": ["model_a", "model_b", "tie"], "two": ["model_b", "model_a"]}

SCORED = ("score", "three")
CASES = [
    (name, formulation, labels, ties)
    for name in ("tiny", "qwen05b", "minilm", "modernbert")
    for formulation in ("joint", "symmetric", "score", "verbalizer")
    for labels in LABELS
    for ties in ("davidson", "rao_kupper")
    if (formulation != "verbalizer" or name == "qwen05b") and (ties == "davidson" or (formulation, labels) == SCORED)
    if labels == "three" or name in ("tiny", "qwen05b")
    if name != "modernbert" or formulation == "score"
]
"""All formulations on two architectures and the tiny model; two classes on one architecture and the tiny model."""


def probabilities(task, data, rows, swapped=False):
    """What the model says of each row, `[N, K]`, in the order of the rows."""
    found = np.zeros((rows.num_rows, len(data.labels)))
    for batch in data.predict_loader(rows, swapped)[0]:
        with torch.no_grad():
            found[batch.row.numpy()] = task.loss.predict(task.model(batch)).numpy()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "formulation", "labels", "ties"), CASES)
def test_exchanged_answers_get_exchanged_probabilities(tmp_path, name, formulation, labels, ties):
    """Within 1e-6, with random weights everywhere. joint and verbalizer can prefer a place: they are held to it with
    both orders averaged, as `arena.predict swap=true` does, and shown to differ without."""
    kinds = {"qwen05b": "qwen2", "minilm": "bert", "modernbert": "modernbert"}
    path = [f"model.path={small_folder(kinds[name], tmp_path / 'weights')}"] if name in kinds else []
    chosen = [f"model={name}", *path, f"model.formulation={formulation}", f"data.labels=[{','.join(LABELS[labels])}]"]
    ties_of = [f"model.ties={ties}", "data.max_length=300", "run_dir=out"]
    settings = config.resolved(compose(*chosen, *ties_of))
    torch.manual_seed(0)
    data, task = build.data(settings), build.task(settings).eval()
    words = torch.tensor([48, 49, 50][: len(data.labels)])
    task.model.init_from_class_prior(ClassPrior(torch.ones(len(data.labels)) / len(data.labels), words))
    if formulation != "verbalizer":
        # The mean of two orders leaves little of random weights: a larger head shows it.
        scale = 3.0 if (name, formulation) == ("qwen05b", "symmetric") else 0.3
        torch.nn.init.normal_(task.model.head.weight, std=scale)
    table = ToyReader(rows=40, seed=5).table()
    other = {"response_a": "response_b", "response_b": "response_a"}
    exchanged = table.rename_columns([other.get(column, column) for column in table.column_names])
    rows, turned = Rows.from_table(table, "straight"), Rows.from_table(exchanged, "turned")
    back = swap_permutation(data.labels)
    straight, backward = probabilities(task, data, rows), probabilities(task, data, turned)
    assert straight.std(0).max() > 2e-5, "rows must differ by far more than the tolerance"
    np.testing.assert_allclose(probabilities(task, data, rows, swapped=True), backward, atol=1e-6)
    if formulation in ("joint", "verbalizer"):
        assert np.abs(backward[:, back] - straight).max() > 2e-5
        averaged = (straight + probabilities(task, data, rows, swapped=True)[:, back]) / 2
        mirrored = (backward + probabilities(task, data, turned, swapped=True)[:, back]) / 2
        np.testing.assert_allclose(mirrored[:, back], averaged, atol=1e-6)
    else:
        np.testing.assert_allclose(backward[:, back], straight, atol=1e-6)
