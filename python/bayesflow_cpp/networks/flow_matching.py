"""Continuous flows that are learnt without solving them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import as_choice, as_count, as_flag, as_float64, as_number, output
from ..exceptions import ConfigurationError
from ._base import require_inference
from ._settings import _few
from .densities import DensityNetwork

if TYPE_CHECKING:
    from .._types import ArrayLike, Settings

__all__ = ["FlowMatchingNetwork"]

_DENSE = {"units": 256, "activation": "swish"}


class FlowMatchingNetwork(DensityNetwork):
    """A velocity that carries standard normal numbers to parameters, learnt from straight lines between the two (Liu et al. 2023, Lipman et al. 2023).
    Of an `AmortizedPosterior` or `AmortizedLikelihood`. Targets should be of unit scale.

    Parameters
    ----------
    num_params : int
        Width of the targets.
    dense_args : dict, optional
        units, activation, ... of the hidden layers. None: 256 units, swish.
    num_dense : int
        Hidden layers.
    residual : bool
        Hidden layers but the first add to their input.
    dropout_prob : float
        After each hidden layer, in training.
    time_frequencies : int
        Sines and cosines of the time beside it as inputs.
    time_power : float
        Times of training have a density proportional to t^time_power.
    loss : "squared" or "log_cosh"
    solver : "rk4", "euler" or "dopri5"
        For draws and densities: steps of equal length, or as long as `tolerance` allows (Dormand and Prince).
    steps : int
        Of "rk4" and "euler".
    tolerance : float
        Of a step of "dopri5", absolute and relative.
    coupling : "independent" or "optimal_transport"
        Whether normal numbers are exchanged among up to 32 targets so that lines are short.
    condition_weight : float
        Of optimal transport: what a distance between conditions costs. Exchanges between unlike conditions bias the posterior.
    trace_probes : int
        0: exact traces in densities; else Hutchinson's estimate by this many random vectors.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, num_params: int, dense_args: Settings | None = None, num_dense: int = 4, *, residual: bool = True, dropout_prob: float = 0.0,
                 time_frequencies: int = 8, time_power: float = 0.0, loss: str = "squared", solver: str = "rk4", steps: int = 25, tolerance: float = 1e-4,
                 coupling: str = "independent", condition_weight: float = 100.0, trace_probes: int = 0, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        owner = type(self).__name__
        _few(owner, num_dense=num_dense)
        as_choice(loss, f"{owner}: loss", ("squared", "log_cosh"))
        as_choice(solver, f"{owner}: solver", ("rk4", "euler", "dopri5"))
        as_choice(coupling, f"{owner}: coupling", ("independent", "optimal_transport"))
        super().__init__(
            name, seed, as_count(num_params, f"{owner}: num_params"), dense_args, _DENSE, num_dense=num_dense, residual=as_flag(residual, f"{owner}: residual"), dropout_prob=as_number(dropout_prob, f"{owner}: dropout_prob"),
            time_frequencies=as_count(time_frequencies, f"{owner}: time_frequencies", 0), time_power=as_number(time_power, f"{owner}: time_power"), loss=loss,
            solver=solver, steps=as_count(steps, f"{owner}: steps"), tolerance=as_number(tolerance, f"{owner}: tolerance"), coupling=coupling,
            condition_weight=as_number(condition_weight, f"{owner}: condition_weight"), trace_probes=as_count(trace_probes, f"{owner}: trace_probes", 0),
        )  # fmt: skip

    def _made(self, loss_fun=None, **changed):
        return _core.inference_network("FlowMatchingNetwork", {**self._settings, **changed}, loss_fun)

    def _in_words(self):
        return f"{self._layers()}, {self._solver()}"

    def velocity(self, x: ArrayLike, time: ArrayLike, condition: ArrayLike | None = None, *, training: bool = False) -> np.ndarray:
        """v(x, t; condition): x (B, num_params), time (B, 1), condition (B, C) or None."""
        owner = type(self).__name__
        require_inference(owner, training)
        x, time = as_float64(x, f"{owner}: x", ndim=(2,)), as_float64(time, f"{owner}: time", ndim=(2,))
        condition = None if condition is None else as_float64(condition, f"{owner}: condition", ndim=(2,))
        if x is None or time is None:
            raise ConfigurationError(f"{owner}: x and time must be arrays (B, {self.num_params}) and (B, 1)")
        if self._owner() is not None:
            return output(self._owner().run_velocity(x, time, condition))
        if self._alone is None:
            self._alone = _core.StandaloneOutputs(self._options, 0 if condition is None else condition.shape[-1], self._seed())
        return output(self._alone.run_velocity(x, time, condition))
