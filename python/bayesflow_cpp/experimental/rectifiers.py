"""v1's rectified flows: flow matching with its choices (`networks.FlowMatchingNetwork`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._arrays import as_flag, as_float64, as_number, output
from ..amortizers import AmortizedPosterior
from ..exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError, ShapeError
from ..networks import FlowMatchingNetwork

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Settings, Simulations
    from ..networks import DeepSet

__all__ = ["DriftNetwork", "RectifiedDistribution"]


class DriftNetwork(FlowMatchingNetwork):
    """The velocity of a `RectifiedDistribution`: dense layers over (x, condition, t).

    Parameters
    ----------
    target_dim : int
    num_dense : int
    dense_args : dict, optional
        None: 256 units, swish.
    dropout : bool
    mc_dropout : bool
        Only False: draws and densities of a velocity that changes from evaluation to evaluation solve no equation.
    dropout_prob : float
    steps : int
        Of the solver: v1's default step_size of 0.001.
    solver : "euler" or "rk4"
        v1's is "euler"; "rk4" with 25 steps is as accurate and ten times as fast.
    """

    def __init__(self, target_dim: int, num_dense: int = 3, dense_args: Settings | None = None, dropout: bool = True, mc_dropout: bool = False,
                 dropout_prob: float = 0.05, *, steps: int = 1000, solver: str = "euler", name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        if as_flag(mc_dropout, "DriftNetwork: mc_dropout"):
            raise OperationNotSupportedError("DriftNetwork: mc_dropout must be False: a velocity that changes from evaluation to evaluation solves no equation")
        probability = as_number(dropout_prob, "DriftNetwork: dropout_prob") if as_flag(dropout, "DriftNetwork: dropout") else 0.0
        super().__init__(target_dim, dense_args, num_dense, residual=False, dropout_prob=probability, time_frequencies=0, loss="log_cosh", solver=solver,
                         steps=steps, name=name, seed=seed)  # fmt: skip

    def __call__(self, target_vars: ArrayLike, latent_vars: ArrayLike, time: ArrayLike, condition: ArrayLike, *, training: bool = False) -> tuple[Any, Any]:
        """(target - latent, the velocity at time * target + (1 - time) * latent)."""
        x, z, t = (as_float64(values, f"DriftNetwork: {name}", ndim=(2,)) for values, name in ((target_vars, "target_vars"), (latent_vars, "latent_vars"), (time, "time")))
        if not x.shape == z.shape or len(t) != len(x):
            raise ShapeError(f"DriftNetwork: target_vars, latent_vars and time need as many rows; got {x.shape}, {z.shape} and {t.shape}")
        return output((x - z).astype(np.float32)), self.velocity(t * x + (1 - t) * z, t, condition, training=training)

    call = __call__

    def drift(self, target_t: ArrayLike, time: ArrayLike, condition: ArrayLike, *, training: bool = False) -> np.ndarray:
        """The velocity at `target_t` and `time`."""
        return self.velocity(target_t, time, condition, training=training)


class RectifiedDistribution(AmortizedPosterior):
    """A posterior by a rectified flow: an `AmortizedPosterior` with a `DriftNetwork`.

    Parameters
    ----------
    drift_net : DriftNetwork
    summary_net : DeepSet or SummaryNetwork, optional
    latent_dist : None
        Standard normal.
    loss_fun : None or "log_cosh", "squared"
        None: v1's log cosh. "squared" is minimized by the exact velocity, always.
    summary_loss_fun : "MMD", optional
    """

    _changed = {}

    def __init__(self, drift_net: DriftNetwork, summary_net: DeepSet | None = None, latent_dist: Any = None, loss_fun: Any = None, summary_loss_fun: Any = None, *,
                 name: str | None = None, seed: int | None = None, threads: int = 0) -> None:  # fmt: skip
        if not isinstance(drift_net, FlowMatchingNetwork):
            raise ConfigurationError(f"RectifiedDistribution: drift_net must be a DriftNetwork; got {type(drift_net).__name__}")
        if loss_fun is not None and not (isinstance(loss_fun, str) and loss_fun in ("log_cosh", "squared")):
            raise OperationNotSupportedError('RectifiedDistribution: loss_fun must be None, "log_cosh" or "squared"')
        self._changed = {} if loss_fun is None else {"loss": loss_fun}
        super().__init__(drift_net, summary_net, latent_dist, False, summary_loss_fun, name=name, seed=seed, threads=threads)

    @property
    def drift_net(self) -> FlowMatchingNetwork:
        """The network."""
        return self.inference_net

    @property
    def _network_options(self):
        return self.inference_net._made(**self._changed)

    def _sharing(self):
        return {**super()._sharing(), **self._changed}

    def __call__(self, input_dict: Simulations, return_summary: bool = False, num_eval_points: int = 1, *, training: bool = False) -> Any:
        """Not there: what v1 returns are the random differences that its loss is made of."""
        raise OperationNotSupportedError("RectifiedDistribution: a call gives v1's random training differences; use sample, log_density, compute_loss or drift_net.drift")

    call = __call__

    def _require_steps(self, step_size):
        if step_size is None:
            return
        steps, size = self.inference_net._settings["steps"], as_number(step_size, "RectifiedDistribution: step_size")
        if not 0 < size <= 1:
            raise ArgumentError(f"RectifiedDistribution: step_size must be above 0, and at most 1; got {step_size!r}")
        if round(1 / size) != steps:
            raise OperationNotSupportedError(
                f"RectifiedDistribution: step_size is a setting of the network, which was made with {steps} steps: DriftNetwork(..., steps={round(1 / size)})"
            )

    def sample(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, step_size: float | None = None, *, seed: int | None = None,
               keepdims: bool = False) -> np.ndarray:  # fmt: skip
        """Draws, as those of an AmortizedPosterior. `step_size`: None, or that of the network."""
        self._require_steps(step_size)
        return super().sample(input_dict, n_samples, to_numpy, seed=seed, keepdims=keepdims)

    def log_density(self, input_dict: Simulations, to_numpy: bool = True, step_size: float | None = None) -> np.ndarray:
        """log q(parameters | conditions): (B,). `step_size`: None, or that of the network."""
        self._require_steps(step_size)
        return self._log_density(input_dict, to_numpy)
