"""Posteriors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._absent import page
from .._arrays import as_count, as_flag, as_names, as_number, output
from ..exceptions import ConfigurationError, OperationNotSupportedError
from ..latents import MultivariateStudentT
from ..networks import _Network, _SummaryNetwork, print_summary, require_density, require_inference, require_latents
from ._base import Amortizer, checked_inputs
from ._loaded_networks import LoadedSummary

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import Function, Names, Simulations
    from ..adapters import Adapter
    from ..building_blocks import SummaryNetwork
    from ..networks import DeepSet, InvertibleNetwork
    from ..networks.densities import DensityNetwork


class AmortizedPosterior(Amortizer):
    """q(parameters | summary_net(summary_conditions), direct_conditions) by a conditional flow (Radev et al. 2020).

    Parameters
    ----------
    inference_net : InvertibleNetwork, AutoregressiveFlow, DiffusionNetwork, MixtureDensityNetwork, ShortcutNetwork or FlowMatchingNetwork
    summary_net : DeepSet or SummaryNetwork, optional
        Without one, the inputs' direct_conditions are all there is.
    latent_dist : latents.MultivariateStudentT, optional
        Of a normalizing flow. None: standard normal.
    summary_loss_fun : "MMD", optional
        Adds the squared maximum mean discrepancy between summaries and standard normals to the loss, times `summary_loss_weight`.
    name : str, optional
        For `summary()` and reprs.
    seed : int, optional
        Of initialization; None: the trainer's. A network's own `seed` goes before.
    threads : int
        For sampling and densities; 0: as many as the machine has.
    adapter : Adapter, optional
        What simulations go through in training, and raw data in `sample` and `log_prob`, whose results are in the user's units (docs/adapter.md).

    Networks carry their weights, as in v1: amortizers made of the same network objects share them. Sharing one network of two is an error; `copy.copy(net)`
    gives a network with the same options and weights of its own.

    Inputs are dictionaries with `parameters` (B, P) or (B, N, P), `summary_conditions` (B, ...) and `direct_conditions` (B, C).
    """

    _kind, _target, _given = "AmortizedPosterior", "parameters", ("summary_conditions", "direct_conditions")
    name = "amortized_posterior"
    latent_is_dynamic = False

    def __init__(self, inference_net: InvertibleNetwork | DensityNetwork, summary_net: DeepSet | SummaryNetwork | None = None,
                 latent_dist: MultivariateStudentT | None = None, latent_is_dynamic: bool = False, summary_loss_fun: Any = None, *,
                 name: str | None = None, summary_loss_weight: float = 1.0, seed: int | None = None, threads: int = 0, adapter: Adapter | None = None) -> None:  # fmt: skip
        if isinstance(inference_net, _SummaryNetwork) and isinstance(summary_net, _Network) and not isinstance(summary_net, _SummaryNetwork):
            raise ConfigurationError("AmortizedPosterior: the inference network comes first, then the summary network; exchange them")
        require_density("AmortizedPosterior", "inference_net", inference_net)
        require_latents("AmortizedPosterior", "inference_net", inference_net, latent_dist)
        if summary_net is not None and not isinstance(summary_net, _SummaryNetwork):
            raise ConfigurationError(
                f"AmortizedPosterior: summary_net must be a DeepSet or a SummaryNetwork; got {type(summary_net).__name__}. A network of your own is "
                f"written with this package's building blocks ({page('python_networks.md')})"
            )
        if as_flag(latent_is_dynamic, "AmortizedPosterior: latent_is_dynamic"):
            raise OperationNotSupportedError("AmortizedPosterior: a latent distribution that depends on the conditions is not there; use latent_is_dynamic=False")
        if summary_loss_fun is not None and str(summary_loss_fun).upper() != "MMD":
            raise OperationNotSupportedError('AmortizedPosterior: summary_loss_fun must be None or "MMD"')
        if summary_loss_fun is not None and summary_net is None:
            raise ConfigurationError("AmortizedPosterior: summary_loss_fun needs a summary_net")
        mmd = as_number(summary_loss_weight, "AmortizedPosterior: summary_loss_weight") if summary_loss_fun is not None else 0.0
        self._set_up(inference_net, summary_net, latent_dist, mmd, name, seed, threads, adapter)

    @property
    def summary_loss(self) -> Function | None:
        """The function of summaries whose value joins the loss, `summary_loss_weight` times; None: none."""
        from ..losses import mmd_summary_space

        return mmd_summary_space if self._mmd else None

    def _in_words(self, latent):
        summary = "no summary network" if self.summary_net is None else f"summary network {type(self.summary_net).__name__}"
        if isinstance(self.summary_net, LoadedSummary):
            summary = "a summary network"
        mmd = f", MMD of summaries x {self._mmd:g}" if self._mmd else ""
        return f", {summary}{latent}{mmd}"

    def __call__(self, input_dict: Simulations, return_summary: bool = False, *, training: bool = False) -> tuple[Any, Any]:
        """Latents z of the parameters and log-determinants: ((B, P), (B,)) float32; with `return_summary` ((z, log_det_J), summaries)."""
        require_inference("AmortizedPosterior", training)
        out = self._latents(input_dict)
        return (out, self.summary(input_dict)) if return_summary else out

    call = __call__

    def call_loop(self, input_list: Sequence[Simulations], return_summary: bool = False, *, training: bool = False) -> tuple[Any, Any]:
        """The same for a list of inputs, joined on axis 0."""
        parts = [self(inputs, return_summary, training=training) for inputs in checked_inputs(input_list, f"{self._kind}.call_loop")]
        join = lambda arrays: output(np.concatenate(arrays))  # noqa: E731
        if return_summary:
            return (join([p[0][0] for p in parts]), join([p[0][1] for p in parts])), join([p[1] for p in parts])
        return join([p[0] for p in parts]), join([p[1] for p in parts])

    def summary(self, input_dict: Simulations | None = None, *, print_fn: Function | None = None, expand_nested: bool = False) -> np.ndarray | None:
        """Outputs of the summary network, (B, summary_dim) float32; None without one.

        Without inputs, what Keras' models print by that name: a table of the networks and their numbers of weights; `expand_nested`: of all layers;
        `print_fn`: a function that is given each line instead."""
        if input_dict is None:
            print_summary(self, print_fn, expand_nested)
            return None
        if self.summary_net is None:
            return None
        return output(self._ready(input_dict).summary(self._inputs(input_dict)))

    def log_posterior(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """log q(parameters | conditions): (B,), or (B, N) for 3-D parameters; float32. Of raw simulations, with an adapter, the density of "prior_draws" in
        the user's units, -inf outside of bounds; float64."""
        return self._log_density(input_dict, to_numpy)

    log_prob = log_posterior

    def local_calibration(self, observed: Simulations, simulations: Simulations, num_near: int = 200, n_samples: int = 100, *,
                          param_names: Names | None = None, seed: int = 0) -> _core.LocalCalibration:  # fmt: skip
        """Is the posterior calibrated at this data set, and not only on average? Simulation-based calibration among the `num_near` of fresh simulations whose
        posteriors are most like that of the one observed data set.

            near = amortizer.local_calibration(observed, trainer.configurator(model(10_000)))

        .p_value: exact for an exact posterior; .p_values (P), .ranks (num_near, P), .near: which simulations; .share: how local the answer is, more simulations make
        it more so; .verdict: what is wrong there, and by how much. Both inputs are those of `sample`, the simulations with their parameters.
        """
        where = f"{self._kind}.local_calibration"
        names = as_names(param_names, f"{where}: param_names")
        near, count, seed = as_count(num_near, f"{where}: num_near"), as_count(n_samples, f"{where}: n_samples"), as_count(seed, f"{where}: seed", 0)
        return _core.local_calibration(self._ready(simulations), self._configured(observed), self._configured(simulations, True), near, count, names, seed)

    def _configured(self, inputs, target=False):
        raw = self._raw(inputs)
        return self._inputs(inputs, target) if raw is None else self._core.configure(raw)
