"""Predators and prey: T10 of Lueckmann et al. (2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._problem import configure, draw, simulate

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": False, "parameter_names": [r"$\alpha$", r"$\beta$", r"$\gamma$", r"$\delta$"], "configurator_info": "posterior"}


def prior(rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (4,): alpha, gamma ~ LogNormal(-0.125, 0.5), beta, delta ~ LogNormal(-3, 0.5)."""
    return draw("lotka_volterra", rng)


def simulator(theta: ArrayLike, X0: float = 30, Y0: float = 1, T: int = 20, subsample: int | None = 10, flatten: bool = True, obs_noise: float = 0.1,
              rng: np.random.Generator | None = None) -> np.ndarray:  # fmt: skip
    """LogNormal(log X, obs_noise) and LogNormal(log Y, obs_noise) of X' = alpha X - beta X Y, Y' = -gamma Y + delta X Y at `subsample` evenly
    spaced times of 0, 0.1, ..., T (0, 2.1, ..., 18.9), or at all with None: all of X, then all of Y, (2 * subsample,). With flatten=False
    (subsample, 2). theta: (4,), or (B, 4) for B data sets."""
    return simulate("lotka_volterra", theta, rng, X0=X0, Y0=Y0, T=T, subsample=subsample, flatten=flatten, obs_noise=obs_noise)


def configurator(forward_dict: Simulations, mode: str = "posterior", scale_data: float = 1000, as_summary_condition: bool = False) -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data / `scale_data` as direct conditions, or with `as_summary_condition` as
    summary conditions (times, 2). "likelihood": observables are the data, conditions the parameters. "joint": both, as "posterior_inputs" and
    "likelihood_inputs"."""
    return configure("lotka_volterra", forward_dict, mode, scale_data, as_summary_condition)
