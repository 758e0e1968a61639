"""Scaling of a classifier's logits, so that its probabilities mean what they say.

Everything here works on the logarithms of probabilities, `[N, K]`: a softmax forgets what was added to all logits of a
row, so temperature and bias scaling give the same result on these as on the model's own logits. Vector scaling does
not: on logarithms it is Dirichlet calibration with a diagonal matrix (Kull et al. 2019).

Sources: Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks" (temperature, vector); Kull et
al. 2019, "Beyond temperature scaling: Obtaining well-calibrated multi-class probabilities with Dirichlet calibration".
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from arena.evaluation.calibration.store import HeadCalibration

Array = NDArray[np.float64]
METHODS = ("temperature", "vector", "bias")
LOGARITHMS = (-3.0, 3.0)
"""Where the logarithm of the temperature is looked for."""
RIDGE = 0.1
"""Pulls vector and bias scaling towards leaving things as they are: a normal prior of standard deviation 3.2."""


def log_loss(z: Array, target: NDArray[np.int64]) -> float:
    """Compute the mean log loss of softmax(z) in nats, from logits `[N, K]` and class indices `[N]`."""
    return float(-log_softmax(z, axis=1)[np.arange(len(target)), target].mean())


def fit(method: str, z: Array, target: NDArray[np.int64]) -> HeadCalibration:
    """Fit the scaling of least log loss by one of `METHODS`, to logits `[N, K]` and class indices `[N]`."""
    if method == "temperature":
        temperature = fit_temperature(z, target)
        return HeadCalibration(method, [1 / temperature] * z.shape[1], [0.0] * z.shape[1])
    weight, bias = fit_affine(z, target, scale=method == "vector")
    return HeadCalibration(method, weight.tolist(), bias.tolist())


def fit_temperature(z: Array, target: NDArray[np.int64]) -> float:
    """Find the T of least log loss of softmax(z / T), with ln T in `LOGARITHMS`.

    The log loss is convex in 1 / T, so it has one minimum over ln T and a bounded search finds it. Above 1 the model
    was too sure of itself; below 1 not sure enough, as models are by construction after focal loss or label smoothing.
    """
    found = minimize_scalar(
        lambda logarithm: log_loss(z / np.exp(logarithm), target),
        bounds=LOGARITHMS,
        method="bounded",
        options={"xatol": 1e-7},
    )
    return float(np.exp(found.x))  # pyright: ignore[reportAttributeAccessIssue]


def fit_affine(z: Array, target: NDArray[np.int64], scale: bool, ridge: float = RIDGE) -> tuple[Array, Array]:
    r"""Find $w$ and $b$ of least $\sum_n -\log\mathrm{softmax}(w \odot z_n + b)_{t_n} + \frac{\lambda}{2}
    (\lVert w - 1 \rVert^2 + \lVert b \rVert^2)$, a convex problem; $b$ has mean 0.

    The ridge is against the sum over the rows, not the mean: the more rows, the less it says; with 0 a class without
    rows gets a bias without end. Without `scale` $w$ is 1.
    """
    rows, classes = z.shape
    wanted = np.eye(classes)[target]

    def objective(both: Array) -> tuple[float, Array]:
        weight, bias = both[:classes], both[classes:]
        logarithms = log_softmax(z * weight + bias, axis=1)
        rest = (np.exp(logarithms) - wanted) / rows
        value = -(logarithms * wanted).sum() / rows + ridge / (2 * rows) * (((weight - 1) ** 2).sum() + bias @ bias)
        gradient = np.concatenate([(rest * z).sum(axis=0), rest.sum(axis=0)]) + ridge / rows * (both - start)
        if not scale:
            gradient[:classes] = 0
        return value, gradient

    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-15})
    weight, bias = found.x[:classes], found.x[classes:]
    return weight, bias - bias.mean()
