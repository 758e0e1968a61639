"""What a model reads of a batch besides its token ids."""

from torch import Tensor, cat

from arena.core.errors import UsageError
from arena.core.types import TextBatch


def length_features(batch: TextBatch, sequences: int, number: int) -> Tensor:
    """Logarithms of the lengths of the answers that each sequence shows, `[V * N, number]`, about 0 for 128 tokens.

    Args:
        batch: with `answer_tokens`.
        sequences: V * N.
        number: 1 where a sequence shows one answer (the first half A, the second B), 2 where it shows both in order.

    Raises:
        UsageError: the batch does not say how long the answers are.
    """
    if batch.answer_tokens is None:
        raise UsageError("model.length_features=true: the data do not say how long the answers are")
    logarithms = ((batch.answer_tokens + 1).float() / 128).log()
    if number == 1:
        return cat([logarithms[:, :1], logarithms[:, 1:]])
    return logarithms if sequences == len(batch) else cat([logarithms, logarithms.flip(1)])


def token_types(input_ids: Tensor, separator: int | None) -> Tensor | None:
    """1 for what follows the second separator of a row, else 0, `[N, L]`; None without a separator."""
    if separator is None:
        return None
    is_separator = (input_ids == separator).long()
    return (is_separator.cumsum(1) - is_separator >= 2).long()
