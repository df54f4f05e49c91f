"""Several amortizers of one kind as one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import Scalar, as_count, as_flag, as_numbers, is_whole, output, shown
from .._log import warn_of_foreign
from ..exceptions import ArgumentError, ConfigurationError
from ..networks import require_inference
from ._group import AmortizerGroup
from .joint import AmortizedPosteriorLikelihood
from .likelihood import AmortizedLikelihood
from .model_comparison import AmortizedModelComparison
from .point_estimator import AmortizedPointEstimator
from .posterior import AmortizedPosterior
from .two_level import TwoLevelAmortizedPosterior

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .._types import Simulations
    from ._base import Amortizer

_ENGINES = {
    AmortizedPosterior: "EnsembleOfPosteriors",
    AmortizedLikelihood: "EnsembleOfLikelihoods",
    AmortizedModelComparison: "EnsembleOfModelComparisons",
    AmortizedPointEstimator: "EnsembleOfPointEstimators",
    AmortizedPosteriorLikelihood: "EnsembleOfJointAmortizers",
    TwoLevelAmortizedPosterior: "EnsembleOfTwoLevelPosteriors",
}


class Ensemble(AmortizerGroup):
    """Several amortizers of one class with other first weights, as one (Lakshminarayanan et al. 2017): the mixture of posteriors, likelihoods or two-level
    posteriors; the mean of a model comparison's probabilities or of point estimates; of joint amortizers the mixtures `posterior()` and `likelihood()`.

    Parameters
    ----------
    members : an amortizer without weights yet, or a list of at least two
        Of one amortizer `size` members are made: networks with the same options and weights of their own. Members of a list that have weights
        (trained elsewhere, or loaded) are used together; those without are trained together.
    size : int, optional
        How many, with one amortizer: 5 if it is left out.
    name : str, optional

    A trainer simulates every batch once for all members. Each gets, bit for bit, the weights that a trainer of the same seed would give it alone;
    without seeds of their own they start from the trainer's seed, that seed + 1, ... Losses are means over the members.
    """

    _kind, _takes_trained = "Ensemble", True
    name = "ensemble"

    def __init__(self, members: Amortizer | Sequence[Amortizer], size: int | None = None, *, name: str | None = None) -> None:
        if isinstance(members, tuple(_ENGINES)):
            size = 5 if size is None else as_count(size, "Ensemble: size", 2)
            if members.is_built:
                raise ConfigurationError("Ensemble: the amortizer has weights already, which copies would share; give one without, or a list of trained ones")
            members = [members, *(_again(members, m) for m in range(1, size))]
        elif size is not None:
            raise ConfigurationError("Ensemble: size is for one amortizer, of which members are made; leave it out")
        if not isinstance(members, (list, tuple)) or type(members[0] if members else None) not in _ENGINES or len({type(m) for m in members}) != 1:
            raise ConfigurationError(f"Ensemble: members must be an amortizer, or a list of amortizers of one class, of {', '.join(kind._kind for kind in _ENGINES)}")
        self.members = list(members)
        self._set_up_group(name)

    def _amortizers(self):
        return [(f"member_{m}", member) for m, member in enumerate(self.members)]

    def _take_parts(self):
        for m, member in enumerate(self.members):
            member._engine = self._engine.member(m)
            if isinstance(member, AmortizerGroup):
                member._take_parts()

    def _learns(self):
        return self.members[0]._learns()

    def _default_configurator(self):
        return self.members[0]._default_configurator()

    def _join(self):
        return getattr(_core, _ENGINES[type(self.members[0])])([member._core for member in self.members])

    _target = property(lambda self: self.members[0]._target)
    _given = property(lambda self: self.members[0]._given)

    @property
    def latent_dim(self) -> int:
        """Width of what is learnt."""
        return self.members[0].latent_dim

    def __len__(self):
        return len(self.members)

    def _inputs(self, input_dict, target=False):
        return super()._inputs(self.members[0]._flat(input_dict), target)

    def compute_loss(self, input_dict: Simulations, *, training: bool = False) -> Any:
        """Mean over the members of their losses; without dropout and weight decay. As of one member, a number, or one for each of its parts."""
        require_inference("Ensemble.compute_loss", training)
        if isinstance(self.members[0], AmortizerGroup):
            return super().compute_loss(input_dict)
        losses = self._ready(input_dict).compute_loss(self._inputs(input_dict, True))
        return Scalar(sum(value for name, value in losses.items() if name != "weight_decay"))

    def sample(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, *, seed: int | None = None, keepdims: bool = False) -> Any:
        """Draws of the mixture of posteriors or likelihoods, (B, n_samples, width) float32, of one data set (n_samples, width); of two-level posteriors the
        dictionary that one gives. Draw s comes from member s modulo the number of members."""
        self._require("sample", AmortizedPosterior, AmortizedLikelihood, TwoLevelAmortizedPosterior)
        if not is_whole(n_samples) or n_samples < 1:
            raise ArgumentError(f"Ensemble.sample: n_samples must be a positive integer; got {shown(n_samples)}")
        keepdims = as_flag(keepdims, "Ensemble.sample: keepdims")
        if isinstance(self.members[0], TwoLevelAmortizedPosterior):
            draws = self._two_level_draws(input_dict, n_samples, seed)
            if len(draws["global_samples"]) == 1 and not keepdims:
                draws = {key: value[0] for key, value in draws.items()}
            return draws if to_numpy else {key: output(value) for key, value in draws.items()}
        draws, foreign = self._ready(input_dict).sample(self.members[0]._inputs(input_dict), n_samples, seed)
        warn_of_foreign(foreign)
        if len(draws) == 1 and not keepdims:
            draws = draws[0]
        return draws if to_numpy else output(draws)

    def _two_level_draws(self, input_dict, n_samples, seed):
        self._ready(input_dict)
        count = len(self)
        of_members = [
            member.sample(input_dict, (n_samples - m + count - 1) // count, seed=None if seed is None else seed + m, keepdims=True)
            for m, member in enumerate(self.members[:n_samples])
        ]
        out = {}
        for key, axis in (("global_samples", 1), ("local_samples", 2)):
            parts = [np.moveaxis(draws[key], axis, 0) for draws in of_members]
            joined = np.empty((n_samples, *parts[0].shape[1:]), parts[0].dtype)
            for m, part in enumerate(parts):
                joined[m::count] = part
            out[key] = np.ascontiguousarray(np.moveaxis(joined, 0, axis))
        return out

    def log_prob(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """Log density of the mixture, log of the members' mean density: (B,), or (B, N); float32. Of model comparisons the log of the mean probability of the
        models that `model_indices` name."""
        self._require("log_prob", AmortizedPosterior, AmortizedLikelihood, TwoLevelAmortizedPosterior, AmortizedModelComparison)
        if isinstance(self.members[0], (TwoLevelAmortizedPosterior, AmortizedModelComparison)):
            self._ready(input_dict)
            out = _log_mean_exp([member.log_prob(input_dict) for member in self.members])
        else:
            out, foreign = self._ready(input_dict).log_density(self.members[0]._inputs(input_dict, True))
            warn_of_foreign(foreign)
        return out if to_numpy else output(out)

    def posterior_probs(self, input_dict: Simulations, to_numpy: bool = True, *, seed: int | None = None) -> np.ndarray:
        """Of model comparisons: means of the members' probabilities, (B, M) float32."""
        return self._mean("posterior_probs", AmortizedModelComparison, input_dict, to_numpy, seed)

    def log_bayes_factors(self, input_dict: Simulations, reference: int = 0, *, model_priors: Any = None, seed: int | None = None) -> np.ndarray:
        """Of model comparisons: log p(data | model) - log p(data | reference model), (B, M), of the mean probabilities. model_priors: shares of the models in
        training, which are taken out; None: equal."""
        log_probs = np.log(self.posterior_probs(input_dict, seed=seed).astype(np.float64))
        count = log_probs.shape[1]
        if not is_whole(reference) or not 0 <= reference < count:
            raise ArgumentError(f"Ensemble.log_bayes_factors: the reference must be the number of a model, 0 to {count - 1}; got {shown(reference)}")
        if model_priors is not None:
            priors = np.asarray(as_numbers(model_priors, "Ensemble.log_bayes_factors: model_priors"))
            if len(priors) != count or (priors <= 0).any():
                raise ArgumentError(f"Ensemble.log_bayes_factors: model_priors must be {count} positive numbers; got {shown(model_priors)}")
            log_probs -= np.log(priors)
        return (log_probs - log_probs[:, [reference]]).astype(np.float32)

    def bayes_factors(self, input_dict: Simulations, reference: int = 0, *, model_priors: Any = None, seed: int | None = None) -> np.ndarray:
        """Of model comparisons: p(data | model) / p(data | reference model), (B, M)."""
        return np.exp(self.log_bayes_factors(input_dict, reference, model_priors=model_priors, seed=seed).astype(np.float64))

    def estimate(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """Of point estimators: means of the members' estimates, in the shape that one gives."""
        return self._mean("estimate", AmortizedPointEstimator, input_dict, to_numpy, None)

    def _mean(self, verb, kind, input_dict, to_numpy, seed):
        self._require(verb, kind)
        out, foreign = getattr(self._ready(input_dict), verb)(self.members[0]._inputs(input_dict), seed)
        warn_of_foreign(foreign)
        return out if to_numpy else output(out)

    def posterior(self) -> Ensemble:
        """Of joint amortizers with weights: the ensemble of their posteriors."""
        return self._of_part("posterior", "amortized_posterior")

    def likelihood(self) -> Ensemble:
        """Of joint amortizers with weights: the ensemble of their likelihoods."""
        return self._of_part("likelihood", "amortized_likelihood")

    def _of_part(self, verb, part):
        self._require(verb, AmortizedPosteriorLikelihood)
        if not self.is_built:
            raise ConfigurationError(f"Ensemble.{verb}: the members have no weights yet; train them first")
        return Ensemble([getattr(member, part) for member in self.members])

    def log_posterior(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """`log_prob` of an ensemble of posteriors."""
        self._require("log_posterior", AmortizedPosterior, TwoLevelAmortizedPosterior)
        return self.log_prob(input_dict, to_numpy)

    def log_likelihood(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """`log_prob` of an ensemble of likelihoods."""
        self._require("log_likelihood", AmortizedLikelihood)
        return self.log_prob(input_dict, to_numpy)

    def _require(self, verb, *kinds):
        if not isinstance(self.members[0], kinds):
            can = {AmortizedModelComparison: "posterior_probs", AmortizedPointEstimator: "estimate", AmortizedPosteriorLikelihood: "posterior() or likelihood()"}
            raise ConfigurationError(f"Ensemble.{verb}: the members are of the class {self.members[0]._kind}; use {can.get(type(self.members[0]), 'log_prob')}")


def _log_mean_exp(values):
    values = np.asarray(values, np.float64)
    largest = np.max(values, axis=0)
    largest = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore"):
        return (largest + np.log(np.mean(np.exp(values - largest), axis=0))).astype(np.float32)


def _again(amortizer, number):
    """An amortizer with the same options, networks of its own, and another seed."""
    if isinstance(amortizer, AmortizerGroup):
        return type(amortizer)(*(_again(part, number) for _, part in amortizer._amortizers()), name=f"{amortizer.name}_{number}")
    out = copy.copy(amortizer)
    out.inference_net = copy.copy(amortizer.inference_net)
    out.summary_net = copy.copy(amortizer.summary_net)
    for net in out._networks():
        net.seed = None if net.seed is None else net.seed + number
    seed = None if out.seed is None else out.seed + number
    out._set_up(out.inference_net, out.summary_net, out.latent_dist, out._mmd, f"{out.name}_{number}", seed, out._threads, out._given_adapter)
    return out
