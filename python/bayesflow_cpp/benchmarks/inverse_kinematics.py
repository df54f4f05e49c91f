"""Where the arm of a robot ends: Kruse, Ardizzone, Rother, Köthe (2021), Benchmarking invertible architectures on inverse problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._problem import configure, draw, simulate

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": False, "parameter_names": None, "configurator_info": "posterior"}


def prior(scales: Sequence[float] | None = None, rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (4,), a height and three angles, from N(0, scales^2); None: (0.25, 0.5, 0.5, 0.5)."""
    return draw("inverse_kinematics", rng, scales=scales)


def simulator(theta: ArrayLike, l1: float = 0.5, l2: float = 0.5, l3: float = 1.0, *, noise: float = 0.0,
              rng: np.random.Generator | None = None) -> np.ndarray:  # fmt: skip
    """x1 = t1 + l1 sin t2 + l2 sin(t2 + t3) + l3 sin(t2 + t3 + t4), x2 likewise with cos and without t1, plus N(0, noise^2). Without noise x is a
    function of theta, and posteriors have no density. theta: (4,), or (B, 4) for B data sets."""
    return simulate("inverse_kinematics", theta, rng, l1=l1, l2=l2, l3=l3, noise=noise)


def configurator(forward_dict: Simulations, mode: str = "posterior") -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data as direct conditions. "likelihood": observables are the data,
    conditions the parameters. "joint": both, as "posterior_inputs" and "likelihood_inputs"."""
    return configure("inverse_kinematics", forward_dict, mode)
