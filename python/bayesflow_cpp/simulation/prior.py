"""Priors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import as_names
from ..exceptions import OperationNotSupportedError
from ._parts import Part

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Figure, Function, Names
    from .contexts import ContextGenerator


class Prior(Part):
    """A prior over parameters.

    Parameters
    ----------
    batch_prior_fun : callable, optional
        ``f([batchable_contexts], [non_batchable_context], batch_size=B)`` -> (B, P).
    prior_fun : callable, optional
        ``f([batchable_context], [non_batchable_context])`` -> (P,); called B times. Or a compiled function (see `compile_cpp`, `CFunction`).
    context_generator : ContextGenerator or callable, optional
        A callable gets a batch size and returns {"batchable_context", "non_batchable_context"}.
    param_names : list of str, optional
        For figures, reports and files.
    """

    def __init__(self, batch_prior_fun: Function | None = None, prior_fun: Function | None = None, context_generator: ContextGenerator | Function | None = None,
                 param_names: Names | None = None) -> None:
        super().__init__("Prior", batch_prior_fun, prior_fun, context_generator)
        self.prior, self.batched_prior = prior_fun, batch_prior_fun
        self.param_names = None if param_names is None else as_names(param_names, "Prior: param_names")

    def __call__(self, batch_size: int, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """{"prior_draws": (B, P), "batchable_context": list or None, "non_batchable_context": value or None}; extra arguments reach the function."""
        return self._draw(batch_size, _core.Rng(0, "prior"), self._advance(batch_size), None, args, kwargs)

    def _draw(self, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        context = self._context(batch_size, streams, first, non_batchable)
        draws = self._run(batch_size, None, context, streams, first, args, kwargs)
        return {"prior_draws": draws, "batchable_context": context["batchable_context"], "non_batchable_context": context["non_batchable_context"]}

    def estimate_means_and_stds(self, n_draws: int = 1000, *args: Any, **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
        """Monte-Carlo mean and standard deviation (ddof 1) of each parameter, (1, P) each: for standardizing in a configurator."""
        draws = self(n_draws, *args, **kwargs)["prior_draws"]
        return np.mean(draws, axis=0, keepdims=True), np.std(draws, axis=0, ddof=1, keepdims=True)

    def plot_prior2d(self, **kwargs: Any) -> Figure:
        """A pair grid of prior draws; see `diagnostics.plot_prior2d`."""
        from ..diagnostics import plot_prior2d

        kwargs.setdefault("param_names", self.param_names)
        return plot_prior2d(self, **kwargs)

    def logpdf(self, prior_draws: ArrayLike) -> np.ndarray:
        """Not there: a prior is a program that draws."""
        raise OperationNotSupportedError("Prior.logpdf: a prior here is a program that draws; evaluate the density in your own code")
