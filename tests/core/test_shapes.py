"""Annotated shapes are checked while the tests run, and cost a user nothing."""

import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from arena.loss.classification import CrossEntropy, cross_entropy
from arena.metric.probability import LogLoss


def test_wrong_shapes_and_types_are_refused():
    logits, target = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
    assert cross_entropy(logits, target).shape == (4,)
    with pytest.raises(TypeCheckError, match="target"):
        cross_entropy(logits, target[:3])
    with pytest.raises(TypeCheckError, match="logits"):
        CrossEntropy(["a", "b", "c"]).cost(logits[None], target)
    with pytest.raises(TypeCheckError, match="probabilities"):
        LogLoss().update(target, target)


@pytest.mark.slow
def test_a_users_process_does_not_import_the_checkers():
    code = "import sys, arena.model.encoder, arena.loss.multi_head, arena.metric.heads\n"
    code += "assert not {'jaxtyping', 'beartype'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
