"""The predictions that a model has to beat."""

import torch
from torch import Tensor


def prior_probabilities(class_counts: Tensor, rows: int) -> Tensor:
    r"""The class shares of the training rows for every row, $p_c = (n_c + 1) / (n + K)$; `[rows, K]` float32.

    One is added to each count (Laplace's rule), so that a class which training never saw costs log(n + K) nats where
    it occurs and not infinitely many. Put through the same `Metrics` as the model, its log loss is that of a model
    that has learned nothing from the text, and its accuracy that of always naming the majority.

    Args:
        class_counts: training rows of each class, `[K]`.
        rows: how many rows to predict.
    """
    smoothed = class_counts.double() + 1
    return (smoothed / smoothed.sum()).to(torch.float32).expand(rows, -1).clone()
