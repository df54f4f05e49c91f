"""Inference networks that answer with numbers instead of draws: posterior model probabilities, evidence, point estimates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import as_choice, as_count, as_flag, as_float64, as_number, as_numbers, is_whole, output, shown
from ..default_settings import DEFAULT_SETTING_DENSE_EVIDENTIAL, DEFAULT_SETTING_DENSE_PMP, DEFAULT_SETTING_EVIDENTIAL_NET, DEFAULT_SETTING_PMP_NET, build_meta_dict
from ..exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError
from ._base import _Network, _SummaryNetwork, require_inference
from ._settings import _dense, _few, _name

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Function, Settings, Size

__all__ = ["EvidentialNetwork", "PMPNetwork", "PointNetwork"]


class _Head(_Network):
    """`_settings` are the engine's options; `latent_dim` is the width of the targets."""

    _prefix = "inference_net."

    def __init__(self, seed, name, latent_dim, **settings):
        super().__init__(seed, name)
        self.latent_dim, self._settings = latent_dim, settings
        self._options = self._made()

    def _made(self, loss_fun=None, **changed):
        """The engine's network."""
        return _core.inference_network(type(self).__name__, {**self._settings, **changed}, loss_fun)

    def _outputs(self, condition, training, seed=0):
        owner = type(self).__name__
        require_inference(owner, training)
        if condition is None:
            raise ConfigurationError(f"{owner}: condition must be an array (B, C); got None")
        condition = as_float64(condition, f"{owner}: condition", ndim=(2,))
        if self._owner() is not None:
            return self._owner().run_outputs(condition, seed)
        if self._alone is None:
            self._alone = _core.StandaloneOutputs(self._options, condition.shape[-1], self._seed())
        return self._alone.outputs(condition, seed)

    def _hidden(self):
        hidden = self._settings["hidden"]
        dropout = f", dropout {hidden['dropout_prob']:g}" if hidden["dropout_prob"] else ""
        return f"{hidden['num_dense']} x {hidden['dense']['units']} {hidden['dense']['activation']}{dropout}"

    def __getstate__(self):
        state = super().__getstate__()
        del state["_options"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._options = self._made()


def _hidden_layers(owner, dense_args, default, num_dense, dropout=False, mc_dropout=False, dropout_prob=0.0):
    _few(owner, num_dense=num_dense)
    dropout, mc_dropout = as_flag(dropout, f"{owner}: dropout"), as_flag(mc_dropout, f"{owner}: mc_dropout")
    probability = as_number(dropout_prob, f"{owner}: dropout_prob")
    dense = _dense(default if dense_args is None else dense_args, f"{owner}: dense_args")
    return {"dense": dense, "num_dense": num_dense, "dropout_prob": probability if dropout or mc_dropout else 0.0, "mc_dropout": mc_dropout}


def _softmax(logits):
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


class PMPNetwork(_Head):
    """Posterior model probabilities softmax(f(condition)) by dense layers: (B, C) -> (B, num_models). Of an `AmortizedModelComparison`.

    Parameters
    ----------
    num_models : int
    dense_args : dict, optional
        units, activation, kernel_initializer, ... of the hidden layers. None: 64 units, elu.
    num_dense : int
        Hidden layers.
    dropout, mc_dropout : bool
        Dropout after each hidden layer in training, or always. Switch it off for online training, where no simulation is seen twice.
    dropout_prob : float
    output_activation : "softmax"
    label_smoothing : float
        e: training takes y (1 - e) + e / num_models for the one-hot y. What is learnt is then no posterior probability: v1 has 0.01, with which no Bayes
        factor of two models is above 199.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, num_models: int, dense_args: Settings | None = None, num_dense: int = 3, dropout: bool = True, mc_dropout: bool = False,
                 dropout_prob: float = 0.05, output_activation: Any = "softmax", *, name: str | None = None, label_smoothing: float = 0.0,
                 seed: int | None = None) -> None:  # fmt: skip
        if output_activation != "softmax" and getattr(output_activation, "__name__", "") not in ("softmax", "softmax_v2"):
            raise OperationNotSupportedError('PMPNetwork: output_activation must be "softmax": probabilities of models sum to 1')
        self.num_models = as_count(num_models, "PMPNetwork: num_models", 2)
        hidden = _hidden_layers("PMPNetwork", dense_args, DEFAULT_SETTING_DENSE_PMP, num_dense, dropout, mc_dropout, dropout_prob)
        smoothing = as_number(label_smoothing, "PMPNetwork: label_smoothing")
        super().__init__(seed, name, self.num_models, num_models=self.num_models, hidden=hidden, label_smoothing=smoothing)

    def __repr__(self):
        return f"<PMPNetwork(num_models={self.num_models}), {self._hidden()}; {self._weights()}>"

    def __call__(self, condition: ArrayLike, return_probs: bool = True, *, training: bool = False) -> np.ndarray:
        """Probabilities (B, num_models), or logits."""
        logits = self._outputs(condition, training)
        return output((_softmax(logits) if as_flag(return_probs, "PMPNetwork: return_probs") else logits).astype(np.float32))

    call = __call__

    def posterior_probs(self, condition: ArrayLike, *, training: bool = False) -> np.ndarray:
        """Probabilities of the models, (B, num_models)."""
        return self(condition, True, training=training)

    def logits(self, condition: ArrayLike, *, training: bool = False) -> np.ndarray:
        """Unnormalized log probabilities of the models, (B, num_models)."""
        return self(condition, False, training=training)

    @staticmethod
    def create_config(**kwargs: Any) -> dict[str, Any]:
        """The constructor's arguments with the defaults: ``PMPNetwork(**create_config(num_models=3))``."""
        return _config("PMPNetwork", kwargs, DEFAULT_SETTING_PMP_NET)


class EvidentialNetwork(_Head):
    """A Dirichlet distribution of posterior model probabilities: concentrations 1 + activation(f(condition)), (B, C) -> (B, num_models). Of an
    `AmortizedModelComparison` (Sensoy et al. 2018; Radev et al. 2021).

    Parameters
    ----------
    num_models : int
    dense_args : dict, optional
        units, activation, kernel_initializer, ... of the hidden layers. None: 64 units, elu.
    num_dense : int
        Hidden layers.
    output_activation : str
        Of the evidence: one without negative values, such as "softplus", "relu" or "exponential".
    kl_weight : float
        Weight of the divergence of evidence for wrong models from none, in the loss. 0, as v1 trains, leaves the amount of evidence without meaning: the
        probabilities are right, and `sample` and `AmortizedModelComparison.uncertainty` are errors.
    label_smoothing : float
        As that of `PMPNetwork`.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, num_models: int, dense_args: Settings | None = None, num_dense: int = 3, output_activation: Any = "softplus", *, name: str | None = None,
                 kl_weight: float = 0.0, label_smoothing: float = 0.0, seed: int | None = None) -> None:  # fmt: skip
        self.num_models = as_count(num_models, "EvidentialNetwork: num_models", 2)
        self.kl_weight = as_number(kl_weight, "EvidentialNetwork: kl_weight")
        hidden = _hidden_layers("EvidentialNetwork", dense_args, DEFAULT_SETTING_DENSE_EVIDENTIAL, num_dense)
        super().__init__(
            seed, name, self.num_models, num_models=self.num_models, hidden=hidden, kl_weight=self.kl_weight,
            output_activation=_name(output_activation, "EvidentialNetwork", "output_activation"),
            label_smoothing=as_number(label_smoothing, "EvidentialNetwork: label_smoothing"),
        )  # fmt: skip

    def __repr__(self):
        kl = f", kl_weight={self.kl_weight:g}" if self.kl_weight else ""
        return f"<EvidentialNetwork(num_models={self.num_models}{kl}), {self._hidden()}; {self._weights()}>"

    def evidence(self, condition: ArrayLike, *, training: bool = False) -> np.ndarray:
        """Concentrations of the Dirichlet distribution, (B, num_models), at least 1 each."""
        return output(np.exp(self._outputs(condition, training)).astype(np.float32))

    __call__ = call = evidence

    def sample(self, condition: ArrayLike, n_samples: int, *, seed: int = 0, training: bool = False) -> np.ndarray:
        """Draws of the probabilities, (n_samples, B, num_models), as v1 meant it."""
        if not is_whole(n_samples) or n_samples < 1:
            raise ArgumentError(f"EvidentialNetwork.sample: n_samples must be a positive integer; got {shown(n_samples)}")
        if not self.kl_weight:
            raise ConfigurationError(
                "EvidentialNetwork.sample: with kl_weight = 0 the loss says nothing about the amount of evidence, so that draws would mean nothing; train with kl_weight > 0"
            )
        draws = np.random.default_rng(seed).gamma(self.evidence(condition, training=training), size=(n_samples, len(condition), self.num_models))
        return output((draws / draws.sum(axis=-1, keepdims=True)).astype(np.float32))

    @staticmethod
    def create_config(**kwargs: Any) -> dict[str, Any]:
        """The constructor's arguments with the defaults: ``EvidentialNetwork(**create_config(num_models=3))``."""
        return _config("EvidentialNetwork", kwargs, DEFAULT_SETTING_EVIDENTIAL_NET)


def _config(owner, given, default):
    if "num_models" not in given:
        raise ConfigurationError(f"{owner}.create_config: num_models is required")
    return build_meta_dict(given, {"num_models": None, **default}, f"{owner}.create_config")


class PointNetwork(_Head):
    """Point estimates by dense layers, (B, C) -> (B, num_params), or (B, K, num_params) with K estimates of each parameter. Of an `AmortizedPointEstimator`.

    Parameters
    ----------
    num_params : int
    estimate : str, optional
        What is estimated, by the loss that it minimizes: "mean" (squared error), "mean_and_sd" (K = 2; log s + (y - m)^2 / (2 s^2)), "quantiles" (K = number
        of `levels`; pinball loss; they never cross), "norm_1", "norm_2", "norm_max" (v1's norms of the error: medians, the geometric median, the largest
        error). None: as `norm_ord` of the AmortizedPointEstimator says.
    levels : sequence of float
        Of quantiles, ascending, between 0 and 1. None: 0.05, 0.25, 0.5, 0.75 and 0.95.
    dense_args : dict, optional
        units, activation, kernel_initializer, ... of the hidden layers. None: 64 units, elu.
    num_dense : int
        Hidden layers.
    dropout_prob : float
        After each hidden layer, in training; 0: none.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    def __init__(self, num_params: int, estimate: str | None = None, *, levels: Size | None = None, dense_args: Settings | None = None,
                 num_dense: int = 3, dropout_prob: float = 0.0, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        if estimate is not None:
            as_choice(estimate, "PointNetwork: estimate", ESTIMATES)
        self.num_params, self.estimate = as_count(num_params, "PointNetwork: num_params"), estimate
        if levels is not None and estimate != "quantiles":
            raise ConfigurationError(f'PointNetwork: levels are of estimate="quantiles"; got estimate={estimate!r}')
        self.levels = as_numbers((0.05, 0.25, 0.5, 0.75, 0.95) if levels is None else levels, "PointNetwork: levels")
        hidden = _hidden_layers("PointNetwork", dense_args, DEFAULT_SETTING_DENSE_PMP, num_dense, True, False, dropout_prob)
        super().__init__(seed, name, self.num_params, num_params=self.num_params, estimate=estimate or "mean", levels=list(self.levels), hidden=hidden)

    def __repr__(self):
        estimate = f", {self.estimate!r}" if self.estimate else ""
        return f"<PointNetwork(num_params={self.num_params}{estimate}), {self._hidden()}; {self._weights()}>"

    def __call__(self, condition: ArrayLike, *, training: bool = False) -> np.ndarray:
        """Estimates."""
        out = self._outputs(condition, training).astype(np.float32)
        return output(out if out.shape[1] == self.num_params else out.reshape(len(out), -1, self.num_params))

    call = __call__


ESTIMATES = ("mean", "mean_and_sd", "quantiles", "norm_1", "norm_2", "norm_max")


class _PointBody(_Head):
    """v1's inference network of point estimates: any network (B, C) -> (B, P)."""

    def __init__(self, network):
        self.network = network
        self.num_params, self.estimate = network.summary_dim, None
        super().__init__(network.seed, network.name, self.num_params, num_params=self.num_params, body=network._factory)

    def _made(self, loss_fun=None, **changed):
        return _core.inference_network("PointNetwork", {**self._settings, **changed}, loss_fun)

    def __getstate__(self):
        state = super().__getstate__()
        state["_settings"] = {key: value for key, value in state["_settings"].items() if key != "body"}
        return state

    def __setstate__(self, state):
        state["_settings"] = {**state["_settings"], "body": state["network"]._factory}
        super().__setstate__(state)

    def __repr__(self):
        return repr(self.network)


def as_point_network(net):
    """A PointNetwork, or a network of building blocks in its place."""
    if isinstance(net, PointNetwork):
        return net
    if isinstance(net, _SummaryNetwork):
        return _PointBody(net)
    raise ConfigurationError(
        f"AmortizedPointEstimator: inference_net must be a PointNetwork, or a SummaryNetwork of building blocks that gives the estimates; got {type(net).__name__}"
    )


def estimate_of_norm(norm_ord):
    """v1's norm_ord in the engine's words."""
    number = math.inf if isinstance(norm_ord, str) and norm_ord.lower() == "inf" else 2 if norm_ord == "euclidean" else norm_ord
    names = {1: "norm_1", 2: "norm_2", math.inf: "norm_max"}
    if isinstance(number, (bool, str)) or not isinstance(number, (int, float, np.number)) or float(number) not in names:
        raise ConfigurationError(f"AmortizedPointEstimator: norm_ord must be 1, 2 or numpy.inf; got {shown(norm_ord)}")
    return names[float(number)]
