"""From the outputs for single sequences to logits of a comparison: joint, symmetric, score, verbalizer."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from arena.core.shapes import Float
from arena.core.types import ClassPrior, TextBatch
from arena.model.preflight import check_labels

Formulation = Literal["joint", "symmetric", "score", "verbalizer"]
TieModel = Literal["davidson", "rao_kupper"]
SIDES = ("model_a", "model_b", "tie")
OTHER = {"model_a": "model_b", "model_b": "model_a"}


def with_offset(logits: Float[Tensor, "N K"], batch: TextBatch) -> Float[Tensor, "N K"]:
    """Add the log probabilities of another model (`data.offset`).

    The offset of a generalised linear model (McCullagh and Nelder 1989, section 6.3.2): the model learns only what the
    other one does not know, and one whose logits are all equal predicts exactly what the other one does.
    """
    return logits if batch.offset is None else logits + batch.offset


def davidson(first: Float[Tensor, " N"], second: Float[Tensor, " N"], log_tie: Tensor) -> Float[Tensor, "N 3"]:
    r"""Compute logits of "first wins", "second wins", "tie" from two scores (Davidson 1970).

    $P \propto (e^{r_1},\; e^{r_2},\; \nu e^{(r_1 + r_2) / 2})$ with $\nu = e^{\texttt{log\_tie}}$: of two equal answers
    the share of ties is $\nu / (2 + \nu)$.
    """
    return torch.stack([first, second, (first + second) / 2 + log_tie], dim=1)


def rao_kupper(first: Float[Tensor, " N"], second: Float[Tensor, " N"], threshold: Tensor) -> Float[Tensor, "N 3"]:
    r"""Compute logits of "first wins", "second wins", "tie" from two scores (Rao and Kupper 1967).

    $P(1) = \sigma(s - \eta)$, $P(2) = \sigma(-s - \eta)$ with $s = r_1 - r_2$; a tie is what is left, $\eta \ge 0$ the
    `threshold`. The tie is $P(1) P(2) (e^{2 \eta} - 1)$, which has no difference of nearly equal numbers.

    A softmax ignores what all logits share, so they are moved to where `first_logit + second_logit = r_1 + r_2`,
    as in `davidson`: a loss that keeps the scores near zero can read their sum there.
    """
    difference = first - second
    wins = torch.stack([functional.logsigmoid(difference - threshold), functional.logsigmoid(-difference - threshold)])
    tie = wins.sum(0) + torch.log(torch.expm1(2 * threshold))
    shift = (first + second - wins.sum(0)) / 2
    return torch.stack([wins[0] + shift, wins[1] + shift, tie + shift], dim=1)


class PairwiseOutput(nn.Module):
    """Outputs of the head for all sequences, `[S, C]` -> logits `[N, K]`.

    - joint, verbalizer: one sequence a row, C = K; nothing to do.
    - symmetric: both orders, C = K; the mean of the first order's logits and the second's, with its classes swapped.
    - score: each answer by itself, C = 1; Bradley-Terry, with `ties` where there is a class for them.

    Swapping the answers swaps the probabilities of A and B of `symmetric` and `score` exactly: no bias for a position
    is possible, and no collapse to one of them.
    """

    def __init__(self, formulation: Formulation, labels: list[str], ties: TieModel = "davidson") -> None:
        super().__init__()
        check_labels(formulation, labels)
        self.formulation, self.labels, self.ties = formulation, list(labels), ties
        self._with_ties = formulation == "score" and "tie" in labels
        if self._with_ties:
            # Three equal shares for two equal answers: log 1, or the inverse of softplus at log 2.
            start = 0.0 if ties == "davidson" else _inverse_softplus(torch.tensor(2.0).log())
            self.tie_strength = nn.Parameter(torch.as_tensor(start))
        swapped = [labels.index(OTHER.get(label, label)) if formulation == "symmetric" else 0 for label in labels]
        self.swap_permutation = nn.Buffer(torch.tensor(swapped), persistent=False)

    @property
    def outputs(self) -> int:
        """Outputs of the head for each sequence, C."""
        return 1 if self.formulation == "score" else len(self.labels)

    @property
    def tie_law(self) -> str | None:
        """Describe how two scores make a tie, with the learned strength; None where they make none."""
        if not self._with_ties:
            return None
        strength = self.tie_strength.detach()
        if self.ties == "davidson":
            law = f"(exp(score_a), exp(score_b), {float(strength.exp()):.4f} exp((score_a + score_b) / 2))"
            return f"With ties: P(A), P(B), P(tie) are in proportion to {law} (Davidson 1970)."
        limit = f"{float(functional.softplus(strength)):.4f}"
        return (
            f"With ties: P(A) = sigmoid(score_a - score_b - {limit}), P(B) = sigmoid(score_b - score_a - {limit}), "
            "P(tie) is the rest (Rao and Kupper 1967)."
        )

    def init_from_class_prior(self, class_prior: ClassPrior) -> Float[Tensor, " K"]:
        """Let two equal answers tie as often as the training rows do; returns the shares for the head's bias."""
        shares = class_prior.shares.double()
        if self._with_ties:
            tie = shares[self.labels.index("tie")]
            davidsons = (2 * tie / (1 - tie)).log()
            threshold = ((1 + tie) / (1 - tie)).log()
            with torch.no_grad():
                self.tie_strength.copy_(davidsons if self.ties == "davidson" else _inverse_softplus(threshold))
        return (shares + shares[self.swap_permutation.cpu()]) / 2 if self.formulation == "symmetric" else shares

    def forward(self, outputs: Float[Tensor, "S C"], rows: int) -> Float[Tensor, "N K"]:
        """Compute logits of `rows` (N) rows; the first sequences of all rows come first."""
        if self.formulation in ("joint", "verbalizer"):
            return outputs
        first, second = outputs[:rows], outputs[rows:]
        if self.formulation == "symmetric":
            return (first + second[:, self.swap_permutation]) / 2
        first, second = first[:, 0], second[:, 0]
        if not self._with_ties:
            logits = torch.stack([first, second], dim=1)
        elif self.ties == "davidson":
            logits = davidson(first, second, self.tie_strength)
        else:
            logits = rao_kupper(first, second, functional.softplus(self.tie_strength))
        return logits[:, [SIDES.index(label) for label in self.labels]]


def _inverse_softplus(value: Tensor) -> Tensor:
    return torch.log(torch.expm1(value))
