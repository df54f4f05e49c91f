"""Likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arrays import output
from ..configuration import DefaultLikelihoodConfigurator
from ..latents import MultivariateStudentT
from ..networks import print_summary, require_density, require_inference, require_latents
from ._base import Amortizer, checked_inputs

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import Function, Simulations
    from ..adapters import Adapter
    from ..networks import InvertibleNetwork
    from ..networks.densities import DensityNetwork


class AmortizedLikelihood(Amortizer):
    """q(observables | conditions) by a conditional flow: a surrogate of the simulator, for single observations (Papamakarios et al. 2019).

    Parameters
    ----------
    surrogate_net : InvertibleNetwork, AutoregressiveFlow, DiffusionNetwork, MixtureDensityNetwork, ShortcutNetwork or FlowMatchingNetwork
        Its `num_params` is the number of values of one observation.
    latent_dist : latents.MultivariateStudentT, optional
        None: standard normal.
    name : str, optional
        For `summary()` and reprs.
    seed : int, optional
        Of initialization; None: the trainer's. The network's own `seed` goes before.
    threads : int
        For sampling and densities; 0: as many as the machine has.
    adapter : Adapter, optional
        What simulations go through in training, and raw parameters and simulations in `sample` and `log_likelihood`; results are in the user's units (docs/adapter.md).

    Inputs are dictionaries with `observables` (B, D), or (B, N, D) for N independent observations of each data set, and `conditions` (B, C):
    parameters, and what else the simulator was given. The network carries its weights, as in v1.
    """

    _kind, _target, _given, _net = "AmortizedLikelihood", "observables", ("conditions",), "surrogate_net"
    name = "amortized_likelihood"

    def __init__(self, surrogate_net: InvertibleNetwork | DensityNetwork, latent_dist: MultivariateStudentT | None = None, *,
                 name: str | None = None, seed: int | None = None, threads: int = 0, adapter: Adapter | None = None) -> None:  # fmt: skip
        require_density("AmortizedLikelihood", "surrogate_net", surrogate_net)
        require_latents("AmortizedLikelihood", "surrogate_net", surrogate_net, latent_dist)
        self._set_up(surrogate_net, None, latent_dist, 0.0, name, seed, threads, adapter)

    def _default_configurator(self):
        return DefaultLikelihoodConfigurator()

    @property
    def surrogate_net(self) -> InvertibleNetwork:
        """The network."""
        return self.inference_net

    def __call__(self, input_dict: Simulations, *, training: bool = False) -> tuple[Any, Any]:
        """Latents z of the observables and log-determinants: ((B, D), (B,)), or ((B, N, D), (B, N)); float32."""
        require_inference("AmortizedLikelihood", training)
        return self._latents(input_dict)

    call = __call__

    def call_loop(self, input_list: Sequence[Simulations], *, training: bool = False) -> tuple[Any, Any]:
        """The same for a list of inputs, joined on axis 0."""
        parts = [self(inputs, training=training) for inputs in checked_inputs(input_list, "AmortizedLikelihood.call_loop")]
        z, log_det_J = (output(np.concatenate(arrays)) for arrays in zip(*parts))
        return z, log_det_J

    def summary(self, *, print_fn: Function | None = None, expand_nested: bool = False) -> None:
        """Prints Keras' table: the network and its number of weights; `expand_nested`: all layers; `print_fn` is given each line instead."""
        print_summary(self, print_fn, expand_nested)

    def log_likelihood(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """log q of every observation: (B,), or (B, N) for 3-D observables; float32. That of a data set is the sum over its N observations.
        Of raw simulations, with an adapter, the density of "sim_data" in the user's units, float64."""
        return self._log_density(input_dict, to_numpy)

    log_prob = log_likelihood
