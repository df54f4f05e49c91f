"""Several amortizers of one kind as one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._arrays import Scalar, as_count, as_flag, is_whole, output, shown
from .._log import warn_of_foreign
from ..exceptions import ArgumentError, ConfigurationError
from ..networks import require_inference
from ._group import AmortizerGroup
from .likelihood import AmortizedLikelihood
from .posterior import AmortizedPosterior

if TYPE_CHECKING:
    from typing import Sequence

    from .._types import Simulations

_ENGINES = {AmortizedPosterior: "EnsembleOfPosteriors", AmortizedLikelihood: "EnsembleOfLikelihoods"}


class Ensemble(AmortizerGroup):
    """The mixture of several AmortizedPosteriors, or AmortizedLikelihoods, with other first weights (Lakshminarayanan et al. 2017).

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

    def __init__(self, members: AmortizedPosterior | AmortizedLikelihood | Sequence[AmortizedPosterior | AmortizedLikelihood], size: int | None = None, *,
                 name: str | None = None) -> None:  # fmt: skip
        if isinstance(members, tuple(_ENGINES)):
            size = 5 if size is None else as_count(size, "Ensemble: size", 2)
            if members.is_built:
                raise ConfigurationError("Ensemble: the amortizer has weights already, which copies would share; give one without, or a list of trained ones")
            members = [members, *(_again(members, m) for m in range(1, size))]
        elif size is not None:
            raise ConfigurationError("Ensemble: size is for one amortizer, of which members are made; leave it out")
        if not isinstance(members, (list, tuple)) or type(members[0] if members else None) not in _ENGINES or len({type(m) for m in members}) != 1:
            raise ConfigurationError("Ensemble: members must be an AmortizedPosterior or an AmortizedLikelihood, or a list of one of these classes")
        self.members = list(members)
        self._set_up_group(name)

    def _amortizers(self):
        return [(f"member_{m}", member) for m, member in enumerate(self.members)]

    def _take_parts(self):
        for m, member in enumerate(self.members):
            member._engine = self._engine.member(m)

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

    def compute_loss(self, input_dict: Simulations, *, training: bool = False) -> Scalar:
        """Mean over the members of their losses; without dropout and weight decay."""
        require_inference("Ensemble.compute_loss", training)
        losses = self._ready(input_dict).compute_loss(self._inputs(input_dict, True))
        return Scalar(sum(value for name, value in losses.items() if name != "weight_decay"))

    def sample(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, *, seed: int | None = None, keepdims: bool = False) -> np.ndarray:
        """Draws of the mixture, (B, n_samples, width) float32, of one data set (n_samples, width): draw s comes from member s modulo the number of members."""
        if not is_whole(n_samples) or n_samples < 1:
            raise ArgumentError(f"Ensemble.sample: n_samples must be a positive integer; got {shown(n_samples)}")
        draws, foreign = self._ready(input_dict).sample(self.members[0]._inputs(input_dict), n_samples, seed)
        warn_of_foreign(foreign)
        if len(draws) == 1 and not as_flag(keepdims, "Ensemble.sample: keepdims"):
            draws = draws[0]
        return draws if to_numpy else output(draws)

    def log_prob(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """Log density of the mixture, log of the members' mean density: (B,), or (B, N); float32."""
        out, foreign = self._ready(input_dict).log_density(self.members[0]._inputs(input_dict, True))
        warn_of_foreign(foreign)
        return out if to_numpy else output(out)

    def log_posterior(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """`log_prob` of an ensemble of posteriors."""
        self._require(AmortizedPosterior, "log_posterior")
        return self.log_prob(input_dict, to_numpy)

    def log_likelihood(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """`log_prob` of an ensemble of likelihoods."""
        self._require(AmortizedLikelihood, "log_likelihood")
        return self.log_prob(input_dict, to_numpy)

    def _require(self, kind, what):
        if not isinstance(self.members[0], kind):
            raise ConfigurationError(f"Ensemble.{what}: the members are of the class {type(self.members[0]).__name__}; use log_prob")


def _again(amortizer, number):
    """An amortizer with the same options, networks of its own, and another seed."""
    out = copy.copy(amortizer)
    out.inference_net = copy.copy(amortizer.inference_net)
    out.summary_net = copy.copy(amortizer.summary_net)
    for net in out._networks():
        net.seed = None if net.seed is None else net.seed + number
    out._set_up(out.inference_net, out.summary_net, out.latent_dist, out._mmd, f"{out.name}_{number}", None if out.seed is None else out.seed + number, out._threads)
    return out
