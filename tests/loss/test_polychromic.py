"""The diversity term against what can be enumerated: its gradient is that of the expected score, or exactly nothing."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.types import UNLABELLED, ReplyBatch, TokenLogits
from arena.diversity.encoder import HashEncoder
from arena.diversity.scores import CosineDistance, Distinct, SelfBleu, SetScore, credits_of
from arena.loss.polychromic import Polychromic, surrogate

WORDS = ["a b c", "a b d", "e f g", "a b c d", "h i"]
"""What the five actions of the policy say."""
SILENT = ["a b c", "a b d", "e f g", "", "h i"]
"""Of another policy, which says nothing at all in 19 of 100 cases."""
THETA = [0.3, -0.2, 0.5, 0.0, -0.7]


def policy() -> Tensor:
    return torch.tensor(THETA, dtype=torch.float64, requires_grad=True)


def every_set(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(len(WORDS)), repeat=n))


def exact_gradient(score: SetScore, n: int, says: list[str] = WORDS) -> Tensor:
    """Of E[D(S)] over all sets of n independent draws."""
    theta = policy()
    log_p = torch.log_softmax(theta, 0)
    values = credits_of(score, [[says[i] for i in s] for s in every_set(n)]).value
    expected = sum(log_p[list(s)].sum().exp() * value for s, value in zip(every_set(n), values, strict=True))
    return torch.autograd.grad(expected, theta)[0]  # pyright: ignore


def estimated(score: SetScore, sets: list[tuple[int, ...]], says: list[str] = WORDS) -> Tensor:
    """Gradient of the surrogate for each set alone, `[S, 5]`."""
    found = credits_of(score, [[says[i] for i in s] for s in sets])
    rows = []
    for members, value, credit in zip(sets, found.value, found.credit, strict=True):
        theta = policy()
        log_p = torch.log_softmax(theta, 0)[list(members)][None]
        estimate = surrogate(torch.tensor([value]), torch.from_numpy(credit)[None], log_p)
        rows.append(torch.autograd.grad(estimate, theta)[0])
    return torch.stack(rows)


@pytest.mark.parametrize("n", [3, 4])
@pytest.mark.parametrize("says", [WORDS, SILENT], ids=["words", "silent"])
@pytest.mark.parametrize(
    "score", [Distinct(2), SelfBleu(2), CosineDistance(HashEncoder(16))], ids=lambda s: type(s).__name__
)
def test_the_mean_over_all_sets_is_the_exact_gradient(score: SetScore, says: list[str], n: int) -> None:
    """Enumerated, so without noise: the estimator has no bias at all."""
    sets = every_set(n)
    probability = torch.softmax(policy(), 0).detach()
    weights = torch.stack([probability[list(s)].prod() for s in sets])
    mean = (weights[:, None] * estimated(score, sets, says)).sum(0)
    exact = exact_gradient(score, n, says)
    assert exact.norm() > 1e-3
    torch.testing.assert_close(mean, exact, rtol=1e-6, atol=1e-8)


def test_sets_without_a_score_left_out_would_reward_silence() -> None:
    """Why they count 0: with self-BLEU of three replies, silence loses 0.024 of its logit and would gain 0.065."""
    score, sets = SelfBleu(2), every_set(3)
    probability = torch.softmax(policy(), 0).detach()
    weights = torch.stack([probability[list(s)].prod() for s in sets])
    found = credits_of(score, [[SILENT[i] for i in s] for s in sets])
    each = weights[:, None] * estimated(score, sets, SILENT)
    silence = SILENT.index("")
    assert float(each.sum(0)[silence]) == pytest.approx(-0.0243, abs=1e-4)
    assert float(each[~torch.from_numpy(found.undefined)].sum(0)[silence]) == pytest.approx(0.0650, abs=1e-4)


def test_the_mean_over_samples_comes_near() -> None:
    """As in training: the mean over 50,000 sampled sets has a cosine above 0.99 and misses by noise only."""
    score, n, draws = SelfBleu(2), 3, 50_000
    generator = torch.Generator().manual_seed(0)
    probability = torch.softmax(policy(), 0).detach()
    chosen = torch.multinomial(probability, n * draws, replacement=True, generator=generator).view(draws, n)
    members, which = chosen.unique(dim=0, return_inverse=True)
    each = estimated(score, [tuple(row) for row in members.tolist()])[which]
    mean, error = each.mean(0), each.std(0) / draws**0.5
    exact = exact_gradient(score, n)
    assert torch.nn.functional.cosine_similarity(mean, exact, dim=0) > 0.99
    assert ((mean - exact).abs() < 4 * error).all()


def test_centring_by_the_group_would_shrink_it() -> None:
    """Why the credit is D(S) - D(S without i): with n = 3 the mean of a group takes two thirds of the gradient away."""
    score, n = CosineDistance(HashEncoder(16)), 3
    sets = every_set(n)
    probability = torch.softmax(policy(), 0).detach()
    exact, total = exact_gradient(score, n), torch.zeros(5, dtype=torch.float64)
    for members in sets:
        texts = [WORDS[i] for i in members]
        whole, without = score.many([texts])[0]
        # (2 / n) (a_i - D without i) is the credit; a_i is the mean distance to the others.
        reach = n / 2 * (whole - without) + without
        theta = policy()
        log_p = torch.log_softmax(theta, 0)[list(members)]
        centred = torch.from_numpy(2 / n * (reach - reach.mean()))
        total += probability[list(members)].prod() * torch.autograd.grad((centred * log_p).sum(), theta)[0]
    torch.testing.assert_close(total, exact / 3, rtol=1e-6, atol=1e-8)


def test_the_logged_value_keeps_the_formula_and_k_scales_the_gradient_only() -> None:
    value, credit = torch.tensor([0.25, 0.75]), torch.tensor([[0.1, -0.2], [0.3, 0.0]])
    gradients = []
    for times in (1.0, 5.0):
        log_p = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]], requires_grad=True)
        found = surrogate(value, credit, log_p, times)
        assert float(found.detach()) == pytest.approx(0.5)
        gradients.append(torch.autograd.grad(found, log_p)[0])
    torch.testing.assert_close(gradients[0], credit / 2)
    torch.testing.assert_close(gradients[1], 5 * gradients[0])


def test_a_set_that_cannot_be_scored_is_left_out() -> None:
    value, credit = torch.tensor([0.25, torch.nan]), torch.tensor([[0.1, -0.2], [torch.nan, 0.0]])
    log_p = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]], requires_grad=True)
    found = surrogate(value, credit, log_p)
    assert float(found.detach()) == pytest.approx(0.25)
    gradient = torch.autograd.grad(found, log_p)[0]
    torch.testing.assert_close(gradient, torch.tensor([[0.1, -0.2], [0.0, 0.0]]))
    assert float(surrogate(torch.tensor([torch.nan]), credit[1:], log_p[1:]).detach()) == 0


# --- without samples --------------------------------------------------------------------------------------------------


def tokens_of(logits: Tensor, target: Tensor) -> tuple[TokenLogits, ReplyBatch]:
    """Logits as they are, as if a head had just made them."""
    m = len(target)
    line = torch.arange(m)[None]
    batch = ReplyBatch(
        input_ids=target[None], attention_mask=torch.ones_like(line), position_ids=line,
        segment=torch.zeros_like(line), target=torch.full_like(line, UNLABELLED), weight=torch.ones(1),
        row=torch.zeros(1, dtype=torch.int64), supervised=m,
    )  # fmt: skip
    made = TokenLogits(logits, target, torch.zeros(m, dtype=torch.int64), lambda states: states, logits.shape[1])
    return made, batch


def gradient_of(loss: Polychromic, logits: Tensor, target: Tensor) -> Tensor:
    states = logits.clone().requires_grad_()
    output = loss(*tokens_of(states, target))
    return torch.autograd.grad(output.loss, states)[0]


@pytest.fixture
def example() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(7, 11, generator=generator), torch.randint(0, 11, (7,), generator=generator)


def test_gem_is_its_published_form(example: tuple[Tensor, Tensor]) -> None:
    """-sum_y q_y (log p_target - log p_y) with q = softmax(z / beta) fixed; its gradient is (q - onehot) / tokens."""
    logits, target = example
    loss = Polychromic(lambda_=1.0, estimator="gem", beta=0.7)
    log_p, q = torch.log_softmax(logits, 1), torch.softmax(logits / 0.7, 1)
    published = -(q * (log_p.gather(1, target[:, None]) - log_p)).sum(1).mean()
    assert float(loss(*tokens_of(logits, target)).loss) == pytest.approx(float(published), abs=1e-6)
    expected = (q - torch.nn.functional.one_hot(target, 11)) / 7
    torch.testing.assert_close(gradient_of(loss, logits, target), expected, rtol=1e-5, atol=1e-7)


def test_cross_entropy_at_a_temperature_has_the_gradient_of_gem(example: tuple[Tensor, Tensor]) -> None:
    logits, target = example
    arms = [
        gradient_of(Polychromic(lambda_=1.0, estimator=name, beta=0.7), logits, target)
        for name in ("gem", "ce_temperature")
    ]
    torch.testing.assert_close(arms[0], arms[1], rtol=1e-5, atol=1e-7)


def test_the_entropy_bonus_has_its_known_gradient(example: tuple[Tensor, Tensor]) -> None:
    """dH/dz_k = -p_k (log p_k + H)."""
    logits, target = example
    log_p = torch.log_softmax(logits, 1)
    p, entropy = log_p.exp(), -(log_p.exp() * log_p).sum(1, keepdim=True)
    plain = gradient_of(Polychromic(lambda_=0.0, estimator="entropy"), logits, target)
    found = gradient_of(Polychromic(lambda_=0.4, estimator="entropy"), logits, target)
    torch.testing.assert_close(found - plain, 0.4 * p * (log_p + entropy) / 7, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["entropy", "gem", "ce_temperature"])
def test_the_loss_is_quality_minus_lambda_diversity(name, example: tuple[Tensor, Tensor]) -> None:
    logits, target = example
    quality, diversity = Polychromic(lambda_=0.3, estimator=name).both(*tokens_of(logits, target))
    assert float(quality.loss) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, target)), abs=1e-6)
    combined = Polychromic(lambda_=0.3, estimator=name)(*tokens_of(logits, target)).loss
    assert float(combined) == pytest.approx(float(quality.loss - 0.3 * diversity), abs=1e-6)
    assert float(diversity) != 0


def test_too_few_replies_are_refused() -> None:
    with pytest.raises(UsageError, match="n_generations=2: at least 3"):
        Polychromic(lambda_=1.0, score=SelfBleu(2), n_generations=2)
    with pytest.raises(UsageError, match=r"loss\.score: a value is needed"):
        Polychromic(lambda_=1.0)
    assert Polychromic(lambda_=1.0, estimator="entropy", n_generations=1).trains
    assert not Polychromic(lambda_=1.0, estimator="detached", score=Distinct(2)).trains
    assert np.isfinite(Distinct(1)(["a b", "c"]))
