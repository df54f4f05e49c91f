"""Amortizers: networks with their loss, sampling and density."""

from .._absent import absent
from ._load import load_amortizer
from ._loaded_networks import LoadedInvertible as _LoadedInvertible  # noqa: F401  (pickles of earlier versions name these)
from ._loaded_networks import LoadedSummary as _LoadedSummary  # noqa: F401
from .likelihood import AmortizedLikelihood
from .posterior import AmortizedPosterior

__all__ = ["AmortizedPosterior", "AmortizedLikelihood", "load_amortizer"]

AmortizedPosteriorLikelihood = absent("AmortizedPosteriorLikelihood", "train an AmortizedPosterior")
AmortizedModelComparison = absent("AmortizedModelComparison", "train one AmortizedPosterior per model")
TwoLevelAmortizedPosterior = absent("TwoLevelAmortizedPosterior", "use an AmortizedPosterior over all parameters")
AmortizedPointEstimator = absent("AmortizedPointEstimator", "use means or quantiles of draws of an AmortizedPosterior")
AmortizedTarget = absent("AmortizedTarget", "it was the base of v1's amortizers; there are AmortizedPosterior and AmortizedLikelihood")
