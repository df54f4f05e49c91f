"""Priors, simulators, contexts, generative models.

A function of a prior, simulator or context with a parameter named `rng` is handed a `numpy.random.Generator` that belongs to the seed and to the
number of the simulation. Then any number of threads gives the same simulations, and training that was interrupted goes on to the same bits.
Functions with a generator of their own work as in BayesFlow v1; what they draw depends on the order of all calls.
"""


from .contexts import ContextGenerator
from .forward import Shared
from .model import GenerativeModel
from .multi import MultiGenerativeModel
from .prior import Prior
from .simulator import Simulator
from .store import SimulationStore, join_simulations, save_simulations
from .two_level import TwoLevelGenerativeModel, TwoLevelPrior

__all__ = [
    "ContextGenerator", "Prior", "TwoLevelPrior", "Simulator", "GenerativeModel", "TwoLevelGenerativeModel", "MultiGenerativeModel", "Shared", "SimulationStore",
    "join_simulations", "save_simulations",
]  # fmt: skip

