"""Amortized Bayesian inference: write a prior and a simulator, train once, and get calibrated posteriors for any data set in milliseconds.

    import bayesflow_cpp as bf

The modules and names are those of BayesFlow v1: `simulation`, `networks`, `amortizers`, `trainers`, `configuration`, `diagnostics`, ...
"""

from . import _absent, _calls, _core, _log

_log.set_up()
_calls.set_up(_core)
_absent.set_up()
__version__: str = _core.__version__

from . import adapters, amortizers, attention, benchmarks, computational_utilities, configuration, coupling_networks, default_settings, diagnostics, exceptions, experimental  # noqa: E402
from . import helper_classes, helper_functions, helper_networks, inference_networks, latents, losses, mcmc, native, networks, optimizers, priors, ragged, sensitivity, simulation  # noqa: E402
from . import summary_networks, trainers, workflow, wrappers  # noqa: E402
from ._absent import module as __getattr__  # noqa: E402, F401
from .adapters import Adapter  # noqa: E402
from .amortizers import load_amortizer  # noqa: E402
from .native import CFunction, compile_cpp  # noqa: E402
from .report import report  # noqa: E402
from .simulation import SimulationStore, save_simulations  # noqa: E402
from .workflow import Posterior, fit, load  # noqa: E402

__all__ = [
    "Adapter", "CFunction", "Posterior", "SimulationStore", "adapters", "amortizers", "attention", "benchmarks", "compile_cpp", "computational_utilities", "configuration", "coupling_networks",
    "default_settings", "diagnostics", "exceptions", "experimental", "fit", "helper_classes", "helper_functions", "helper_networks", "inference_networks", "instruction_set", "latents", "load", "load_amortizer",
    "losses", "mcmc", "native", "networks", "optimizers", "priors", "ragged", "report", "save_simulations", "sensitivity", "simulation", "summary_networks", "trainers", "workflow", "wrappers",
]  # fmt: skip


def instruction_set() -> str:
    """The instruction set that the engine uses on this machine: "AVX-512", "AVX2", ..."""
    return _core.instruction_set()
