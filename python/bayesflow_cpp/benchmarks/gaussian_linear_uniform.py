"""The mean of a normal distribution under a uniform prior: T2 of Lueckmann et al. (2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._problem import configure, draw, simulate

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": True, "parameter_names": None, "configurator_info": "posterior"}


def prior(D: int = 10, lower_bound: float = -1.0, upper_bound: float = 1.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (D,), uniform between the bounds."""
    return draw("gaussian_linear_uniform", rng, D=D, lower_bound=lower_bound, upper_bound=upper_bound)


def simulator(theta: ArrayLike, n_obs: int | None = None, scale: float = 0.1**0.5, rng: np.random.Generator | None = None) -> np.ndarray:
    """x ~ N(theta, scale^2 I): (B, D) for theta (B, D), or (B, n_obs, D). `scale` is a standard deviation; sbibm's variance is 0.1."""
    return simulate("gaussian_linear_uniform", theta, rng, True, n_obs=n_obs, scale=scale)


def configurator(forward_dict: Simulations, mode: str = "posterior") -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data as direct conditions; of `n_obs` rows as summary conditions.
    "likelihood": observables are the data, conditions the parameters. "joint": both, as "posterior_inputs" and "likelihood_inputs"."""
    return configure("gaussian_linear_uniform", forward_dict, mode)
