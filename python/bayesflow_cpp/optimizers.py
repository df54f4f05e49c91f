"""Optimizers and learning rates, by Keras' names and defaults.

Where no optimizer is given a trainer uses Adam with a cosine decay from `default_lr` to 0 and gradients clipped to norm 1.
"""

from . import _core
from ._arrays import as_number, as_numbers, as_whole
from .exceptions import ConfigurationError


class CosineDecay:
    """initial_learning_rate / 2 (1 + cos(pi t / decay_steps)): from the initial rate to 0."""

    def __init__(self, initial_learning_rate, decay_steps):
        self._native = ("cosine", [as_number(initial_learning_rate, "CosineDecay: initial_learning_rate")], [as_whole(decay_steps, "CosineDecay: decay_steps")])


class ExponentialDecay:
    """initial_learning_rate * decay_rate ** (t / decay_steps)"""

    def __init__(self, initial_learning_rate, decay_steps, decay_rate):
        rates = [as_number(initial_learning_rate, "ExponentialDecay: initial_learning_rate"), as_number(decay_rate, "ExponentialDecay: decay_rate")]
        self._native = ("exponential", rates, [as_whole(decay_steps, "ExponentialDecay: decay_steps")])


class PiecewiseConstantDecay:
    """values[i] from step boundaries[i - 1] on; one more value than boundaries."""

    def __init__(self, boundaries, values):
        steps = as_numbers(boundaries, "PiecewiseConstantDecay: boundaries")
        self._native = ("piecewise", as_numbers(values, "PiecewiseConstantDecay: values"), [as_whole(b, "PiecewiseConstantDecay: boundaries") for b in steps])


class _Optimizer:
    """learning_rate: a number, a schedule of this module, any callable of the step, or None for the trainer's cosine decay."""

    def __init__(self, kind, learning_rate, **options):
        if not (learning_rate is None or hasattr(learning_rate, "_native") or callable(learning_rate)):
            learning_rate = as_number(learning_rate, "the optimizer's learning_rate")
        defaults = dict(beta1=0.9, beta2=0.999, epsilon=1e-7, weight_decay=0.0, momentum=0.0, global_clipnorm=1.0)
        self._core = _core.OptimizerOptions(kind, getattr(learning_rate, "_native", learning_rate), **{**defaults, **options})


class Adam(_Optimizer):
    """Adam (Kingma and Ba 2015)."""

    def __init__(self, learning_rate=None, beta_1=0.9, beta_2=0.999, epsilon=1e-7, global_clipnorm=1.0):
        super().__init__("adam", learning_rate, beta1=beta_1, beta2=beta_2, epsilon=epsilon, global_clipnorm=0.0 if global_clipnorm is None else global_clipnorm)


class AdamW(_Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, learning_rate=None, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7, global_clipnorm=1.0):
        super().__init__("adamw", learning_rate, weight_decay=weight_decay, beta1=beta_1, beta2=beta_2, epsilon=epsilon, global_clipnorm=0.0 if global_clipnorm is None else global_clipnorm)


class SGD(_Optimizer):
    """Gradient descent with momentum."""

    def __init__(self, learning_rate=None, momentum=0.0, global_clipnorm=1.0):
        super().__init__("sgd", learning_rate, momentum=momentum, global_clipnorm=0.0 if global_clipnorm is None else global_clipnorm)


def options_of(optimizer):
    if optimizer is None:
        return None
    if isinstance(optimizer, _Optimizer):
        return optimizer._core
    raise ConfigurationError(f"optimizer must be one of bayesflow_cpp.optimizers (Adam, AdamW, SGD) or None; got {type(optimizer).__name__}")
