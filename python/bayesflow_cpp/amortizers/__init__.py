"""Amortizers: networks with their loss, sampling and density."""

from ._base import AmortizedTarget
from ._load import load_amortizer
from ._loaded_networks import LoadedInvertible as _LoadedInvertible  # noqa: F401  (pickles of earlier versions name these)
from ._loaded_networks import LoadedSummary as _LoadedSummary  # noqa: F401
from .ensemble import Ensemble
from .joint import AmortizedPosteriorLikelihood, MarginalLikelihood
from .likelihood import AmortizedLikelihood
from .model_comparison import AmortizedModelComparison
from .point_estimator import AmortizedPointEstimator
from .posterior import AmortizedPosterior
from .two_level import TwoLevelAmortizedPosterior

__all__ = [
    "AmortizedTarget",
    "AmortizedPosterior",
    "AmortizedLikelihood",
    "AmortizedPosteriorLikelihood",
    "AmortizedModelComparison",
    "AmortizedPointEstimator",
    "TwoLevelAmortizedPosterior",
    "Ensemble",
    "MarginalLikelihood",
    "load_amortizer",
]
