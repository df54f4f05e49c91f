"""Simple likelihood, complex posterior, among distractors: T4 of Lueckmann et al. (2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arrays import as_count, as_number
from ..exceptions import ConfigurationError
from ._problem import configure, draw, generator, names, simulate

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Simulations

bayesflow_benchmark_info: dict[str, Any] = {"simulator_is_batched": False, "parameter_names": names(r"\theta", 5), "configurator_info": "posterior"}


class _StudentT:
    """Student-t distribution of 2 degrees of freedom, with `rvs` as SciPy has it."""

    def __init__(self, mean, shape_scale, rng):
        self.mean, self.shape_scale, self._rng = mean, shape_scale, rng

    def rvs(self, size=1):
        z = self._rng.normal(size=(size, len(self.mean))) * np.sqrt(self.shape_scale)
        out = self.mean + z * np.sqrt(2 / self._rng.chisquare(2, size=(size, 1)))
        return out[0] if size == 1 else out


def get_random_student_t(dim: int = 2, mu_scale: float = 15, shape_scale: float = 0.01, rng: np.random.Generator | None = None) -> Any:
    """v1's helper: a Student-t distribution of 2 degrees of freedom with a random mean, mu_scale * N(0, I), and the scale matrix shape_scale * I;
    draws by `.rvs(size)`. The simulator has no use for it: sbibm's mixture is one and the same for all simulations."""
    rng, shape_scale = generator(rng), as_number(shape_scale, "shape_scale")
    if not 0 <= shape_scale < np.inf:
        raise ConfigurationError(f"shape_scale must be a number of at least 0; got {shape_scale}")
    return _StudentT(as_number(mu_scale, "mu_scale") * rng.normal(size=as_count(dim, "dim")), shape_scale, rng)


def draw_mixture_student_t(num_students: int, n_draws: int = 46, dim: int = 2, mu_scale: float = 15.0,
                           rng: np.random.Generator | None = None) -> np.ndarray:  # fmt: skip
    """v1's helper: (n_draws, dim) draws from an equal mixture of `num_students` distributions of `get_random_student_t`."""
    rng = generator(rng)
    students = [get_random_student_t(dim, mu_scale, rng=rng) for _ in range(as_count(num_students, "num_students"))]
    return np.array([students[rng.integers(num_students)].rvs() for _ in range(as_count(n_draws, "n_draws"))])


def prior(lower_bound: float = -3.0, upper_bound: float = 3.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """One draw (5,), uniform between the bounds."""
    return draw("slcp_distractors", rng, lower_bound=lower_bound, upper_bound=upper_bound)


def simulator(theta: ArrayLike, n_obs: int = 4, n_dist: int = 46, dim: int = 2, mu_scale: float = 15.0, flatten: bool = True,
              rng: np.random.Generator | None = None) -> np.ndarray:  # fmt: skip
    """The points of `slcp` and n_dist * dim numbers of one fixed mixture of 20 Student-t distributions, whose means have the scale `mu_scale`, in one
    fixed order of all columns: (2 * n_obs + n_dist * dim,). With flatten=False (n_obs + n_dist, 2), the informative points first."""
    return simulate("slcp_distractors", theta, rng, n_obs=n_obs, n_dist=n_dist, dim=dim, mu_scale=mu_scale, flatten=flatten)


def configurator(forward_dict: Simulations, mode: str = "posterior", scale_data: float = 50.0, as_summary_condition: bool = False) -> dict[str, Any]:
    """What networks are given, in float32. "posterior": parameters, and the data / `scale_data` as direct conditions, or with `as_summary_condition` as
    summary conditions (data of flatten=False). "likelihood": observables are the data, conditions the parameters. "joint": both, as
    "posterior_inputs" and "likelihood_inputs"."""
    return configure("slcp_distractors", forward_dict, mode, scale_data, as_summary_condition)
