"""Spikes that follow a stimulus, by all outcomes: T6 of Lueckmann et al. (2021)."""

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
    return draw("bernoulli_glm_raw", rng)


def simulator(theta: ArrayLike, T: int = 100, rng: np.random.Generator | None = None) -> np.ndarray:
    """Outcomes (T,), z_t ~ Bernoulli(sigmoid(V_t theta)), of the same design as `bernoulli_glm`."""
    return simulate("bernoulli_glm_raw", theta, rng, T=T)


def configurator(forward_dict: Simulations, mode: str = "posterior", as_summary_condition: bool = False) -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data as direct conditions, or with `as_summary_condition` as summary
    conditions (T, 10): each outcome beside its row of the design. "likelihood": observables (T, 2) are outcomes beside a standard normal number,
    because flows need two dimensions; conditions (T, 19) the design beside the parameters. "joint": both, as "posterior_inputs" and
    "likelihood_inputs"."""
    return configure("bernoulli_glm_raw", forward_dict, mode, as_summary_condition=as_summary_condition)
