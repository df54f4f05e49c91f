"""Priors, simulators, contexts, generative models.

A function of a prior, simulator or context with a parameter named `rng` is handed a `numpy.random.Generator` that belongs to the seed and to the
number of the simulation. Then any number of threads gives the same simulations, and training that was interrupted goes on to the same bits.
Functions with a generator of their own work as in BayesFlow v1; what they draw depends on the order of all calls.
"""


from .._absent import absent
from .contexts import ContextGenerator
from .forward import Shared
from .model import GenerativeModel
from .prior import Prior
from .simulator import Simulator
from .store import SimulationStore, save_simulations

__all__ = ["ContextGenerator", "Prior", "Simulator", "GenerativeModel", "Shared", "SimulationStore", "save_simulations"]

TwoLevelPrior = absent("TwoLevelPrior", "hierarchical models are not there yet; a flat Prior over (hyper, local) parameters can be trained")
TwoLevelGenerativeModel = absent("TwoLevelGenerativeModel", "hierarchical models are not there yet; use a GenerativeModel with a flat Prior")
MultiGenerativeModel = absent("MultiGenerativeModel", "model comparison is not there yet; train one AmortizedPosterior per model")
