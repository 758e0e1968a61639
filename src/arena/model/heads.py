"""Several classification heads over one state of a text."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from arena.core.heads import Heads, several
from arena.core.schema import Count, Share, WholeNumber
from arena.core.shapes import Float
from arena.core.types import ClassPrior
from arena.model.formulation import Formulation, PairwiseOutput, TieModel


@dataclass(frozen=True)
class HeadSettings:
    """How each head is built, see conf/task/multihead.yaml; `width` None is that of the text's state.

    Multi-sample dropout (Inoue, arXiv 1905.09788): his losses are averaged, here the logits of the `samples` masks are,
    which costs one pass through the loss. Only the heads run more than once.
    """

    layers: WholeNumber = 1
    width: Count | None = None
    dropout: Share = 0.1
    samples: Count = 1


class MultiHeadClassifier(nn.Module):
    """One multi-layer perceptron for each head, side by side in their order.

    The last layers start at zero, so that the first loss is known exactly (ln K of each head, or the entropy of its
    classes) and no head begins louder than another.
    """

    def __init__(self, heads: Heads, width: int, settings: HeadSettings) -> None:
        super().__init__()
        self.samples = settings.samples
        self.heads = nn.ModuleList()
        for size in heads.sizes:
            widths = [width] + [settings.width or width] * settings.layers
            layers: list[nn.Module] = []
            for below, above in pairwise(widths):
                layers += [nn.Dropout(settings.dropout), nn.Linear(below, above), nn.GELU()]
            logits = nn.Linear(widths[-1], size)
            nn.init.zeros_(logits.weight)
            nn.init.zeros_(logits.bias)
            self.heads.append(nn.Sequential(*layers, nn.Dropout(settings.dropout), logits))

    def forward(self, states: Float[Tensor, "N H"]) -> Float[Tensor, "N C"]:
        """Compute the logits of all heads."""
        if not self.training or self.samples == 1:
            return torch.cat([head(states) for head in self.heads], dim=1)
        repeated = states.repeat(self.samples, 1)
        logits = torch.cat([head(repeated) for head in self.heads], dim=1)
        return logits.unflatten(0, (self.samples, -1)).mean(0)

    @torch.no_grad()
    def set_bias(self, bias: Float[Tensor, " C"]) -> None:
        """Start every head's logits at these numbers."""
        layers = [head[-1] for head in self.heads]  # pyright: ignore[reportIndexIssue]
        for layer, part in zip(layers, bias.split([layer.out_features for layer in layers]), strict=True):
            layer.bias.copy_(part)


class MultiHeadOutput(nn.Module):
    """The logits of several heads as they are; the counterpart of `arena.model.formulation.PairwiseOutput`."""

    formulation = "joint"
    tie_law = None

    def __init__(self, labels: dict[str, list[str]]) -> None:
        super().__init__()
        self.heads = Heads(labels)
        self.outputs = self.heads.width

    def init_from_class_prior(self, class_prior: ClassPrior) -> Float[Tensor, " C"]:
        """Return the shares for the heads' biases."""
        return class_prior.shares.double()

    def forward(self, outputs: Float[Tensor, "N C"], rows: int) -> Float[Tensor, "N C"]:
        """Return the outputs."""
        return outputs


def output_of(labels: Any, formulation: Formulation, ties: TieModel) -> MultiHeadOutput | PairwiseOutput:
    """Make the output module for several heads, or for one comparison."""
    return MultiHeadOutput(labels) if several(labels) else PairwiseOutput(formulation, labels, ties)


def load_renamed_output(module: Any, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Load checkpoints in which a model's `output` was called `pairing`."""
    for name in [each for each in state if each.startswith(f"{prefix}pairing.")]:
        state[f"{prefix}output.{name.removeprefix(f'{prefix}pairing.')}"] = state.pop(name)
