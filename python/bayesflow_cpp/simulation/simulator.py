"""Simulators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from ..exceptions import ConfigurationError
from ._parts import Part

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Function
    from .contexts import ContextGenerator


class Simulator(Part):
    """A simulator: from parameters to data.

    Parameters
    ----------
    batch_simulator_fun : callable, optional
        ``f(params, [batchable_contexts], [non_batchable_context])`` with params (B, P) -> (B, ...).
    simulator_fun : callable, optional
        ``f(params, [batchable_context], [non_batchable_context])`` with params (P,) -> one data set; called B times. Or a compiled function,
        which runs on all cores (see `compile_cpp`, `CFunction`).
    context_generator : ContextGenerator or callable, optional
        A callable gets a batch size and returns {"batchable_context", "non_batchable_context"}.
    """

    def __init__(self, batch_simulator_fun: Function | None = None, simulator_fun: Function | None = None,
                 context_generator: ContextGenerator | Function | None = None) -> None:
        super().__init__("Simulator", batch_simulator_fun, simulator_fun, context_generator)
        self.simulator = batch_simulator_fun if self.is_batched else simulator_fun

    def __call__(self, params: ArrayLike, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """{"sim_data": (B, ...), "batchable_context": list or None, "non_batchable_context": value or None}; extra arguments reach the function."""
        first = params[0] if isinstance(params, (list, tuple)) and len(params) else params
        if np.ndim(first) == 0 or not hasattr(first, "__len__") or isinstance(first, (str, dict)):
            raise ConfigurationError(f"Simulator: params must be an array (B, P), or a list of such; got {type(params).__name__}")
        batch_size = len(first)
        return self._draw(params, batch_size, _core.Rng(0, "simulator"), self._advance(batch_size), None, args, kwargs)

    def _draw(self, params, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        context = self._context(batch_size, streams, first, non_batchable)
        data = self._run(batch_size, params, context, streams, first, args, kwargs)
        return {"sim_data": data, "batchable_context": context["batchable_context"], "non_batchable_context": context["non_batchable_context"]}
