"""Which rows the rules override, and with what."""

import numpy as np
import pyarrow as pa
import pytest

from arena.data.source.rows import Rows
from arena.inference import rules

THREE = ["model_a", "model_b", "tie"]
SAME, B_WINS, A_WINS = [0.06, 0.06, 0.88], [0.04, 0.88, 0.08], [0.88, 0.04, 0.08]
MODEL = [0.5, 0.3, 0.2]
CASES = [
    (["x"], ["y"], MODEL),
    (["x"], [" x\n"], SAME),
    ([None], [""], SAME),
    ([], ["", None], SAME),
    ([None], ["y"], B_WINS),
    ([" \n"], ["y"], B_WINS),
    (["x"], [], A_WINS),
    (["x", "y"], [None, None], A_WINS),
    (["x", "y"], ["x", None], MODEL),
    (["x", "y"], ["x"], MODEL),
    (["x", None], ["x"], SAME),
    (["x", "y"], ["y", "x"], MODEL),
    (["X"], ["x"], MODEL),
]


def rows() -> Rows:
    table = pa.table(
        {
            "id": [str(i) for i in range(len(CASES))],
            "prompt": pa.array([["p"] for _ in CASES], pa.list_(pa.string())),
            "response_a": pa.array([a for a, _, _ in CASES], pa.list_(pa.string())),
            "response_b": pa.array([b for _, b, _ in CASES], pa.list_(pa.string())),
        }
    )
    return Rows.from_table(table, "test")


@pytest.mark.parametrize("labels", [THREE, ["tie", "model_b", "model_a"]])
def test_rows_are_overridden(labels):
    order = [THREE.index(label) for label in labels]
    probabilities = np.array([MODEL] * len(CASES))[:, order]
    counts = rules.apply(probabilities, labels, rows())
    assert probabilities == pytest.approx(np.array([expected for _, _, expected in CASES])[:, order], abs=1e-15)
    assert counts == (4, 4)


def test_two_classes_share_what_the_tie_leaves():
    probabilities = np.array([[0.7, 0.3]] * len(CASES))
    rules.apply(probabilities, THREE[:2], rows())
    wanted = {str(SAME): [0.5, 0.5], str(B_WINS): [0.04 / 0.92, 0.88 / 0.92], str(A_WINS): [0.88 / 0.92, 0.04 / 0.92]}
    expected = [wanted.get(str(values), [0.7, 0.3]) for _, _, values in CASES]
    assert probabilities == pytest.approx(np.array(expected), abs=1e-15)


def test_identical_answers_are_exactly_symmetric():
    probabilities = np.array([MODEL] * len(CASES))
    rules.apply(probabilities, THREE, rows())
    assert all(row[0] == row[1] for row, (_, _, expected) in zip(probabilities, CASES, strict=True) if expected == SAME)
