"""Names of BayesFlow v1 and 2 that are not there: using or importing one raises an error that says what to use instead."""

import sys
from pathlib import Path

from .exceptions import OperationNotSupportedError


def page(name):
    """Where a page of the documentation lies: it is part of a wheel."""
    here = Path(__file__).parent
    inside = here / "docs"
    return str((inside if inside.is_dir() else here.parents[1] / "docs") / name)


_BLOCKS = f"written from building blocks ({page('python_networks.md')})"
_TRAINED = "here a model is trained by trainers.Trainer(amortizers.AmortizedPosterior(...), simulation.GenerativeModel(...))"
_SIMULATED = "here it is simulation.GenerativeModel(simulation.Prior(prior_fun=...), simulation.Simulator(simulator_fun=...))"
_CONFIGURED = "here a configurator, a function of the forward dictionary, does that: trainers.Trainer(..., configurator=...)"
_GIVEN = "here training functions take simulations: trainer.train_offline(dictionary or file, ...), trainer.train_online(...)"
_JUDGED = "here the functions of diagnostics are called plot_recovery, plot_sbc_histograms, plot_sbc_ecdf, plot_z_score_contraction, ..., and report() runs them all"

PAGE_2 = "coming_from_bayesflow_v2.md"
MODULES = {
    "version": "the version is bayesflow_cpp.__version__",
}
VERSION_2 = {
    **dict.fromkeys(("BasicWorkflow", "Workflow", "workflows"), _TRAINED),
    **dict.fromkeys(("EnsembleWorkflow", "EnsembleApproximator"), "here it is amortizers.Ensemble(amortizer, size)"),
    **dict.fromkeys(("Approximator", "ContinuousApproximator", "approximators"), _TRAINED),
    **dict.fromkeys(("PointApproximator", "ScoringRuleApproximator"), "here it is amortizers.AmortizedPointEstimator(networks.PointNetwork(num_params, \"quantiles\"), summary_net)"),
    **dict.fromkeys(("ModelComparisonApproximator", "ModelComparisonSimulator"), "here it is amortizers.AmortizedModelComparison(networks.PMPNetwork(num_models), summary_net)"),
    **dict.fromkeys(("make_simulator", "LambdaSimulator", "simulators"), _SIMULATED),
    "augmentations": _CONFIGURED,
    **dict.fromkeys(("OfflineDataset", "OnlineDataset", "DiskDataset", "EnsembleDataset", "datasets"), _GIVEN),
    "distributions": "latents are latents.MultivariateStudentT(df), or None for a standard normal: AmortizedPosterior(latent_dist=...)",
    **dict.fromkeys(("metrics", "plots"), _JUDGED),
    **dict.fromkeys(("scores", "scoring_rules", "links"), "here it is amortizers.AmortizedPointEstimator(networks.PointNetwork(num_params, \"quantiles\"), summary_net)"),
    "utils": "there is no module of helpers; numbers of figures are in diagnostics, v1's helpers in computational_utilities",
}
VERSION_2_NETWORKS = {
    "CouplingFlow": "here it is networks.InvertibleNetwork(num_params, num_coupling_layers, coupling_design=\"affine\" or \"spline\")",
    **dict.fromkeys(("ConsistencyModel", "StableConsistencyModel"), "use networks.ShortcutNetwork(num_params), whose draws take one to a few steps"),
    "FreeFormFlow": "use networks.FlowMatchingNetwork(num_params), or networks.InvertibleNetwork(num_params), with coupling_design=\"spline\" for posteriors of many shapes",
    "DiffusionModel": "here it is networks.DiffusionNetwork(num_params)",
    "FlowMatching": "here it is networks.FlowMatchingNetwork(num_params)",
    **dict.fromkeys(("PointInferenceNetwork", "ScoringRuleNetwork"), "here it is networks.PointNetwork(num_params, \"mean_and_sd\" or \"quantiles\")"),
    **dict.fromkeys(("FusionTransformer", "MultimodalSummaryNetwork"), "here it is networks.FusionNetwork"),
    "MLP": f"use helper_networks.ConfigurableMLP in a network {_BLOCKS}",
}


def _sentence(name):
    """What is said of a name of the package, or of a module below one that is not there; None for a name that neither version had."""
    first, *rest = name.split(".")
    if first == "diagnostics" and rest:
        first = rest[0]
    if first in MODULES:
        return f"bayesflow_cpp has no module {first}: {MODULES[first]}"
    return f"bayesflow_cpp has no {first}, which is BayesFlow 2's: {VERSION_2[first]}. Its names beside ours: {page(PAGE_2)}" if first in VERSION_2 else None


def module(name):
    """The package's `__getattr__`."""
    raise AttributeError(_sentence(name) or f"module 'bayesflow_cpp' has no attribute {name!r}")


class _Finder:
    """Answers `import bayesflow_cpp.x` and `from bayesflow_cpp import x`, which know nothing of `__getattr__`'s words."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        package, _, rest = name.partition(".")
        sentence = _sentence(rest) if package == __package__ and rest else None
        if sentence:
            raise ModuleNotFoundError(sentence)  # without its name: the import statement would use words of its own


def set_up():
    if not any(isinstance(finder, type) and finder.__name__ == "_Finder" and finder.__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.append(_Finder)


class _Absent(type):
    """The class of what stands for a class, function or setting that is not there: whatever is done with it ends in the sentence."""

    def __new__(cls, name, bases, namespace):
        for base in bases:
            base._refuse()
        return super().__new__(cls, name, bases, namespace)

    def _refuse(cls):
        raise OperationNotSupportedError(f"{cls.__name__} is not there; {cls._instead}")

    def __call__(cls, *args, **kwargs):
        cls._refuse()

    def __getitem__(cls, key):
        cls._refuse()

    def __getattr__(cls, name):
        if name.startswith("_"):
            raise AttributeError(name)
        cls._refuse()


def absent(name, instead):
    """What stands for a class, function or setting that is not there."""
    return _Absent(name, (), {"_instead": instead, "__doc__": f"Not there; {instead}.", "__module__": __name__})


def absent_of_version_2():
    """{name: stand-in} of BayesFlow 2's networks, which have no names of their own here."""
    return {name: absent(name, f"it is BayesFlow 2's: {instead}. Its names beside ours: {page(PAGE_2)}") for name, instead in VERSION_2_NETWORKS.items()}
