"""What the modules of the problems share: they are compiled functions of the library."""

from __future__ import annotations

import importlib.util
import inspect
import numpy as np

from .. import _core
from .._arrays import as_flag, as_float64, as_function, as_number, as_numbers, required, shown
from .._native import CFunction
from ..exceptions import ConfigurationError, OperationNotSupportedError, ShapeError

MODES = ("posterior", "likelihood", "joint")
SCALED_BY_SETTINGS = ("sir", "bernoulli_glm")  # their configurators divide by a setting of the simulator


def names(stem, count):
    return [rf"${stem}_{i}$" for i in range(1, count + 1)]


def _setting(value, name):
    """As the engine takes it: None, a bool, a float, or a list of floats."""
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    several = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 1
    return as_numbers(value, name) if several else as_number(value, name)


_cores = {}


def core_of(name, prior=None, simulator=None):
    """The engine's object; the last few are kept, because some take milliseconds to make."""
    prior, simulator = ({key: _setting(value, key) for key, value in (given or {}).items()} for given in (prior, simulator))
    key = (name, repr(sorted(prior.items())), repr(sorted(simulator.items())))
    if key not in _cores:
        core = _core.Benchmark(name, prior, simulator)
        if len(_cores) >= 16:
            _cores.pop(next(iter(_cores)))
        _cores[key] = core, core.prior_function(), core.simulator_function()
    return _cores[key]


def generator(rng):
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise ConfigurationError(f"rng must be a numpy.random.Generator, as numpy.random.default_rng(seed) makes them, or None; got {shown(rng)}")
    return rng


def _stream(rng):
    return _core.Rng(int(generator(rng).integers(2**63)), "benchmark")


def checked_mode(mode, owner=""):
    if not isinstance(mode, str) or mode not in MODES:
        raise OperationNotSupportedError(f"{owner}mode must be one of {', '.join(map(repr, MODES))}; got {shown(mode)}")
    return mode


def draw(name, rng, **settings):
    """One draw from the prior."""
    core, prior, _ = core_of(name, settings)
    return prior.run(1, (core.num_params,), None, None, _stream(rng), 0)[0]


def simulate(name, theta, rng, any_width=False, **settings):
    """Data of one parameter vector (P,), or of each row of (B, P); `any_width`: the problem has a setting for P."""
    theta = required(theta, "theta", (1, 2), "parameters, or simulations and parameters")
    core, _, simulator = core_of(name, {"D": theta.shape[-1]} if any_width else None, settings)
    rows = np.atleast_2d(theta)
    data = simulator.run(len(rows), core.data_shape, np.ascontiguousarray(rows), None, _stream(rng), 0)
    return data[0] if theta.ndim == 1 else data


def configure(name, forward_dict, mode, scale_data=1.0, as_summary_condition=False):
    """The dictionaries that networks are given."""
    checked_mode(mode)
    if not isinstance(forward_dict, dict) or not {"prior_draws", "sim_data"} <= set(forward_dict):
        got = sorted(map(str, forward_dict)) if isinstance(forward_dict, dict) else shown(forward_dict)
        raise ConfigurationError(f'configurator: "prior_draws" and "sim_data" are required, as a generative model returns them; got {got}')
    draws = required(forward_dict["prior_draws"], "prior_draws", (2,), "simulations, parameters")
    data = required(forward_dict["sim_data"], "sim_data", (2, 3), "simulations, ...")
    if len(draws) != len(data):
        raise ShapeError(f"prior_draws and sim_data need as many rows; got the shapes {draws.shape} and {data.shape}")
    options = (draws, data, as_number(scale_data, "scale_data"), as_flag(as_summary_condition, "as_summary_condition"))
    parts = {"posterior": (False,), "likelihood": (True,), "joint": (False, True)}[mode]
    made = [_core.benchmark_inputs(name, likelihood, *options) for likelihood in parts]
    return dict(zip(("posterior_inputs", "likelihood_inputs"), made)) if mode == "joint" else made[0]


class CompiledFunction(CFunction):
    """The prior or simulator of a problem, for simulation.Prior and simulation.Simulator: it runs on all cores without the interpreter."""

    def __init__(self, name, part, prior=None, simulator=None):
        core, *functions = core_of(name, prior, simulator)
        self._core = functions[part == "simulator"]
        self.shape = tuple(core.data_shape) if part == "simulator" else (core.num_params,)
        self.address, self.threads = None, 0
        self._arguments = (name, part, prior, simulator)
        self.__name__ = f"benchmarks.{name}.{part}"

    def __reduce__(self):
        return CompiledFunction, self._arguments

    def __repr__(self):
        return f"<{self.__name__}, compiled>"


def path_of_sbibm(path):
    """Where sbibm's files are: there, or where sbibm is installed."""
    if path is not None:
        return path
    spec = importlib.util.find_spec("sbibm")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "posterior_check: sbibm is not installed; give the path of its files: pip download --no-deps sbibm, unzip the wheel, and name the folder"
        )
    return spec.submodule_search_locations[0]


def sampler_of(amortizer, configurator, to_parameters, prior_draw):
    """(data, n_samples, seed) -> draws (n_samples, P), as the engine asks for them."""
    sample = as_function(getattr(amortizer, "sample", None), "posterior_check: amortizer.sample", "(input_dict, n_samples)")
    seeded = "seed" in inspect.signature(sample).parameters

    def draws(data, n_samples, seed):
        inputs = configurator({"prior_draws": prior_draw[None], "sim_data": data[None]})
        out = np.asarray(sample(inputs, n_samples, seed=seed) if seeded else sample(inputs, n_samples))
        out = out[0] if out.ndim == 3 and len(out) == 1 else out
        return as_float64(out if to_parameters is None else to_parameters(out), "posterior_check: draws")

    return draws
