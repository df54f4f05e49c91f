"""Inference networks with draws and densities, beside v1's coupling flows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_numbers
from ..exceptions import ConfigurationError
from ._flow import _Flow
from ._settings import _dense
from .heads import _Head
from .invertible import InvertibleNetwork

if TYPE_CHECKING:
    from .._types import Settings, Size

__all__ = ["AutoregressiveFlow", "DiffusionNetwork", "MixtureDensityNetwork", "ShortcutNetwork"]


def require_density(owner, argument, net):
    """Networks that amortizers of densities take."""
    if not isinstance(net, (InvertibleNetwork, DensityNetwork)):
        names = [*__all__, "FlowMatchingNetwork"]
        raise ConfigurationError(f"{owner}: {argument} must be an InvertibleNetwork, {', '.join(names[:-1])} or {names[-1]}; got {type(net).__name__}")


def require_latents(owner, argument, net, latent_dist):
    """Only flows have latents whose distribution can be chosen."""
    if latent_dist is not None and not isinstance(net, _Flow):
        raise ConfigurationError(f"{owner}: latent_dist is that of a normalizing flow; {argument} is a {type(net).__name__}, which is none")


class DensityNetwork(_Head):
    """The engine's options are the constructor's arguments, but for the dense layers'."""

    def __init__(self, name, seed, num_params, dense_args, usual, **settings):
        super().__init__(seed, name, num_params, num_params=num_params, dense=_dense(usual if dense_args is None else dense_args, f"{type(self).__name__}: dense_args"), **settings)
        self.num_params = num_params

    def _layers(self):
        s = self._settings
        return f"{s['num_dense']} x {s['dense']['units']} {s['dense']['activation']}"

    def _solver(self):
        s = self._settings
        return f"dopri5 to {s['tolerance']:g}" if s["solver"] == "dopri5" else f"{s['steps']} {s['solver']} steps"

    def __repr__(self):
        return f"<{type(self).__name__}({self.num_params}), {self._in_words()}; {self._weights()}>"


class AutoregressiveFlow(DensityNetwork, _Flow):
    """A masked autoregressive flow (Papamakarios et al. 2017): in each layer a column is transformed given the columns before it and the condition. Of an
    `AmortizedPosterior` or `AmortizedLikelihood`. A density takes one pass, a draw one for each column. Good at posteriors of a few to some dozens of
    parameters.

    Parameters
    ----------
    num_params : int
        Width of the targets.
    num_layers : int
    design : "spline", "affine" or "interleaved"
        Transform of a column: a scale and a shift, with or without a rational-quadratic spline after them.
    dense_args : dict, optional
        units, activation, ... of the hidden layers. None: 64 units, relu, He initialization.
    num_dense : int
        Hidden layers.
    num_condition_dense : int
        Hidden layers of the condition alone, which all columns see beside the condition.
    residual : bool
        Hidden layers but the first add to their input.
    linear_path : bool
        Columns before, and the condition, also act linearly.
    dropout_prob : float
        After each hidden layer, in training.
    order : "reversed" or "shuffled"
        Order of the columns from layer to layer.
    soft_clamping : float
        Log-scales stay within +- this; 0: none.
    bins : int
        Of splines.
    default_domain : four floats
        left, right, bottom, top of splines.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    _kind = "AutoregressiveFlow"

    def __init__(self, num_params: int, num_layers: int = 5, design: str = "spline", dense_args: Settings | None = None, num_dense: int = 2, *,
                 num_condition_dense: int = 1, residual: bool = True, linear_path: bool = True, dropout_prob: float = 0.0, order: str = "reversed",
                 soft_clamping: float = 1.9, bins: int = 8, default_domain: Size = (-5.0, 5.0, -5.0, 5.0), name: str | None = None,
                 seed: int | None = None) -> None:  # fmt: skip
        left, right, bottom, top = as_numbers(default_domain, "AutoregressiveFlow: default_domain", 4)
        if not (left < right and bottom < top):
            raise ConfigurationError(f"AutoregressiveFlow: default_domain must be left < right, bottom < top; got {left:g}, {right:g}, {bottom:g}, {top:g}")
        super().__init__(
            name, seed, num_params, dense_args, {"units": 64, "activation": "relu", "kernel_initializer": "he_uniform"}, num_layers=num_layers, design=design,
            num_dense=num_dense, num_condition_dense=num_condition_dense, residual=residual, linear_path=linear_path, dropout_prob=dropout_prob, order=order,
            soft_clamping=soft_clamping, spline={"bins": bins, "left": left, "right": right, "bottom": bottom, "top": top},
        )  # fmt: skip

    def _in_words(self):
        return f"{self._settings['num_layers']} {self._settings['design']} layers of {self._layers()}"

    def _standalone(self, condition_width):
        return _core.StandaloneOutputs(self._options, condition_width, self._seed())


class MixtureDensityNetwork(DensityNetwork):
    """A mixture of normal distributions whose weights, means and covariances dense layers give (Bishop 1994). Of an `AmortizedPosterior` or
    `AmortizedLikelihood`. Densities and draws are exact and cheap. Good at up to about ten parameters of unit scale and posteriors of few modes.

    Parameters
    ----------
    num_params : int
        Width of the targets.
    num_components : int
    covariance : "full" or "diagonal"
        Of each component.
    dense_args : dict, optional
        units, activation, ... of the hidden layers. None: 64 units, swish.
    num_dense : int
        Hidden layers.
    dropout_prob : float
        After each hidden layer, in training.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, num_params: int, num_components: int = 8, covariance: str = "full", dense_args: Settings | None = None, num_dense: int = 3, *,
                 dropout_prob: float = 0.0, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(
            name, seed, num_params, dense_args, {"units": 64, "activation": "swish"}, num_components=num_components, covariance=covariance,
            num_dense=num_dense, dropout_prob=dropout_prob,
        )  # fmt: skip

    def _in_words(self):
        return f"{self._settings['num_components']} components, {self._settings['covariance']} covariances, {self._layers()}"


class DiffusionNetwork(DensityNetwork):
    """A diffusion model: normal noise is taken away from parameters, at all noise levels (Karras et al. 2022, Song et al. 2021). Of an `AmortizedPosterior`
    or `AmortizedLikelihood`. Targets should be of unit scale.

    Parameters
    ----------
    num_params : int
        Width of the targets.
    dense_args : dict, optional
        units, activation, ... of the hidden layers. None: 256 units, swish.
    num_dense : int
        Hidden layers.
    schedule : "edm" or "cosine"
        Noise levels of training and of the sampler.
    sampler : "ode" or "sde"
        Draws follow the probability-flow equation, or get fresh noise in each of `steps` steps. Densities always follow the equation.
    residual : bool
        Hidden layers but the first add to their input.
    dropout_prob : float
        After each hidden layer, in training.
    time_frequencies : int
        Sines and cosines of the noise level's logarithm beside it as inputs.
    sigma_min, sigma_max : float
        Least and most noise.
    sigma_data : float
        Standard deviation of the targets.
    solver : "rk4", "euler" or "dopri5"
        Of the equation: steps of equal length, or as long as `tolerance` allows (Dormand and Prince).
    steps : int
        Of "rk4", "euler" and the sampler "sde".
    tolerance : float
        Of a step of "dopri5", absolute and relative.
    trace_probes : int
        0: exact traces in densities; else Hutchinson's estimate by this many random vectors.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, num_params: int, dense_args: Settings | None = None, num_dense: int = 4, *, schedule: str = "edm", sampler: str = "ode",
                 residual: bool = True, dropout_prob: float = 0.0, time_frequencies: int = 8, sigma_min: float = 1e-3, sigma_max: float = 80.0,
                 sigma_data: float = 1.0, solver: str = "rk4", steps: int = 25, tolerance: float = 1e-4, trace_probes: int = 0, name: str | None = None,
                 seed: int | None = None) -> None:  # fmt: skip
        super().__init__(
            name, seed, num_params, dense_args, {"units": 256, "activation": "swish"}, num_dense=num_dense, schedule=schedule, sampler=sampler,
            residual=residual, dropout_prob=dropout_prob, time_frequencies=time_frequencies, sigma_min=sigma_min, sigma_max=sigma_max,
            sigma_data=sigma_data, solver=solver, steps=steps, tolerance=tolerance, trace_probes=trace_probes,
        )  # fmt: skip

    def _in_words(self):
        s = self._settings
        return f"{self._layers()}, {s['schedule']} schedule, {self._solver() if s['sampler'] == 'ode' else str(s['steps']) + ' stochastic steps'}"


class ShortcutNetwork(DensityNetwork):
    """Flow matching whose draws take a few steps: a velocity that is told how long a step is (Frans et al. 2025). Of an `AmortizedPosterior` or
    `AmortizedLikelihood`. Targets should be of unit scale. Densities are those of the velocity of steps of no length: the same as the draws' as far as the
    steps are learnt, so compare draws of few steps with those of more.

    Parameters
    ----------
    num_params : int
        Width of the targets.
    dense_args : dict, optional
        units, activation, ... of the hidden layers. None: 256 units, swish.
    num_dense : int
        Hidden layers.
    steps : int
        Of a draw: a power of two, at most finest / 2.
    finest : int
        A power of two: the shortest step that is learnt is 2 / finest long.
    residual : bool
        Hidden layers but the first add to their input.
    dropout_prob : float
        After each hidden layer, in training.
    time_frequencies : int
        Sines and cosines of the time and of the length of a step beside them as inputs.
    tolerance : float
        Of densities: error of a step of Dormand and Prince's method, absolute and relative.
    trace_probes : int
        0: exact traces in densities; else Hutchinson's estimate by this many random vectors.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, num_params: int, dense_args: Settings | None = None, num_dense: int = 4, *, steps: int = 4, finest: int = 64, residual: bool = True,
                 dropout_prob: float = 0.0, time_frequencies: int = 8, tolerance: float = 1e-4, trace_probes: int = 0, name: str | None = None,
                 seed: int | None = None) -> None:  # fmt: skip
        super().__init__(
            name, seed, num_params, dense_args, {"units": 256, "activation": "swish"}, num_dense=num_dense, steps=steps, finest=finest, residual=residual,
            dropout_prob=dropout_prob, time_frequencies=time_frequencies, tolerance=tolerance, trace_probes=trace_probes,
        )  # fmt: skip

    def _in_words(self):
        return f"{self._layers()}, draws in {self._settings['steps']} steps"
