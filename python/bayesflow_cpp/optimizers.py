"""Optimizers and learning rates, by Keras' names and defaults.

Where no optimizer is given a trainer uses Adam with a cosine decay from `default_lr` to 0 and gradients clipped to norm 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import _core
from ._arrays import as_number, as_numbers, as_whole
from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import Any, Sequence

    from ._types import Function


def _rate(value, name):
    rate = as_number(value, name)
    if not 0 < rate < math.inf:
        raise ConfigurationError(f"{name} must be positive and finite; got {rate}")
    return rate


def _steps(value, name):
    steps = as_whole(value, name)
    if steps < 1:
        raise ConfigurationError(f"{name} must be at least 1; got {steps}")
    return steps


class CosineDecay:
    """initial_learning_rate / 2 (1 + cos(pi t / decay_steps)): from the initial rate to 0."""

    def __init__(self, initial_learning_rate: float, decay_steps: int) -> None:
        rate, steps = _rate(initial_learning_rate, "CosineDecay: initial_learning_rate"), _steps(decay_steps, "CosineDecay: decay_steps")
        self._native = ("cosine", [rate], [steps])

    def __repr__(self):
        (rate,), (steps,) = self._native[1:]
        return f"CosineDecay({rate:g}, {steps})"


class ExponentialDecay:
    """initial_learning_rate * decay_rate ** (t / decay_steps)"""

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float) -> None:
        rates = [_rate(initial_learning_rate, "ExponentialDecay: initial_learning_rate"), _rate(decay_rate, "ExponentialDecay: decay_rate")]
        self._native = ("exponential", rates, [_steps(decay_steps, "ExponentialDecay: decay_steps")])

    def __repr__(self):
        (rate, decay), (steps,) = self._native[1:]
        return f"ExponentialDecay({rate:g}, {steps}, {decay:g})"


class PiecewiseConstantDecay:
    """values[i] from step boundaries[i - 1] on; one more value than boundaries."""

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        steps = [as_whole(b, "PiecewiseConstantDecay: boundaries") for b in as_numbers(boundaries, "PiecewiseConstantDecay: boundaries")]
        rates = [_rate(v, "PiecewiseConstantDecay: values") for v in as_numbers(values, "PiecewiseConstantDecay: values")]
        if len(rates) != len(steps) + 1:
            raise ConfigurationError(f"PiecewiseConstantDecay: values must be one more than boundaries; got {len(rates)} for {len(steps)} boundaries")
        if any(b <= a for a, b in zip([0, *steps], steps)):
            raise ConfigurationError(f"PiecewiseConstantDecay: boundaries must be positive and ascend; got {steps}")
        self._native = ("piecewise", rates, steps)

    def __repr__(self):
        _, rates, steps = self._native
        return f"PiecewiseConstantDecay({steps}, {rates})"


class _Function:
    """A learning rate that is the user's function of the step."""

    def __init__(self, function):
        self._function = function

    def __call__(self, step):
        return as_number(self._function(step), f"what the learning rate's function returns for step {step}")

    def __repr__(self):
        return getattr(self._function, "__name__", type(self._function).__name__)


class _Optimizer:
    """learning_rate: a number, a schedule of this module, any callable of the step, or None for the trainer's cosine decay."""

    def __init__(self, kind, learning_rate, **options):
        name = type(self).__name__
        if callable(learning_rate) and not isinstance(learning_rate, _Function):
            learning_rate = _Function(learning_rate)
        elif not (learning_rate is None or isinstance(learning_rate, _Function) or hasattr(learning_rate, "_native")):
            learning_rate = _rate(learning_rate, f"{name}: learning_rate")
        self.learning_rate, self._options, self._kind = learning_rate, options, kind
        in_engine = {"beta_1": "beta1", "beta_2": "beta2"}
        clipped = options["global_clipnorm"] is not None
        given = {in_engine.get(key, key): as_number(value, f"{name}: {key}") for key, value in options.items() if clipped or key != "global_clipnorm"}
        given.setdefault("global_clipnorm", 0.0)
        given.setdefault("weight_decay", 0.0)
        if not all(map(math.isfinite, given.values())):
            raise ConfigurationError(f"{name}: options must be finite; got {', '.join(f'{k} = {v}' for k, v in options.items())}")
        self._core = _core.OptimizerOptions(kind=kind, learning_rate=getattr(learning_rate, "_native", learning_rate), **given)
        self._steps = None  # of helper_functions.backprop_step: the amortizer, and the engine's state

    @property
    def iterations(self) -> int:
        """Steps that `helper_functions.backprop_step` has taken with it. Trainers begin their optimizers' schedules anew with each call."""
        return 0 if self._steps is None else self._steps[1].steps_taken

    def __getstate__(self):
        return {"learning_rate": self.learning_rate, "_options": self._options, "_kind": self._kind}

    def __setstate__(self, state):
        _Optimizer.__init__(self, state["_kind"], state["learning_rate"], **state["_options"])

    def __repr__(self):
        rate = self.learning_rate
        shown = "" if rate is None else f"{rate:g}, " if isinstance(rate, float) else f"{rate!r}, "
        return f"{type(self).__name__}({shown}{', '.join(f'{k}={v}' for k, v in self._options.items())})"


class Adam(_Optimizer):
    """Adam (Kingma and Ba 2015)."""

    def __init__(self, learning_rate: float | Function | CosineDecay | ExponentialDecay | PiecewiseConstantDecay | None = None, beta_1: float = 0.9,
                 beta_2: float = 0.999, epsilon: float = 1e-7, global_clipnorm: float = 1.0) -> None:
        super().__init__("adam", learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, global_clipnorm=global_clipnorm)


class AdamW(_Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, learning_rate: float | Function | CosineDecay | ExponentialDecay | PiecewiseConstantDecay | None = None,
                 weight_decay: float = 0.004, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, global_clipnorm: float = 1.0) -> None:
        super().__init__("adamw", learning_rate, weight_decay=weight_decay, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, global_clipnorm=global_clipnorm)


class SGD(_Optimizer):
    """Gradient descent with momentum."""

    def __init__(self, learning_rate: float | Function | CosineDecay | ExponentialDecay | PiecewiseConstantDecay | None = None, momentum: float = 0.0,
                 global_clipnorm: float = 1.0) -> None:
        super().__init__("sgd", learning_rate, momentum=momentum, global_clipnorm=global_clipnorm)


def options_of(optimizer: Any) -> Any:
    """What the engine is given of an optimizer; None for None. Raises ConfigurationError for anything that is not an optimizer of this module."""
    if optimizer is None:
        return None
    if isinstance(optimizer, _Optimizer):
        return optimizer._core
    raise ConfigurationError(f"optimizer must be one of bayesflow_cpp.optimizers (Adam, AdamW, SGD) or None; got {type(optimizer).__module__}.{type(optimizer).__qualname__}")
