"""Amortizers of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_count, as_path
from ..latents import MultivariateStudentT
from ..networks import as_net_name
from ._loaded_networks import LoadedHead, LoadedInvertible, LoadedSummary
from .ensemble import Ensemble
from .joint import AmortizedPosteriorLikelihood
from .likelihood import AmortizedLikelihood
from .model_comparison import AmortizedModelComparison
from .point_estimator import AmortizedPointEstimator
from .posterior import AmortizedPosterior
from .two_level import TwoLevelAmortizedPosterior

if TYPE_CHECKING:
    from typing import Any

    from .._types import Path


_CLASSES = {kind._kind: kind for kind in (AmortizedPosterior, AmortizedLikelihood, AmortizedModelComparison, AmortizedPointEstimator)}


def load_amortizer(path: Path, *, threads: int = 0, verify: bool = True) -> Any:
    """Rebuilds an amortizer, an object of the class that was saved, from a file that its `save`, or the C++ library, wrote: same draws, bit for bit, on the same kind of CPU.

    `amortizer.info` is what the file says about itself. Raises IoError: no such file, another kind of file, a newer format, cut short, damaged.
    """
    threads = as_count(threads, "load_amortizer: threads", 0)
    engine, info = _core.load_amortizer(as_path(path, "load_amortizer: path"), threads, verify)
    return _of_engine(engine, info, threads)


def _of_engine(engine, info, threads):
    if isinstance(engine, _core.Amortizer):
        return _single(engine, info, threads)
    make = {"TwoLevelAmortizedPosterior": _two_level, "AmortizedPosteriorLikelihood": _joint}.get(type(engine).__name__, _ensemble)
    return make(engine, info, threads)


def _two_level(engine, info, threads):
    out = TwoLevelAmortizedPosterior.__new__(TwoLevelAmortizedPosterior)
    out._engine, out.info, out._threads, out._trained = engine, info, threads, _facts_of(info)
    out.local_amortizer, out.global_amortizer = (_single(part, info, threads) for part in (engine.local, engine.global_))
    out.name = as_net_name(None, out)
    return out


def _joint(engine, info, threads):
    out = AmortizedPosteriorLikelihood.__new__(AmortizedPosteriorLikelihood)
    out._engine, out.info, out._threads, out._trained = engine, info, threads, _facts_of(info)
    out.amortized_posterior, out.amortized_likelihood = (_single(part, info, threads) for part in (engine.posterior, engine.likelihood))
    out.name = as_net_name(None, out)
    return out


def _ensemble(engine, info, threads):
    out = Ensemble.__new__(Ensemble)
    out._engine, out.info, out._threads, out._trained = engine, info, threads, _facts_of(info)
    out.members = [_of_engine(engine.member(m), info, threads) for m in range(engine.size)]
    out.name = as_net_name(None, out)
    return out


def _facts_of(info):
    """What training did, for files that are written later."""
    return {key: info[key] for key in ("simulations", "final_loss", "final_validation_loss", "seed")}


def _single(engine, info, threads):
    kind = _CLASSES[type(engine).__name__]
    out = kind.__new__(kind)
    out._engine, out.info, out._threads, out.seed, out._mmd = engine, info, threads, None, engine.summary_mmd_weight
    # "student_t(2.5)"; files of Python hold no other latent than this and the normal one
    student_t = engine.latent.startswith("student_t(")
    out.latent_dist = MultivariateStudentT(float(engine.latent[len("student_t(") : -1])) if student_t else None
    out._given_adapter = None
    out.latent_dim, out._owner, out._disowned = engine.target_width, None, False
    out.name = as_net_name(None, out)
    out._trained = _facts_of(info)
    out.inference_net = (LoadedInvertible if engine.latent else LoadedHead)(out, engine.target_width)
    out.summary_net = LoadedSummary(out) if engine.has_summary_net else None
    return out
