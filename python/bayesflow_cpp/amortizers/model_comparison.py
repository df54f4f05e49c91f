"""Model comparison."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .. import losses
from .._arrays import as_flag, as_numbers, is_whole, output, shown
from .._log import warn_of_foreign
from ..configuration import DefaultModelComparisonConfigurator
from ..exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError
from ..networks import _SummaryNetwork, require_inference
from ..networks.heads import EvidentialNetwork, PMPNetwork
from ._base import AdapterConfigurator
from ._outputs import AmortizerWithOutputs

if TYPE_CHECKING:
    from typing import Any

    from ..adapters import Adapter
    from .._types import Simulations
    from ..networks import DeepSet


class AmortizedModelComparison(AmortizerWithOutputs):
    """Posterior probabilities of models, p(model | summary_net(summary_conditions), direct_conditions), by a classifier of simulations (Radev et al. 2021).

    Parameters
    ----------
    inference_net : PMPNetwork or EvidentialNetwork
    summary_net : DeepSet, SetTransformer, ..., optional
        Without one, the inputs' direct_conditions are all there is.
    loss_fun : None or losses.log_loss, optional
        None: the cross entropy, without label smoothing. losses.log_loss: as v1 trains by default, with a smoothing of 0.01, or as a
        functools.partial(losses.log_loss, label_smoothing=...) says.
    name : str, optional
        For `summary()` and reprs.
    seed : int, optional
        Of initialization; None: the trainer's. A network's own `seed` goes before.
    threads : int
        0: as many as the machine has.
    adapter : Adapter, optional
        What simulations go through in training, and raw data when probabilities are asked for (docs/adapter.md).

    Inputs are dictionaries with `model_indices` (B, M), one-hot, `summary_conditions` (B, ...) and `direct_conditions` (B, C). The shares of the models among the
    simulations of training are the prior probabilities of the posterior ones.
    """

    _kind, _target, _given = "AmortizedModelComparison", "model_indices", ("summary_conditions", "direct_conditions")
    name = "amortized_model_comparison"

    def __init__(self, inference_net: PMPNetwork | EvidentialNetwork, summary_net: DeepSet | _SummaryNetwork | None = None, loss_fun: Any = None, *,
                 name: str | None = None, seed: int | None = None, threads: int = 0, adapter: Adapter | None = None) -> None:  # fmt: skip
        if isinstance(inference_net, _SummaryNetwork) and isinstance(summary_net, (PMPNetwork, EvidentialNetwork)):
            raise ConfigurationError("AmortizedModelComparison: the inference network comes first, then the summary network; exchange them")
        if not isinstance(inference_net, (PMPNetwork, EvidentialNetwork)):
            raise ConfigurationError(f"AmortizedModelComparison: inference_net must be a PMPNetwork or an EvidentialNetwork; got {type(inference_net).__name__}")
        self._changed = _smoothing(loss_fun)
        self._set_up_with(inference_net, summary_net, name, seed, threads, adapter)

    def _default_configurator(self):
        return DefaultModelComparisonConfigurator(self.num_models)

    @property
    def num_models(self) -> int:
        """How many models are compared."""
        return self.latent_dim

    def __call__(self, input_dict: Simulations, return_summary: bool = False, *, training: bool = False) -> Any:
        """Output of the inference network, as in v1: probabilities (B, M) of a PMPNetwork, concentrations of an EvidentialNetwork; with `return_summary` a
        tuple of it and the summaries."""
        require_inference(self._kind, training)
        out = output(self.evidence(input_dict) if self._is_evidential else self.posterior_probs(input_dict))
        return (out, self.summary(input_dict)) if as_flag(return_summary, f"{self._kind}: return_summary") else out

    call = __call__

    @property
    def _is_evidential(self):
        return self._core.inference_net.startswith("evidential")

    def _asked(self, verb, input_dict, to_numpy, *args):
        raw = self._raw(input_dict)
        if raw is not None:
            indices = np.zeros((len(raw["sim_data"]), self.num_models))
            indices[:, 0] = 1  # which model it is is what is asked: any will do
            input_dict = AdapterConfigurator(self)({**raw, "model_indices": indices})
            del input_dict["model_indices"]
        out, foreign = getattr(self._ready(input_dict), verb)(self._inputs(input_dict), *args)
        warn_of_foreign(foreign)
        return out if to_numpy else output(out)

    def posterior_probs(self, input_dict: Simulations, to_numpy: bool = True, *, seed: int | None = None) -> np.ndarray:
        """Posterior probabilities of the models, (B, M) float32; rows sum to 1. `seed`: of dropout that stays active (`mc_dropout`)."""
        return self._asked("posterior_probs", input_dict, to_numpy, seed)

    def compute_logits(self, input_dict: Simulations, to_numpy: bool = True, *, seed: int | None = None) -> np.ndarray:
        """Unnormalized log probabilities, (B, M): their differences are log posterior odds."""
        return self._asked("compute_logits", input_dict, to_numpy, seed)

    def log_bayes_factors(self, input_dict: Simulations, reference: int = 0, *, model_priors: Any = None, seed: int | None = None) -> np.ndarray:
        """log p(data | model) - log p(data | reference model), (B, M). model_priors: shares of the models in training, which are taken out; None: equal."""
        if not is_whole(reference):
            raise ArgumentError(f"{self._kind}.log_bayes_factors: the reference must be the number of a model; got {shown(reference)}")
        priors = [] if model_priors is None else list(as_numbers(model_priors, f"{self._kind}.log_bayes_factors: model_priors"))
        return self._asked("log_bayes_factors", input_dict, True, reference, priors, seed)

    def bayes_factors(self, input_dict: Simulations, reference: int = 0, *, model_priors: Any = None, seed: int | None = None) -> np.ndarray:
        """p(data | model) / p(data | reference model), (B, M)."""
        return np.exp(self.log_bayes_factors(input_dict, reference, model_priors=model_priors, seed=seed).astype(np.float64))

    def log_prob(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """Log posterior probability of the models that `model_indices` name, (B,): its mean is a proper score."""
        return self._log_density(input_dict, to_numpy)

    def evidence(self, input_dict: Simulations, to_numpy: bool = True, *, seed: int | None = None) -> np.ndarray:
        """Of an EvidentialNetwork: concentrations of the Dirichlet distribution of the probabilities, (B, M), at least 1 each."""
        return self._asked("evidence", input_dict, to_numpy, seed)

    def uncertainty(self, input_dict: Simulations, to_numpy: bool = True, *, seed: int | None = None) -> np.ndarray:
        """Of an EvidentialNetwork with kl_weight > 0: M / sum of the concentrations, (B,), 1 where nothing is known, towards 0 where much is."""
        return self._asked("uncertainty", input_dict, to_numpy, seed)

    def sample(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, *, seed: int | None = None) -> np.ndarray:
        """Of an EvidentialNetwork with kl_weight > 0: draws of the probabilities, (B, n_samples, M)."""
        if not is_whole(n_samples) or n_samples < 1:
            raise ArgumentError(f"{self._kind}.sample: n_samples must be a positive integer; got {shown(n_samples)}")
        return self._asked("sample", input_dict, to_numpy, n_samples, seed)


def _smoothing(loss_fun):
    """Options that a loss function of v1's means."""
    if loss_fun is None:
        return {}
    function, given = (loss_fun.func, dict(loss_fun.keywords)) if isinstance(loss_fun, partial) and not loss_fun.args else (loss_fun, {})
    given.pop("evidential", None)  # the network says it
    if function is not losses.log_loss or set(given) - {"label_smoothing"}:
        raise OperationNotSupportedError(
            "AmortizedModelComparison: loss_fun must be None or losses.log_loss, which posterior probabilities minimize; a loss of your own is a class in C++ that derives from InferenceNetwork"
        )
    smoothing = given.get("label_smoothing", 0.01)
    return {"label_smoothing": 0.0 if smoothing is None else smoothing}
