"""Errors. Each message says what was required, what was got, and what to change."""


class BayesFlowError(Exception):
    """Base of everything this package raises on purpose."""


class ForeignDataWarning(UserWarning):
    """Data, or posterior draws, unlike those that the networks were trained on."""


class ConfigurationError(BayesFlowError, ValueError):
    """An option, or a combination of objects, that cannot work."""


class ShapeError(BayesFlowError, ValueError):
    """An array whose rank or widths do not fit."""


class ArgumentError(BayesFlowError, ValueError):
    """An argument outside its domain."""


class SimulationError(BayesFlowError, RuntimeError):
    """A prior, simulator or context function failed, or returned something unusable."""


class SummaryStatsError(BayesFlowError, ValueError):
    """Neither summary nor direct conditions are there."""


class IoError(BayesFlowError, OSError):
    """A file that cannot be read or written."""


class OutOfMemoryError(BayesFlowError, MemoryError):
    """What is asked needs more memory than there is."""


class LossError(BayesFlowError, RuntimeError):
    """A loss that cannot be computed."""


class InferenceError(BayesFlowError, RuntimeError):
    """Inference that cannot be carried out."""


class OperationNotSupportedError(BayesFlowError, NotImplementedError):
    """Something of BayesFlow v1 that is not there; the message names what to use instead."""
