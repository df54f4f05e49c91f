"""Markov chains on a learned likelihood: in this package, and in PyMC."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _core
from ._arrays import as_batch, as_count, as_float64, as_number
from .amortizers import AmortizedLikelihood
from .exceptions import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, Function

__all__ = ["MCMCSurrogateLikelihood", "PyMCSurrogateLikelihood", "Chains", "sample_posterior", "convergence"]


class MCMCSurrogateLikelihood:
    """A learned likelihood as samplers call it: its logarithm and gradient for one data set.

    Parameters
    ----------
    amortized_likelihood : AmortizedLikelihood
    configurator : callable, optional
        The arguments of the functions below -> {"observables", "conditions"}; None: they are called with such a dictionary.
    likelihood_postprocessor : callable, optional
        Log likelihoods of the observations -> what `log_likelihood` returns; None: their sum.
    grad_postprocessor : callable, optional
        The gradient by the conditions -> what `log_likelihood_grad` returns; None: as it is.
    """

    def __init__(self, amortized_likelihood: AmortizedLikelihood, configurator: Function | None = None, likelihood_postprocessor: Function | None = None,
                 grad_postprocessor: Function | None = None) -> None:  # fmt: skip
        if not isinstance(amortized_likelihood, AmortizedLikelihood):
            raise ConfigurationError(f"{type(self).__name__}: amortized_likelihood must be an AmortizedLikelihood; got {type(amortized_likelihood).__name__}")
        for name, value in dict(configurator=configurator, likelihood_postprocessor=likelihood_postprocessor, grad_postprocessor=grad_postprocessor).items():
            if value is not None and not callable(value):
                raise ConfigurationError(f"{type(self).__name__}: {name} must be callable; got {type(value).__name__}")
        self.amortized_likelihood = amortized_likelihood
        self.configurator = configurator or (lambda inputs: inputs)
        self.likelihood_postprocessor = likelihood_postprocessor or np.sum
        self.grad_postprocessor = grad_postprocessor or (lambda gradient: gradient)

    def _evaluate(self, args, kwargs):
        inputs = self.configurator(*args, **kwargs)
        return self.amortized_likelihood._core.log_likelihood_gradient(as_batch(self.amortized_likelihood._inputs(inputs, True)))

    def log_likelihood(self, *args: Any, **kwargs: Any) -> Any:
        """The log likelihoods of the observations, postprocessed: their sum by default."""
        return self.likelihood_postprocessor(self._evaluate(args, kwargs)[0])

    def log_likelihood_grad(self, *args: Any, **kwargs: Any) -> Any:
        """The gradient of the sum of all log likelihoods by the conditions, postprocessed: of their shape, float64."""
        return self.grad_postprocessor(self._evaluate(args, kwargs)[1])


class PyMCSurrogateLikelihood(MCMCSurrogateLikelihood):
    """A learned likelihood as a potential of a PyMC model, with gradients for NUTS. Needs PyMC 5 (`pip install bayesflow_cpp[pymc]`).

        with pm.Model():
            theta = pm.Normal("theta", shape=2)
            pm.Potential("likelihood", PyMCSurrogateLikelihood(likelihood, observables)(theta))
            trace = pm.sample()

    Parameters
    ----------
    amortized_likelihood : AmortizedLikelihood
        With weights.
    observables : array (N, D), or (D,)
        The observations of one data set, independent given the parameters.
    configurator : callable, optional
        (observables (1, N, D), parameters (P,)) -> {"observables", "conditions"}; None: the parameters are the conditions of every observation.
    likelihood_postprocessor, grad_postprocessor : callable, optional
        As in MCMCSurrogateLikelihood; the gradient they make must be (P,). None: sums.
    default_pymc_type : dtype
        Of what PyMC is given.
    default_tf_type : dtype
        Has no meaning here: networks compute in float32. It is taken so that programs for v1 run.
    """

    def __init__(self, amortized_likelihood: AmortizedLikelihood, observables: ArrayLike, configurator: Function | None = None,
                 likelihood_postprocessor: Function | None = None, grad_postprocessor: Function | None = None, default_pymc_type: Any = np.float64,
                 default_tf_type: Any = np.float32) -> None:  # fmt: skip
        data = as_float64(observables, "PyMCSurrogateLikelihood: observables")
        if data.ndim not in (1, 2):
            raise ConfigurationError(f"PyMCSurrogateLikelihood: observables must be (N, D) or (D,), of one data set; got {data.shape}")
        self.observables = np.atleast_2d(data)[None]
        default = lambda observables, theta: {"observables": observables, "conditions": np.atleast_2d(theta)}  # noqa: E731
        super().__init__(amortized_likelihood, configurator or default, likelihood_postprocessor, grad_postprocessor or (lambda g: g.sum(axis=tuple(range(g.ndim - 1)))))
        self.default_pymc_type, self.default_tf_type = default_pymc_type, default_tf_type

    def __call__(self, theta: Any) -> Any:
        """The log likelihood of parameters (P,), a scalar of PyTensor with a gradient."""
        from ._pymc import log_likelihood_op

        return log_likelihood_op(self)(theta)

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
        """PyTensor's function of an operation: computes the value."""
        (theta,) = inputs
        outputs[0][0] = np.asarray(self.log_likelihood(self.observables, np.asarray(theta, np.float64)), self.default_pymc_type)

    def grad(self, inputs: Any, output_grads: Any) -> list[Any]:
        """PyTensor's function of an operation: its vector-Jacobian product."""
        from ._pymc import log_likelihood_op

        return log_likelihood_op(self).grad(inputs, output_grads)


class Chains(NamedTuple):
    """What `sample_posterior` returns."""

    draws: np.ndarray  #: (chains, draws, P)
    log_density: np.ndarray  #: (chains, draws)
    rhat: np.ndarray  #: (P,): rank-normalized split R-hat (Vehtari et al. 2021); below 1.01 if the chains agree
    ess_bulk: np.ndarray  #: (P,): effective draws, for means
    ess_tail: np.ndarray  #: (P,): for the 5 % and 95 % quantiles
    acceptance: float
    step: float
    divergences: int
    warnings: list[str]  #: what is amiss


def sample_posterior(amortized_likelihood: AmortizedLikelihood, observables: ArrayLike, log_prior: Function, start: ArrayLike, *, log_prior_grad: Function | None = None,
                     context: ArrayLike | None = None, warmup: int = 500, draws: int = 1000, target_acceptance: float = 0.8, seed: int = 0,
                     lower: ArrayLike | None = None, upper: ArrayLike | None = None) -> Chains:  # fmt: skip
    """Draws from the posterior of one data set under a learned likelihood and a prior, by Hamiltonian Monte Carlo with adaptation; all chains in step,
    so that the network evaluates them together on all cores. One seed, one result.

    Parameters
    ----------
    observables : array (N, D)
        Independent observations of one data set.
    log_prior : callable
        Parameters (chains, P) -> log densities (chains,), up to a constant; -inf where there is none.
    start : array (chains, P)
        Where the chains start: draws of the prior, say. Four or more chains make R-hat worth something.
    log_prior_grad : callable, optional
        Parameters (chains, P) -> gradients (chains, P); None: central differences of log_prior.
    context : array (C - P,), optional
        What the likelihood's conditions hold behind the parameters.
    lower, upper : array (P,), optional
        Bounds of the parameters, infinite where there is none.
    """
    owner = "sample_posterior"
    if not isinstance(amortized_likelihood, AmortizedLikelihood):
        raise ConfigurationError(f"{owner}: amortized_likelihood must be an AmortizedLikelihood; got {type(amortized_likelihood).__name__}")
    if not callable(log_prior) or (log_prior_grad is not None and not callable(log_prior_grad)):
        raise ArgumentError(f"{owner}: log_prior and log_prior_grad must be functions of parameters (chains, P)")
    as64 = lambda function: None if function is None else lambda theta: np.asarray(function(theta), np.float64)  # noqa: E731
    array = lambda value, name: None if value is None else as_float64(value, f"{owner}: {name}")  # noqa: E731
    out = _core.mcmc_posterior(
        amortized_likelihood._core, array(observables, "observables"), as64(log_prior), as64(log_prior_grad), array(context, "context"), array(start, "start"),
        as_count(warmup, f"{owner}: warmup"), as_count(draws, f"{owner}: draws"), as_number(target_acceptance, f"{owner}: target_acceptance"), seed,
        array(lower, "lower"), array(upper, "upper"),
    )  # fmt: skip
    return Chains(**out)


def convergence(draws: ArrayLike) -> dict[str, np.ndarray]:
    """{"rhat", "ess_bulk", "ess_tail"}, each (P,), of draws (chains, n, P) of any sampler (Vehtari et al. 2021)."""
    return dict(zip(("rhat", "ess_bulk", "ess_tail"), _core.mcmc_convergence(as_float64(draws, "convergence: draws"))))
