"""Spikes that follow a stimulus, by sufficient statistics: T5 of Lueckmann et al. (2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._problem import configure, draw, names, simulate

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": False, "parameter_names": [r"$\beta$", *names("f", 9)], "configurator_info": "posterior"}


def prior(rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (10,): an offset of variance 2, and a filter of nine weights that is smooth: its second differences are penalized."""
    return draw("bernoulli_glm", rng)


def simulator(theta: ArrayLike, T: int = 100, scale_by_T: bool = False, rng: np.random.Generator | None = None) -> np.ndarray:
    """V^T z (10,) of outcomes z_t ~ Bernoulli(sigmoid(V_t theta)), t = 1, ..., T; V (T, 10) is sbibm's fixed design: ones, and the stimulus of the
    last nine steps. `scale_by_T` divides by T."""
    return simulate("bernoulli_glm", theta, rng, T=T, scale_by_T=scale_by_T)


def configurator(forward_dict: Simulations, mode: str = "posterior", *, scale_data: float = 100.0) -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data / `scale_data` as direct conditions. "likelihood": observables are the
    data, conditions the parameters. "joint": both, as "posterior_inputs" and "likelihood_inputs"."""
    return configure("bernoulli_glm", forward_dict, mode, scale_data)
