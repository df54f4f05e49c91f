"""Amortizers whose inference network answers without draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._absent import page
from .._arrays import output
from ..exceptions import ConfigurationError
from ..networks import _SummaryNetwork, print_summary
from ._base import Amortizer

if TYPE_CHECKING:
    from .._types import Function, Simulations


class AmortizerWithOutputs(Amortizer):
    _changed, _loss_fun = {}, None  # options of the network that the amortizer sets

    def _set_up_with(self, inference_net, summary_net, name, seed, threads, adapter=None):
        if summary_net is not None and not isinstance(summary_net, _SummaryNetwork):
            raise ConfigurationError(
                f"{self._kind}: summary_net must be a DeepSet or a SummaryNetwork; got {type(summary_net).__name__}. A network of your own is "
                f"written with this package's building blocks ({page('python_networks.md')})"
            )
        self._set_up(inference_net, summary_net, None, 0.0, name, seed, threads, adapter)

    def _sharing(self):
        return {**super()._sharing(), **self._changed, "loss_fun": self._loss_fun}

    @property
    def _network_options(self):
        return self.inference_net._made(self._loss_fun, **self._changed)

    def _in_words(self, latent):
        return ", no summary network" if self.summary_net is None else f", summary network {type(self.summary_net).__name__.lstrip('_')}"

    def summary(self, input_dict: Simulations | None = None, *, print_fn: Function | None = None, expand_nested: bool = False) -> np.ndarray | None:
        """Outputs of the summary network, (B, summary_dim) float32; None without one. Without inputs: prints Keras' table of the networks and their weights."""
        if input_dict is None:
            print_summary(self, print_fn, expand_nested)
            return None
        if self.summary_net is None:
            return None
        return output(self._ready(input_dict).summary(self._inputs(input_dict)))
