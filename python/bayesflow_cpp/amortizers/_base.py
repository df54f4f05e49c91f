"""What the amortizers have in common."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from .. import _core, ragged
from .._absent import absent, page
from .._arrays import Scalar, as_arguments, as_batch, as_choice, as_count, as_flag, as_float64, as_number, as_names, as_path, is_whole, output, shown
from .._log import warn_of_foreign
from ..adapters import Adapter
from ..configuration import DefaultPosteriorConfigurator, _arrays_of
from ..exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError, SummaryStatsError
from ..latents import MultivariateStudentT
from ..simulation.forward import FORWARD_KEYS
from ..networks import InvertibleNetwork, _SummaryNetwork, as_net_name, print_summary, require_inference

if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from .._types import ArrayLike, Function, Names, Path, Simulations
    from ..building_blocks import SummaryNetwork
    from ..networks import DeepSet


def alternatives(names):
    """'"a" or "b"'."""
    return " or ".join(f'"{name}"' for name in names)


class AmortizedTarget:
    """What amortizers have in common, for `isinstance` and for classes of your own that functions of amortizers shall take: they define the three methods. The
    trainer trains the classes of this module, whose networks the engine knows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def _undefined(self, method):
        raise OperationNotSupportedError(f"{type(self).__name__} defines no {method}; a class derived from AmortizedTarget must")

    def compute_loss(self, input_dict: Simulations, **kwargs: Any) -> Any:
        """The loss of a configured batch."""
        self._undefined("compute_loss")

    def sample(self, input_dict: Simulations, **kwargs: Any) -> Any:
        """Draws of the target for each data set."""
        self._undefined("sample")

    def log_prob(self, input_dict: Simulations, **kwargs: Any) -> Any:
        """Log density of the target for each data set."""
        self._undefined("log_prob")


class Amortizer(AmortizedTarget):
    """What the amortizers have in common. A class says what it learns (`_target`), given what (`_given`), and its network's name in its arguments."""

    _kind, _target, _given, _net = "", "", (), "inference_net"
    name, _owner, _disowned, _given_adapter = "amortizer", None, False, None  # of pickles that are older than these

    def _set_up(self, inference_net, summary_net, latent_dist, mmd, name, seed, threads, adapter=None):
        if latent_dist is not None and not isinstance(latent_dist, MultivariateStudentT):
            raise OperationNotSupportedError(f"{self._kind}: latent_dist must be None or latents.MultivariateStudentT(df)")
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise ConfigurationError(f"{self._kind}: seed must be a whole number or None; got {seed!r}")
        if adapter is not None and not isinstance(adapter, Adapter):
            raise ConfigurationError(f"{self._kind}: adapter must be an Adapter or None; got {type(adapter).__name__}")
        self._given_adapter = adapter
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

    def _flat(self, inputs):
        """What a configurator made, as one dictionary."""
        return inputs

    def _networks(self):
        return [net for net in (self.inference_net, self.summary_net) if net is not None]

    def _shared(self):
        """The amortizer whose weights these networks carry already; None: there is none."""
        owners = {id(net._amortizer): net._amortizer for net in self._networks() if net._amortizer is not None}
        for owner in owners.values():
            if owner._kind != self._kind:
                if owner.is_built:
                    net = self._net if self.inference_net._amortizer is owner else "summary_net"
                    raise ConfigurationError(
                        f"{self._kind}: {net} carries the weights of an {owner._kind}; give copy.copy({net}), which has the same options and weights of its own"
                    )
                owner._disowned = True
                continue
            mine, theirs = self._sharing(), owner._sharing()
            if self.seed is None:
                mine["seed"] = theirs["seed"]
            if self._given_adapter is None:
                mine["adapter"] = theirs["adapter"]
            other = [f"{key} = {theirs[key]!r}; got {value!r}" for key, value in mine.items() if value != theirs[key]]
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
            elif other or owner.inference_net is not self.inference_net or owner.summary_net is not self.summary_net:
                owner._disowned = True
                continue
            return owner
        return None

    def _sharing(self):
        return dict(latent_dist=self._df, summary_loss_weight=self._mmd, seed=self.seed, threads=self._threads, adapter=self._given_adapter)

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
            self._engine = getattr(_core, self._kind)(self._network_options, None if summary is None else summary._factory, self._df, self._mmd, seed, *seeds, self._threads,
                                                       None if self._given_adapter is None else self._given_adapter._core)  # fmt: skip
        return self._engine

    @property
    def _network_options(self):
        return self.inference_net._options

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

    def _learns(self):
        return f"{self.latent_dim} {self._target}"

    def _default_configurator(self):
        return DefaultPosteriorConfigurator()

    @property
    def adapter(self) -> Adapter | None:
        """What raw data go through, fitted once training has begun; None: nothing."""
        if not self._has_adapter:
            return None
        core = self._core.adapter
        return None if core is None else Adapter._of(core)

    @property
    def _has_adapter(self):
        """Without making networks."""
        if self._owner is not None:
            return self._owner._has_adapter
        return self._given_adapter is not None if self._engine is None else self._engine.adapter is not None

    def _raw(self, inputs):
        """Raw simulations or data as the engine takes them; None: a configured dictionary."""
        if isinstance(inputs, dict):
            if not any(inputs.get(key) is not None for key in (*FORWARD_KEYS, "obs_data")):
                return None
        elif isinstance(inputs, np.ndarray) and self._target != "observables":
            inputs = {"sim_data": inputs}
        elif isinstance(inputs, list) and inputs and self._target != "observables" and self._has_adapter:
            inputs = ragged.batch(inputs)
        else:
            return None
        if self._has_adapter:
            return to_raw(inputs, self._kind, self._target != "observables")
        return None

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
        raw = self._raw(input_dict)
        if raw is not None:
            out, foreign = self._core.log_density_raw(raw)
            warn_of_foreign(foreign)
            return out
        out, foreign = self._ready(input_dict).log_density(self._inputs(input_dict, True))
        warn_of_foreign(foreign)
        return out if to_numpy else output(out)

    def compute_loss(self, input_dict: Simulations, *, training: bool = False) -> Scalar:
        """Mean of -log q, plus the summary loss; without dropout and weight decay."""
        require_inference(f"{self._kind}.compute_loss", training)
        terms = self._ready(input_dict).compute_loss(self._inputs(input_dict, True))
        return Scalar(sum(value for name, value in terms.items() if name != "weight_decay"))

    def sample(self, input_dict: Simulations, n_samples: int, to_numpy: bool = True, *, seed: int | None = None, keepdims: bool = False, precision: str | None = None) -> np.ndarray:
        """Draws for each data set: (B, n_samples, width) float32; of one data set (n_samples, width), as in v1, or (1, n_samples, width) with `keepdims`.

        `seed`: the same seed gives the same draws, for any number of threads, as in C++. None: another seed for every call, 0, 1, 2, ...
        `precision`: "bfloat16" multiplies matrices of numbers rounded to 8 significant bits, with sums in float32, of dense layers with 32 inputs and 5
        outputs or more: faster on CPUs with AVX512-BF16. ArgumentError if the networks have no such layer. None: "float32", or what the model's file says.

        With an adapter the inputs may be raw: a forward dictionary with "sim_data" or "obs_data", an array of data sets, or a list of data sets
        (n, D) of different sizes. Then draws are in the user's units, and
        float64. A configured dictionary is what networks are given, and its draws are theirs.
        """
        if isinstance(n_samples, dict):
            raise ConfigurationError(f"{self._kind}.sample: the inputs come first, then n_samples: sample(input_dict, 1000)")
        if not is_whole(n_samples) or n_samples < 1:
            raise ArgumentError(f"{self._kind}.sample: n_samples must be a positive integer; got {shown(n_samples)}")
        keepdims = as_flag(keepdims, f"{self._kind}.sample: keepdims")
        if precision is not None:
            as_choice(precision, f"{self._kind}.sample: precision", ("float32", "bfloat16"))
        raw = self._raw(input_dict)
        if raw is not None:
            draws, foreign = self._core.sample_raw(raw, n_samples, seed, precision)
        else:
            draws, foreign = self._ready(input_dict).sample(self._inputs(input_dict), n_samples, seed, precision)
        warn_of_foreign(foreign)
        if len(draws) == 1 and not keepdims:
            draws = draws[0]
        return draws if to_numpy or raw is not None else output(draws)

    def sample_loop(self, input_list: Sequence[Simulations], n_samples: int, to_numpy: bool = True, *, seed: int | None = None) -> np.ndarray:
        """The same for a list of inputs, joined on axis 0: (number of data sets, n_samples, width); with a `seed` the i-th has seed + i."""
        inputs_list = checked_inputs(input_list, f"{self._kind}.sample_loop")
        seeds = [None if seed is None else seed + i for i in range(len(inputs_list))]
        draws = np.concatenate([self.sample(inputs, n_samples, seed=s, keepdims=True) for inputs, s in zip(inputs_list, seeds)])
        return draws if to_numpy else output(draws)

    def foreign(self, input_dict: Simulations) -> list[_core.Foreign]:
        """How these data are unlike those of training: an object for each kind, with .kind, .name, .low, .high, .seen_low, .seen_high, .share, .sentence.

        `sample` and `log_prob` warn with the same sentences (ForeignDataWarning). Empty also if no training is known (files of earlier versions)."""
        return self._ready(input_dict).foreign(self._inputs(input_dict))

    def check(self, input_dict: Simulations, n_samples: int = 0, *, seed: int = 0) -> _core.DataCheck:
        """Whether these data sets are like the simulations of training: p-values among held-out simulations, and what is strange.

        .p_values (B): of each data set; a data set that is one more simulation has p <= a with probability a. .p_data and .p_summaries: by numbers of the data
        (means, deviations, correlations of columns, ...) and by outputs of the summary network alone. .p_value: of all data sets; .p_together: that they are
        independent simulations as a whole. .strangest: of each data set the number that is furthest off, with .name, .value and the central 95 % of the
        simulations, .low and .high. .foreign: what `sample` warns of. .reference: how many simulations there are to compare with; 0 in files of earlier versions
        and after short trainings, and then there are no p-values. With n_samples draws of each data set .outside is the share of draws outside the range of each
        parameter in training, (B, P). Inputs are those of `sample`, raw ones too.
        """
        count, seed = as_count(n_samples, f"{self._kind}.check: n_samples", 0), as_count(seed, f"{self._kind}.check: seed", 0)
        raw = self._raw(input_dict)
        return self._core.check_raw(raw, count, seed) if raw is not None else self._ready(input_dict).check(self._inputs(input_dict), count, seed)

    @property
    def check_level(self) -> float:
        """`sample` and `log_prob` warn (ForeignDataWarning) of data sets whose p-value is not larger: 0.01, so that they warn of one in a hundred data sets that
        are simulations. 0: the p-value is not computed. Files do not hold it."""
        return self._core.check_level

    @check_level.setter
    def check_level(self, level: float) -> None:
        self._core.check_level = as_number(level, f"{self._kind}.check_level")

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
        if levels := [key for key in _OF_TWO_LEVELS if input_dict.get(key) is not None]:
            raise ConfigurationError(f"{self._kind}: {', '.join(levels)} are inputs of a TwoLevelAmortizedPosterior: call that one, which gives its parts what they read")
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


class AdapterConfigurator:
    """Forward dictionary -> what the amortizer's networks are given, through its adapter, float32."""

    def __init__(self, amortizer):
        self.amortizer = amortizer

    def __call__(self, forward_dict: Simulations) -> dict[str, np.ndarray]:
        configured = self.amortizer._core.configure(to_raw(forward_dict, "configurator"))
        return {name: values.astype(np.float32) for name, values in configured.items()}


def to_raw(forward, owner, data_needed=True):
    """A forward dictionary as the engine takes it, data by the name of sim_data."""
    if not isinstance(forward, dict):
        raise ConfigurationError(f"{owner}: a forward dictionary is required; got {type(forward).__name__}")
    return _arrays_of(forward, data_needed)[0]


_OF_TWO_LEVELS = ("hyper_parameters", "local_parameters", "shared_parameters", "direct_global_conditions", "direct_local_conditions", "local_mask")


def checked_inputs(inputs, owner):
    if isinstance(inputs, dict) or not hasattr(inputs, "__iter__"):
        raise ConfigurationError(f"{owner}: a list of input dictionaries is required; got {type(inputs).__name__}")
    inputs = list(inputs)
    if not inputs:
        raise ConfigurationError(f"{owner}: the list of inputs is empty")
    return inputs
