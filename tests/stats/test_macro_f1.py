"""Measures of a classification against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from arena.stats import classification


@pytest.mark.parametrize(
    ("target", "predicted", "expected", "absent"),
    [
        ([0, 1, 1], [0, 0, 1], (2 / 3 + 2 / 3) / 2, [2, 3]),
        ([0, 1, 1], [0, 2, 1], (1 + 2 / 3 + 0) / 3, [3]),  # 2 is predicted and never true
        ([0, 2, 1], [0, 0, 1], (2 / 3 + 1 + 0) / 3, [3]),  # 2 is true and never predicted
    ],
)
def test_a_class_that_occurs_nowhere_is_left_out(target, predicted, expected, absent) -> None:
    said = np.array(predicted), np.array(target)
    assert classification.macro_f1(*said, 4) == pytest.approx(expected)
    assert f1_score(target, predicted, average="macro") == pytest.approx(expected)
    assert classification.absent(classification.confusion_matrix(said[1], said[0], 4)) == absent


def test_macro_f1_of_no_rows_is_undefined() -> None:
    assert np.isnan(classification.macro_f1_of(np.zeros((3, 3))))


def test_left_out_classes_are_named() -> None:
    assert classification.left_out([]) == []
    assert classification.left_out(["tie"])[0].startswith("macro_f1 leaves out a class that occurs neither")
    assert classification.left_out(["a", "b"])[0].endswith(
        "2 classes that occur neither in the targets nor in the predictions: a, b"
    )
