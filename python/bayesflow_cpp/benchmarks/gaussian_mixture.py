"""The common mean of two normal distributions of different widths: T7 of Lueckmann et al. (2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._problem import configure, draw, names, simulate

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": False, "parameter_names": names(r"\mu", 2), "configurator_info": "posterior"}


def prior(lower_bound: float = -10.0, upper_bound: float = 10.0, D: int = 2, rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (D,), uniform between the bounds."""
    return draw("gaussian_mixture", rng, lower_bound=lower_bound, upper_bound=upper_bound, D=D)


def simulator(theta: ArrayLike, prob: float = 0.5, scale_c1: float = 1.0, scale_c2: float = 0.1, rng: np.random.Generator | None = None) -> np.ndarray:
    """x ~ N(theta, s^2 I) with s = scale_c2 with probability `prob`, else scale_c1. theta: (D,), or (B, D) for B data sets."""
    return simulate("gaussian_mixture", theta, rng, True, prob=prob, scale_c1=scale_c1, scale_c2=scale_c2)


def configurator(forward_dict: Simulations, mode: str = "posterior", scale_data: float = 12) -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data / `scale_data` as direct conditions. "likelihood": observables are the
    data, conditions the parameters. "joint": both, as "posterior_inputs" and "likelihood_inputs"."""
    return configure("gaussian_mixture", forward_dict, mode, scale_data)
