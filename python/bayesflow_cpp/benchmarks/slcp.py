"""Simple likelihood, complex posterior: T3 of Lueckmann et al. (2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._problem import configure, draw, names, simulate

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": False, "parameter_names": names(r"\theta", 5), "configurator_info": "posterior"}


def prior(lower_bound: float = -3.0, upper_bound: float = 3.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (5,), uniform between the bounds."""
    return draw("slcp", rng, lower_bound=lower_bound, upper_bound=upper_bound)


def simulator(theta: ArrayLike, n_obs: int = 4, flatten: bool = True, rng: np.random.Generator | None = None) -> np.ndarray:
    """`n_obs` points of N((t1, t2), S), s1 = t3^2, s2 = t4^2, S = [[s1^2 + 1e-6, tanh(t5) s1 s2], [., s2^2 + 1e-6]]: (2 * n_obs,), or (n_obs, 2)
    with flatten=False. theta: (5,), or (B, 5) for B data sets."""
    return simulate("slcp", theta, rng, n_obs=n_obs, flatten=flatten)


def configurator(forward_dict: Simulations, mode: str = "posterior", scale_data: float = 30.0, as_summary_condition: bool = False) -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data / `scale_data` as direct conditions, or with `as_summary_condition` as
    summary conditions (n_obs, 2). "likelihood": observables are the data, conditions the parameters. "joint": both, as "posterior_inputs" and
    "likelihood_inputs"."""
    return configure("slcp", forward_dict, mode, scale_data, as_summary_condition)
