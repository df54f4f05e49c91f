"""Point estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arrays import as_flag, output, shown
from .._log import warn_of_foreign
from ..exceptions import ConfigurationError, ShapeError
from ..networks import _SummaryNetwork, require_inference
from ..networks.heads import PointNetwork, as_point_network, estimate_of_norm
from ._outputs import AmortizerWithOutputs

if TYPE_CHECKING:
    from typing import Any

    from ..adapters import Adapter
    from .._types import Function, Simulations
    from ..networks import DeepSet


class AmortizedPointEstimator(AmortizerWithOutputs):
    """Point estimates of parameters from summary_net(summary_conditions) and direct_conditions: the minimizers of a loss (Sainsbury-Dale et al. 2024).

    Parameters
    ----------
    inference_net : PointNetwork, or a SummaryNetwork of building blocks (B, C) -> (B, P)
    summary_net : DeepSet, SetTransformer, ..., optional
        Without one, the inputs' direct_conditions are all there is.
    norm_ord : 1, 2 or numpy.inf
        The loss is this norm of the error: 1 gives posterior medians; 2, not squared, the geometric median (of one parameter the median), and not the mean;
        inf the largest error. A PointNetwork with an `estimate` of its own ("mean", "quantiles", ...) needs none.
    loss_fun : callable, optional
        A loss of your own instead: a NumPy function (estimates (n, P), truths (n, P)) -> (n,), smooth enough for derivatives by differences: it is called
        2 P + 1 times in each step. Files name it, and do not hold it.
    name : str, optional
        For `summary()` and reprs.
    seed : int, optional
        Of initialization; None: the trainer's. A network's own `seed` goes before.
    threads : int
        0: as many as the machine has.
    adapter : Adapter, optional
        What simulations go through in training, and raw data in `estimate`; results are in the user's units (docs/adapter.md).

    Inputs are dictionaries with `parameters` (B, P), `summary_conditions` (B, ...) and `direct_conditions` (B, C).
    """

    _kind, _target, _given = "AmortizedPointEstimator", "parameters", ("summary_conditions", "direct_conditions")
    name = "amortized_point_estimator"

    def __init__(self, inference_net: PointNetwork | _SummaryNetwork, summary_net: DeepSet | _SummaryNetwork | None = None, norm_ord: Any = 2,
                 loss_fun: Function | None = None, *, name: str | None = None, seed: int | None = None, threads: int = 0, adapter: Adapter | None = None) -> None:  # fmt: skip
        if isinstance(inference_net, _SummaryNetwork) and isinstance(summary_net, PointNetwork):
            raise ConfigurationError("AmortizedPointEstimator: the inference network comes first, then the summary network; exchange them")
        norm = estimate_of_norm(norm_ord)
        inference_net = as_point_network(inference_net)
        if loss_fun is not None:
            if not callable(loss_fun):
                raise ConfigurationError(f"AmortizedPointEstimator: loss_fun must be a function (estimates, truths) -> (n,), or None; got {shown(loss_fun)}")
            if inference_net.estimate is not None:
                raise ConfigurationError(f'AmortizedPointEstimator: the network estimates "{inference_net.estimate}" by a loss of its own; leave estimate out, or loss_fun')
            self._changed, self._loss_fun = {"estimate": "own"}, _Loss(loss_fun)
        elif inference_net.estimate is None:
            self._changed = {"estimate": norm}
        elif norm != "norm_2" and norm != inference_net.estimate:
            raise ConfigurationError(f'AmortizedPointEstimator: the network estimates "{inference_net.estimate}", which norm_ord = {shown(norm_ord)} is not; leave one of them out')
        self._set_up_with(inference_net, summary_net, name, seed, threads, adapter)

    def __call__(self, input_dict: Simulations, return_summary: bool = False, *, training: bool = False) -> Any:
        """Estimates; with `return_summary` a tuple of them and the summaries."""
        require_inference(self._kind, training)
        out = output(self.estimate(input_dict))
        return (out, self.summary(input_dict)) if as_flag(return_summary, f"{self._kind}: return_summary") else out

    call = __call__

    def estimate(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """Estimates (B, P) float32, or (B, K, P): means and standard deviations (K = 2), or a row for each level of quantiles. Of raw data, with an
        adapter, in the user's units, float64; estimates that are not those of the user's parameters behind its steps are refused."""
        raw = self._raw(input_dict)
        if raw is not None:
            out, foreign = self._core.estimate_raw(raw, None)
            warn_of_foreign(foreign)
            return out
        out, foreign = self._ready(input_dict).estimate(self._inputs(input_dict), None)
        warn_of_foreign(foreign)
        return out if to_numpy else output(out)


class _Loss:
    """The user's function as the engine calls it."""

    def __init__(self, function):
        self.function = function

    def __call__(self, estimates, truths):
        out = np.asarray(self.function(estimates, truths), dtype=np.float64)
        if out.shape != (len(estimates),):
            raise ShapeError(f"loss_fun must return one number for each row, of shape ({len(estimates)},), for estimates of shape {estimates.shape}; got shape {out.shape}")
        return np.ascontiguousarray(out)

    def __eq__(self, other):
        return isinstance(other, _Loss) and self.function is other.function

    __hash__ = None
