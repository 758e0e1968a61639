"""Predictions that a model has to beat."""

import torch
from torch import Tensor

from arena.core.shapes import Float


def prior_probabilities(class_counts: Tensor, rows: int) -> Float[Tensor, "rows K"]:
    r"""Compute the class shares of the training rows for every row, $p_c = (n_c + 1) / (n + K)$, float32.

    One is added to each count (Laplace's rule), so that a class which training never saw costs log(n + K) nats where
    it occurs and not infinitely many. The log loss of these probabilities is that of a model that has learned nothing
    from the text, their accuracy that of always naming the majority.
    """
    smoothed = class_counts.double() + 1
    return (smoothed / smoothed.sum()).to(torch.float32).expand(rows, -1).clone()
