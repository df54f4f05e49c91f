"""Amortizers: networks with their loss, sampling and density."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._absent import absent, page
from ._arrays import Scalar, as_arguments, as_batch, as_count, as_flag, as_float64, as_number, as_names, as_path, is_whole, output, shown
from ._log import warn_of_foreign
from .exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError, SummaryStatsError
from .latents import MultivariateStudentT
from .networks import InvertibleNetwork, _SummaryNetwork, as_net_name, print_summary, require_inference

if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from ._types import ArrayLike, Function, Names, Path, Simulations
    from .building_blocks import SummaryNetwork
    from .networks import DeepSet

__all__ = ["AmortizedPosterior", "AmortizedLikelihood", "load_amortizer"]


def alternatives(names):
    """'"a" or "b"'."""
    return " or ".join(f'"{name}"' for name in names)


class _Amortizer:
    """What the amortizers have in common. A class says what it learns (`_target`), given what (`_given`), and its network's name in its arguments."""

    _kind, _target, _given, _net = "", "", (), "inference_net"
    name, _owner, _disowned = "amortizer", None, False  # of pickles that are older than these

    def _set_up(self, inference_net, summary_net, latent_dist, mmd, name, seed, threads):
        if latent_dist is not None and not isinstance(latent_dist, MultivariateStudentT):
            raise OperationNotSupportedError(f"{self._kind}: latent_dist must be None or latents.MultivariateStudentT(df)")
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise ConfigurationError(f"{self._kind}: seed must be a whole number or None; got {seed!r}")
        self.inference_net, self.summary_net, self.latent_dist = inference_net, summary_net, latent_dist
        self.latent_dim = inference_net.latent_dim
        self.seed, self._threads, self._mmd = seed, as_count(threads, f"{self._kind}: threads", 0), mmd
        self._engine, self.info = None, None
        self.name = as_net_name(name, self)
        self._trained = {}  # what a trainer did, for files
        self._disowned = False
        self._owner = self._shared()
        for net in self._networks() if self._owner is None else ():
            net._amortizer = self

    def _networks(self):
        return [net for net in (self.inference_net, self.summary_net) if net is not None]

    def _shared(self):
        """The amortizer whose weights these networks carry already; None: there is none."""
        owners = {id(net._amortizer): net._amortizer for net in self._networks() if net._amortizer is not None}
        for owner in owners.values():
            mine, theirs = self._sharing(), owner._sharing()
            if self.seed is None:
                mine["seed"] = theirs["seed"]
            other = [f"{key} = {theirs[key]!r}; got {value!r}" for key, value in mine.items() if value != theirs[key]]
            if owner.is_built and owner._kind != self._kind:
                raise ConfigurationError(
                    f"{self._kind}: {self._net} carries the weights of an {owner._kind}; give copy.copy({self._net}), which has the same options and weights of its own"
                )
            if owner.is_built:
                net = self._net if self.inference_net._amortizer is owner else "summary_net"
                if owner.inference_net is not self.inference_net or owner.summary_net is not self.summary_net:
                    raise ConfigurationError(
                        f"{self._kind}: {net} carries the weights of another amortizer, whose other network is not the one given here; amortizers share all of their "
                        f"networks or none. Give both networks of that amortizer, or copy.copy({net}), which has the same options and weights of its own"
                    )
                if other:
                    raise ConfigurationError(
                        f"{self._kind}: these networks carry the weights of another amortizer, which has {other[0]}. Make new networks, or give "
                        "copy.copy(net) for each, which has the same options and weights of its own"
                    )
            elif owner._kind != self._kind or other or owner.inference_net is not self.inference_net or owner.summary_net is not self.summary_net:
                owner._disowned = True
                continue
            return owner
        return None

    def _sharing(self):
        return dict(latent_dist=self._df, summary_loss_weight=self._mmd, seed=self.seed, threads=self._threads)

    @property
    def _df(self):
        return None if self.latent_dist is None else self.latent_dist.df

    @property
    def _core(self):
        if self._owner is not None:
            return self._owner._core
        if self._disowned:
            raise ConfigurationError(f"{self._kind}: before this amortizer had weights, its networks were given to another one; use that, or make new networks")
        if self._engine is None:
            flow, summary = self.inference_net, self.summary_net
            seeds = [flow.seed, None if summary is None else summary.seed]
            seed, given = self.seed, set(seeds) - {None}
            if seed is None and len(given) == 1:
                seed = given.pop()
            self._engine = getattr(_core, self._kind)(flow._options, None if summary is None else summary._factory, self._df, self._mmd, seed, *seeds, self._threads)
        return self._engine

    def _parts(self):
        return [("inference_net", self.inference_net), ("summary_net", self.summary_net)][: len(self._networks())]

    def _table(self):
        return self.weights(), sum(self._core.buffers().values())

    @property
    def is_built(self) -> bool:
        """Whether the weights are there: after the first trainer or call."""
        owner = self if self._owner is None else self._owner
        return owner._engine is not None and owner._engine.is_built

    def __repr__(self):
        weights = f"{self.number_of_parameters:,} weights" if self.is_built else "no weights yet"
        latent = "" if self.latent_dist is None else f", latents {self.latent_dist!r}"
        return f"<{self._kind} of {self.latent_dim} {self._target}{self._in_words(latent)}; {weights}>"

    def _in_words(self, latent):
        return latent

    @property
    def number_of_parameters(self) -> int:
        """Trainable weights."""
        return self._core.number_of_parameters

    def weights(self) -> dict[str, np.ndarray]:
        """{dotted name: float32 array}, copies."""
        return self._core.weights()

    def _latents(self, input_dict):
        z, log_det_J = self._ready(input_dict).forward(self._inputs(input_dict, True))
        return output(z), output(log_det_J)

    def _log_density(self, input_dict, to_numpy):
        out, foreign = self._ready(input_dict).log_density(self._inputs(input_dict, True))
        warn_of_foreign(foreign)
        return out if to_numpy else output(out)

    def compute_loss(self, input_dict: Simulations, *, training: bool = False) -> Scalar:
        """Mean of -log q, plus the summary loss; without dropout and weight decay."""
        require_inference(f"{self._kind}.compute_loss", training)
        loss, summary_loss, _ = self._ready(input_dict).compute_loss(self._inputs(input_dict, True))
        return Scalar(loss + summary_loss)

    def sample(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, *, seed: int | None = None, keepdims: bool = False) -> np.ndarray:
        """Draws for each data set: (B, n_samples, width) float32; of one data set (n_samples, width), as in v1, or (1, n_samples, width) with `keepdims`.

        `seed`: the same seed gives the same draws, for any number of threads, as in C++. None: another seed for every call, 0, 1, 2, ...
        """
        if isinstance(n_samples, dict):
            raise ConfigurationError(f"{self._kind}.sample: the inputs come first, then n_samples: sample(input_dict, 1000)")
        if not is_whole(n_samples) or n_samples < 1:
            raise ArgumentError(f"{self._kind}.sample: n_samples must be a positive integer; got {shown(n_samples)}")
        keepdims = as_flag(keepdims, f"{self._kind}.sample: keepdims")
        draws, foreign = self._ready(input_dict).sample(self._inputs(input_dict), n_samples, seed)
        warn_of_foreign(foreign)
        if len(draws) == 1 and not keepdims:
            draws = draws[0]
        return draws if to_numpy else output(draws)

    def sample_loop(self, input_list: Sequence[Simulations], n_samples: int, to_numpy: bool = True, *, seed: int | None = None) -> np.ndarray:
        """The same for a list of inputs, joined on axis 0: (number of data sets, n_samples, width); with a `seed` the i-th has seed + i."""
        inputs_list = _inputs_list(input_list, f"{self._kind}.sample_loop")
        seeds = [None if seed is None else seed + i for i in range(len(inputs_list))]
        draws = np.concatenate([self.sample(inputs, n_samples, seed=s, keepdims=True) for inputs, s in zip(inputs_list, seeds)])
        return draws if to_numpy else output(draws)

    def foreign(self, input_dict: Simulations) -> list[_core.Foreign]:
        """How these data are unlike those of training: an object for each kind, with .kind, .name, .low, .high, .seen_low, .seen_high, .share, .sentence.

        `sample` and `log_prob` warn with the same sentences (ForeignDataWarning). Empty also if no training is known (files of earlier versions)."""
        return self._ready(input_dict).foreign(self._inputs(input_dict))

    def save(self, path: Path, *, description: str = "", param_names: Names | None = None, constants: Mapping[str, ArrayLike] | None = None) -> None:
        """Writes networks and weights to a file ("model.h5"), at once or not at all. `constants`: {name: array}, what your configurator needs.

        The file also says what training did: simulations, last losses, seed. All of it is in `load_amortizer(path).info`."""
        arrays = {name: as_float64(value, f"constants[{name!r}]") for name, value in as_arguments(constants, "constants").items()}
        names = as_names(param_names, f"{self._kind}.save: param_names")
        self._core.save(as_path(path, f"{self._kind}.save: path"), description, names, arrays, **self._trained)

    def _ready(self, input_dict):
        """The engine, with weights."""
        core = self._core
        if not core.is_built:
            core.build(self._inputs(input_dict))
        return core

    def _inputs(self, input_dict, target=False):
        if not isinstance(input_dict, dict):
            raise ConfigurationError(f"{self._kind}: the input must be a dictionary, as a configurator makes it; got {type(input_dict).__name__}")
        if target and input_dict.get(self._target) is None:
            raise ConfigurationError(f'{self._kind}: the input needs "{self._target}"; got the keys {sorted(input_dict)}')
        if all(input_dict.get(role) is None for role in self._given):
            raise SummaryStatsError(
                f"{self._kind}: the input needs {alternatives(self._given)}; got the keys {sorted(input_dict)}. "
                "What a generative model returns goes through trainer.configurator first"
            )
        batch = as_batch(input_dict)
        if not target:  # draws and summaries do not look at it
            batch.pop(self._target, None)
        return batch

    def __getstate__(self):
        state = dict(self.__dict__)
        state.pop("_engine")
        if self._owner is None and self.is_built:
            engine = self._engine
            state["_calls"] = engine.unseeded_calls
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.h5")
                engine.save(path, "", [], {})
                with open(path, "rb") as file:
                    state["_file"] = file.read()
        return state

    def __setstate__(self, state):
        file, calls = state.pop("_file", None), state.pop("_calls", 0)
        self.__dict__.update(state)
        self._engine = None
        for net in self._networks() if self._owner is None else ():
            net._amortizer = self
        if file is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.h5")
                with open(path, "wb") as out:
                    out.write(file)
                self._engine, _ = _core.load_amortizer(path, self._threads, True)
            self._engine.unseeded_calls = calls


class AmortizedPosterior(_Amortizer):
    """q(parameters | summary_net(summary_conditions), direct_conditions) by a conditional flow (Radev et al. 2020).

    Parameters
    ----------
    inference_net : InvertibleNetwork
    summary_net : DeepSet or SummaryNetwork, optional
        Without one, the inputs' direct_conditions are all there is.
    latent_dist : latents.MultivariateStudentT, optional
        None: standard normal.
    summary_loss_fun : "MMD", optional
        Adds the squared maximum mean discrepancy between summaries and standard normals to the loss, times `summary_loss_weight`.
    name : str, optional
        For `summary()` and reprs.
    seed : int, optional
        Of initialization; None: the trainer's. A network's own `seed` goes before.
    threads : int
        For sampling and densities; 0: as many as the machine has.

    Networks carry their weights, as in v1: amortizers made of the same network objects share them. Sharing one network of two is an error; `copy.copy(net)`
    gives a network with the same options and weights of its own.

    Inputs are dictionaries with `parameters` (B, P) or (B, N, P), `summary_conditions` (B, ...) and `direct_conditions` (B, C).
    """

    _kind, _target, _given = "AmortizedPosterior", "parameters", ("summary_conditions", "direct_conditions")
    name = "amortized_posterior"
    latent_is_dynamic = False

    def __init__(self, inference_net: InvertibleNetwork, summary_net: DeepSet | SummaryNetwork | None = None,
                 latent_dist: MultivariateStudentT | None = None, latent_is_dynamic: bool = False, summary_loss_fun: Any = None, *,
                 name: str | None = None, summary_loss_weight: float = 1.0, seed: int | None = None, threads: int = 0) -> None:  # fmt: skip
        if isinstance(inference_net, _SummaryNetwork) and isinstance(summary_net, InvertibleNetwork):
            raise ConfigurationError("AmortizedPosterior: the inference network comes first, then the summary network; exchange them")
        if not isinstance(inference_net, InvertibleNetwork):
            raise ConfigurationError(f"AmortizedPosterior: inference_net must be an InvertibleNetwork; got {type(inference_net).__name__}")
        if summary_net is not None and not isinstance(summary_net, _SummaryNetwork):
            raise ConfigurationError(
                f"AmortizedPosterior: summary_net must be a DeepSet or a SummaryNetwork; got {type(summary_net).__name__}. A network of your own is "
                f"written with this package's building blocks ({page('python_networks.md')})"
            )
        if as_flag(latent_is_dynamic, "AmortizedPosterior: latent_is_dynamic"):
            raise OperationNotSupportedError("AmortizedPosterior: a latent distribution that depends on the conditions is not there; use latent_is_dynamic=False")
        if summary_loss_fun is not None and str(summary_loss_fun).upper() != "MMD":
            raise OperationNotSupportedError('AmortizedPosterior: summary_loss_fun must be None or "MMD"')
        if summary_loss_fun is not None and summary_net is None:
            raise ConfigurationError("AmortizedPosterior: summary_loss_fun needs a summary_net")
        mmd = as_number(summary_loss_weight, "AmortizedPosterior: summary_loss_weight") if summary_loss_fun is not None else 0.0
        self._set_up(inference_net, summary_net, latent_dist, mmd, name, seed, threads)

    @property
    def summary_loss(self) -> Function | None:
        """The function of summaries whose value joins the loss, `summary_loss_weight` times; None: none."""
        from .losses import mmd_summary_space

        return mmd_summary_space if self._mmd else None

    def _in_words(self, latent):
        summary = "no summary network" if self.summary_net is None else f"summary network {type(self.summary_net).__name__}"
        if isinstance(self.summary_net, _LoadedSummary):
            summary = "a summary network"
        mmd = f", MMD of summaries x {self._mmd:g}" if self._mmd else ""
        return f", {summary}{latent}{mmd}"

    def __call__(self, input_dict: Simulations, return_summary: bool = False, *, training: bool = False) -> tuple[Any, Any]:
        """Latents z of the parameters and log-determinants: ((B, P), (B,)) float32; with `return_summary` ((z, log_det_J), summaries)."""
        require_inference("AmortizedPosterior", training)
        out = self._latents(input_dict)
        return (out, self.summary(input_dict)) if return_summary else out

    call = __call__

    def call_loop(self, input_list: Sequence[Simulations], return_summary: bool = False, *, training: bool = False) -> tuple[Any, Any]:
        """The same for a list of inputs, joined on axis 0."""
        parts = [self(inputs, return_summary, training=training) for inputs in _inputs_list(input_list, f"{self._kind}.call_loop")]
        join = lambda arrays: output(np.concatenate(arrays))  # noqa: E731
        if return_summary:
            return (join([p[0][0] for p in parts]), join([p[0][1] for p in parts])), join([p[1] for p in parts])
        return join([p[0] for p in parts]), join([p[1] for p in parts])

    def summary(self, input_dict: Simulations | None = None, *, print_fn: Function | None = None, expand_nested: bool = False) -> np.ndarray | None:
        """Outputs of the summary network, (B, summary_dim) float32; None without one.

        Without inputs, what Keras' models print by that name: a table of the networks and their numbers of weights; `expand_nested`: of all layers;
        `print_fn`: a function that is given each line instead."""
        if input_dict is None:
            print_summary(self, print_fn, expand_nested)
            return None
        if self.summary_net is None:
            return None
        return output(self._ready(input_dict).summary(self._inputs(input_dict)))

    def log_posterior(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """log q(parameters | conditions): (B,), or (B, N) for 3-D parameters; float32."""
        return self._log_density(input_dict, to_numpy)

    log_prob = log_posterior


class AmortizedLikelihood(_Amortizer):
    """q(observables | conditions) by a conditional flow: a surrogate of the simulator, for single observations (Papamakarios et al. 2019).

    Parameters
    ----------
    surrogate_net : InvertibleNetwork
        Its `num_params` is the number of values of one observation.
    latent_dist : latents.MultivariateStudentT, optional
        None: standard normal.
    name : str, optional
        For `summary()` and reprs.
    seed : int, optional
        Of initialization; None: the trainer's. The network's own `seed` goes before.
    threads : int
        For sampling and densities; 0: as many as the machine has.

    Inputs are dictionaries with `observables` (B, D), or (B, N, D) for N independent observations of each data set, and `conditions` (B, C):
    parameters, and what else the simulator was given. The network carries its weights, as in v1.
    """

    _kind, _target, _given, _net = "AmortizedLikelihood", "observables", ("conditions",), "surrogate_net"
    name = "amortized_likelihood"

    def __init__(self, surrogate_net: InvertibleNetwork, latent_dist: MultivariateStudentT | None = None, *, name: str | None = None, seed: int | None = None,
                 threads: int = 0) -> None:  # fmt: skip
        if not isinstance(surrogate_net, InvertibleNetwork):
            raise ConfigurationError(f"AmortizedLikelihood: surrogate_net must be an InvertibleNetwork; got {type(surrogate_net).__name__}")
        self._set_up(surrogate_net, None, latent_dist, 0.0, name, seed, threads)

    @property
    def surrogate_net(self) -> InvertibleNetwork:
        """The network."""
        return self.inference_net

    def __call__(self, input_dict: Simulations, *, training: bool = False) -> tuple[Any, Any]:
        """Latents z of the observables and log-determinants: ((B, D), (B,)), or ((B, N, D), (B, N)); float32."""
        require_inference("AmortizedLikelihood", training)
        return self._latents(input_dict)

    call = __call__

    def call_loop(self, input_list: Sequence[Simulations], *, training: bool = False) -> tuple[Any, Any]:
        """The same for a list of inputs, joined on axis 0."""
        parts = [self(inputs, training=training) for inputs in _inputs_list(input_list, "AmortizedLikelihood.call_loop")]
        z, log_det_J = (output(np.concatenate(arrays)) for arrays in zip(*parts))
        return z, log_det_J

    def summary(self, *, print_fn: Function | None = None, expand_nested: bool = False) -> None:
        """Prints Keras' table: the network and its number of weights; `expand_nested`: all layers; `print_fn` is given each line instead."""
        print_summary(self, print_fn, expand_nested)

    def log_likelihood(self, input_dict: Simulations, to_numpy: bool = True) -> np.ndarray:
        """log q of every observation: (B,), or (B, N) for 3-D observables; float32. That of a data set is the sum over its N observations."""
        return self._log_density(input_dict, to_numpy)

    log_prob = log_likelihood


def _inputs_list(inputs, owner):
    if isinstance(inputs, dict) or not hasattr(inputs, "__iter__"):
        raise ConfigurationError(f"{owner}: a list of input dictionaries is required; got {type(inputs).__name__}")
    inputs = list(inputs)
    if not inputs:
        raise ConfigurationError(f"{owner}: the list of inputs is empty")
    return inputs


class _LoadedSummary(_SummaryNetwork):
    def __init__(self, amortizer):
        super().__init__(None, "summary_network")
        self._amortizer = amortizer

    @property
    def _factory(self):
        raise ConfigurationError("a network of a file cannot be made again without its weights; make a new one with the same options")

    def __repr__(self):
        return f"<summary network of a file; {self._weights()}>"


class _LoadedInvertible(InvertibleNetwork):
    def __init__(self, amortizer, num_params):
        self.seed, self._alone, self._amortizer, self.latent_dim, self.name = None, None, amortizer, num_params, "invertible_network"

    _options = _LoadedSummary._factory

    def __repr__(self):
        return f"<InvertibleNetwork(num_params={self.latent_dim}) of a file; {self._weights()}>"

    def __getstate__(self):
        state = dict(self.__dict__)
        state["_alone"], state["_amortizer"] = None, None
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)


def load_amortizer(path: Path, *, threads: int = 0, verify: bool = True) -> AmortizedPosterior | AmortizedLikelihood:
    """Rebuilds an amortizer from a file that its `save`, or the C++ library, wrote: same draws, bit for bit, on the same kind of CPU.

    `amortizer.info` is what the file says about itself. Raises IoError: no such file, another kind of file, a newer format, cut short, damaged.
    """
    threads = as_count(threads, "load_amortizer: threads", 0)
    engine, info = _core.load_amortizer(as_path(path, "load_amortizer: path"), threads, verify)
    kind = AmortizedLikelihood if isinstance(engine, _core.AmortizedLikelihood) else AmortizedPosterior
    out = kind.__new__(kind)
    out._engine, out.info, out._threads, out.seed, out._mmd = engine, info, threads, None, engine.summary_mmd_weight
    # "student_t(2.5)"; files of Python hold no other latent than this and the normal one
    student_t = engine.latent.startswith("student_t(")
    out.latent_dist = MultivariateStudentT(float(engine.latent[len("student_t(") : -1])) if student_t else None
    out.latent_dim, out._owner, out._disowned = engine.target_width, None, False
    out.name = as_net_name(None, out)
    out._trained = {key: info[key] for key in ("simulations", "final_loss", "final_validation_loss", "seed")}
    out.inference_net = _LoadedInvertible(out, engine.target_width)
    out.summary_net = _LoadedSummary(out) if engine.has_summary_net else None
    return out


AmortizedPosteriorLikelihood = absent("AmortizedPosteriorLikelihood", "train an AmortizedPosterior")
AmortizedModelComparison = absent("AmortizedModelComparison", "train one AmortizedPosterior per model")
TwoLevelAmortizedPosterior = absent("TwoLevelAmortizedPosterior", "use an AmortizedPosterior over all parameters")
AmortizedPointEstimator = absent("AmortizedPointEstimator", "use means or quantiles of draws of an AmortizedPosterior")
AmortizedTarget = absent("AmortizedTarget", "it was the base of v1's amortizers; there are AmortizedPosterior and AmortizedLikelihood")
