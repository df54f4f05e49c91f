"""Posterior and likelihood, learnt together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import _core
from .._arrays import as_batch, as_count
from .._log import warn_of_foreign
from ..configuration import DefaultJointConfigurator
from ..exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError
from ..networks import require_inference
from ._group import AmortizerGroup
from .likelihood import AmortizedLikelihood
from .posterior import AmortizedPosterior

if TYPE_CHECKING:
    from typing import Any

    from .._types import Function, Simulations

_POSTERIOR, _LIKELIHOOD = "posterior_inputs", "likelihood_inputs"


class MarginalLikelihood(NamedTuple):
    """log p(x) of each data set: what `AmortizedPosteriorLikelihood.log_marginal_likelihood` returns."""

    value: np.ndarray  #: (B,): mean of the terms
    spread: np.ndarray  #: (B,): their standard deviation over draws, an error bar
    inside: np.ndarray  #: (B,): share of the draws where the prior has a density
    terms: np.ndarray  #: (B, n_samples)


class AmortizedPosteriorLikelihood(AmortizerGroup):
    """q(parameters | data) and q(observables | parameters) of one model, trained together on the same simulations (Radev et al. 2023, JANA).

    Parameters
    ----------
    amortized_posterior : AmortizedPosterior
    amortized_likelihood : AmortizedLikelihood
        Both without weights yet, to be trained together; or both with weights, to be used together. They are the parts from now on: what is
        trained is this object. Each part gets, bit for bit, the weights that a trainer of the same seed would give it alone.
    name : str, optional

    Inputs are nested dictionaries, {"posterior_inputs": {...}, "likelihood_inputs": {...}}, as `DefaultJointConfigurator` makes them, or one
    dictionary with what both of them read.
    """

    _kind, _target, _given = "AmortizedPosteriorLikelihood", "parameters", ("observables",)
    _part_names, _takes_trained = ("amortized_posterior", "amortized_likelihood"), True
    name = "amortized_posterior_likelihood"

    def __init__(self, amortized_posterior: AmortizedPosterior, amortized_likelihood: AmortizedLikelihood, *, name: str | None = None) -> None:
        if isinstance(amortized_posterior, AmortizedLikelihood) and isinstance(amortized_likelihood, AmortizedPosterior):
            raise ConfigurationError("AmortizedPosteriorLikelihood: the posterior comes first, then the likelihood; exchange them")
        for argument, value, kind in (("amortized_posterior", amortized_posterior, AmortizedPosterior), ("amortized_likelihood", amortized_likelihood, AmortizedLikelihood)):
            if not isinstance(value, kind):
                raise ConfigurationError(f"AmortizedPosteriorLikelihood: {argument} must be an {kind.__name__}; got {type(value).__name__}")
        self.amortized_posterior, self.amortized_likelihood = amortized_posterior, amortized_likelihood
        self._set_up_group(name)

    def _join(self):
        return _core.AmortizedPosteriorLikelihood(self.amortized_posterior._core, self.amortized_likelihood._core)

    def _take_parts(self):
        self.amortized_posterior._engine, self.amortized_likelihood._engine = self._engine.posterior, self._engine.likelihood

    def _learns(self):
        return "posterior and likelihood"

    def _default_configurator(self):
        return DefaultJointConfigurator()

    @property
    def latent_dim(self) -> int:
        """Width of the parameter vector."""
        return self.amortized_posterior.latent_dim

    @property
    def summary_net(self) -> Any:
        """The posterior's summary network; None: there is none."""
        return self.amortized_posterior.summary_net

    def _flat(self, inputs):
        if not isinstance(inputs, dict):
            raise ConfigurationError(f"{self._kind}: the input must be a dictionary, as a configurator makes it; got {type(inputs).__name__}")
        if _POSTERIOR not in inputs and _LIKELIHOOD not in inputs:
            return inputs
        return {**(inputs.get(_POSTERIOR) or {}), **(inputs.get(_LIKELIHOOD) or {})}

    def _inputs(self, input_dict, target=False):
        return as_batch(self._flat(input_dict))

    def _of(self, part, input_dict):
        """The posterior's inputs, or the likelihood's, of a nested or a flat dictionary."""
        inputs = self._flat(input_dict)
        if part == _LIKELIHOOD:
            return {name: value for name, value in inputs.items() if name in ("observables", "conditions")}
        return {name: value for name, value in inputs.items() if name not in ("observables", "conditions")}

    def __call__(self, input_dict: Simulations, *, training: bool = False) -> tuple[Any, Any]:
        """((z, log_det_J) of the parameters, (z, log_det_J) of the observables)."""
        require_inference(self._kind, training)
        return self.amortized_posterior(self._of(_POSTERIOR, input_dict)), self.amortized_likelihood(self._of(_LIKELIHOOD, input_dict))

    call = __call__

    def log_likelihood(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """log q of every observation: (B,), or (B, N) for 3-D observables; float32."""
        return self.amortized_likelihood.log_likelihood(self._of(_LIKELIHOOD, input_dict), to_numpy)

    def log_posterior(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """log q(parameters | conditions): (B,), or (B, N) for 3-D parameters; float32."""
        return self.amortized_posterior.log_posterior(self._of(_POSTERIOR, input_dict), to_numpy)

    def log_prob(self, input_dict: Simulations, to_numpy: bool = True) -> dict[str, np.ndarray]:
        """{"log_posterior", "log_likelihood"}."""
        return {"log_posterior": self.log_posterior(input_dict, to_numpy), "log_likelihood": self.log_likelihood(input_dict, to_numpy)}

    def sample_data(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, *, seed: int | None = None, keepdims: bool = False) -> np.ndarray:
        """Simulated observations for each row of conditions, as `AmortizedLikelihood.sample` gives them."""
        return self.amortized_likelihood.sample(self._of(_LIKELIHOOD, input_dict), n_samples, to_numpy, seed=seed, keepdims=keepdims)

    def sample_parameters(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, *, seed: int | None = None, keepdims: bool = False) -> np.ndarray:
        """Posterior draws for each data set, as `AmortizedPosterior.sample` gives them."""
        return self.amortized_posterior.sample(self._of(_POSTERIOR, input_dict), n_samples, to_numpy, seed=seed, keepdims=keepdims)

    def sample(self, input_dict: Simulations, n_post_samples: int, n_lik_samples: int, to_numpy: bool = True, *, seed: int | None = None) -> dict[str, np.ndarray]:
        """{"posterior_samples", "likelihood_samples"}."""
        return {
            "posterior_samples": self.sample_parameters(input_dict, n_post_samples, to_numpy, seed=seed),
            "likelihood_samples": self.sample_data(input_dict, n_lik_samples, to_numpy, seed=seed),
        }

    def sample_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Not there: the parts have it."""
        raise OperationNotSupportedError(f"{self._kind}.sample_loop: use amortized_posterior.sample_loop or amortized_likelihood.sample_loop")

    def log_marginal_likelihood(self, input_dict: Simulations, log_prior: Function, n_samples: int = 200, *, seed: int | None = None) -> MarginalLikelihood:
        """log p(x) of each data set, by log q(x | theta) + log p(theta) - log q(theta | x) at draws theta of the posterior (JANA, section 4).

        The exact densities give log p(x) at every theta, so that the terms' spread over draws shows the networks' error. The likelihood of a data
        set is the product over its N observations where observables are (B, N, D). Draws where the prior has no density are left out.

        `log_prior`: parameters (n, P), as the configurator gives them to the networks -> log densities (n,), -inf where there is none.
        """
        if not callable(log_prior):
            raise ArgumentError(f"{self._kind}.log_marginal_likelihood: log_prior must be a function of parameters (n, P); got {type(log_prior).__name__}")
        count = as_count(n_samples, f"{self._kind}.log_marginal_likelihood: n_samples")
        batch = as_batch(self._flat(input_dict))
        *out, foreign = self._core.log_marginal_likelihood(batch, lambda theta: np.asarray(log_prior(theta), np.float64), count, seed)
        warn_of_foreign(foreign)
        return MarginalLikelihood(*out)
