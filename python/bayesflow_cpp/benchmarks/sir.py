"""An epidemic, susceptible, infected, recovered: T9 of Lueckmann et al. (2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._problem import configure, draw, simulate

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": False, "parameter_names": [r"$\beta$", r"$\gamma$"], "configurator_info": "posterior"}


def prior(rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (2,): contact rate ~ LogNormal(log 0.4, 0.5), recovery rate ~ LogNormal(log 1/8, 0.2), per day."""
    return draw("sir", rng)


def simulator(theta: ArrayLike, N: float = 1e6, T: int = 160, I0: float = 1.0, R0: float = 0.0, subsample: int | None = 10, total_count: int = 1000,
              scale_by_total: bool = False, rng: np.random.Generator | None = None) -> np.ndarray:  # fmt: skip
    """Counts ~ Binomial(total_count, I / N) of S' = -beta S I / N, I' = beta S I / N - gamma I, on `subsample` evenly spaced days of 0, ..., T (0, 17,
    ..., 153), or on all with None. `scale_by_total` divides by `total_count`. theta: (2,), or (B, 2) for B data sets."""
    return simulate("sir", theta, rng, N=N, T=T, I0=I0, R0=R0, subsample=subsample, total_count=total_count, scale_by_total=scale_by_total)


def configurator(forward_dict: Simulations, mode: str = "posterior", as_summary_condition: bool = False, *, scale_data: float = 1000.0) -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data / `scale_data` as direct conditions, or with `as_summary_condition` as
    summary conditions (days, 1). "likelihood": observables are the data, conditions the parameters. "joint": both, as "posterior_inputs" and
    "likelihood_inputs"."""
    return configure("sir", forward_dict, mode, scale_data, as_summary_condition)
