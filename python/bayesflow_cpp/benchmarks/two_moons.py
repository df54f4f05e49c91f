"""Two moons, a posterior of two crescents: T8 of Lueckmann et al. (2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._problem import configure, draw, names, simulate

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": False, "parameter_names": names(r"\theta", 2), "configurator_info": "posterior"}


def prior(lower_bound: float = -1.0, upper_bound: float = 1.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (2,), uniform between the bounds."""
    return draw("two_moons", rng, lower_bound=lower_bound, upper_bound=upper_bound)


def simulator(theta: ArrayLike, rng: np.random.Generator | None = None) -> np.ndarray:
    """(r cos a + 1/4 - |t1 + t2| / sqrt 2, r sin a + (t2 - t1) / sqrt 2), a ~ U(-pi/2, pi/2), r ~ N(0.1, 0.01^2). theta: (2,), or (B, 2)."""
    return simulate("two_moons", theta, rng)


def configurator(forward_dict: Simulations, mode: str = "posterior") -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data as direct conditions. "likelihood": observables are the data,
    conditions the parameters. "joint": both, as "posterior_inputs" and "likelihood_inputs"."""
    return configure("two_moons", forward_dict, mode)
