"""Names of BayesFlow v1 that are not there: whoever uses one is told what to use instead."""

from .exceptions import OperationNotSupportedError

MODULES = {
    "attention": "attention is not there yet; a DeepSet is for exchangeable observations, other networks are written from building blocks (docs/python_networks.md)",
    "benchmarks": "v1's benchmark models are not there; two moons is in examples/two_moons.ipynb",
    "coupling_networks": "couplings are parts of networks.InvertibleNetwork: its coupling_design and coupling_settings describe them",
    "experimental": "rectified flows are not there; use an AmortizedPosterior, with coupling_design=\"spline\" for posteriors of many shapes",
    "helper_functions": "merge_left_into_right and build_meta_dict are in default_settings; training has no need of the others",
    "helper_networks": "layers are described in networks.InvertibleNetwork and networks.DeepSet; your own networks are written from building blocks (docs/python_networks.md)",
    "mcmc": "surrogates for MCMC are not there, because AmortizedLikelihood is not; sample from an AmortizedPosterior",
    "version": "the version is bayesflow_cpp.__version__",
    "wrappers": "spectral norm is switched on by coupling_settings={\"spec_norm\": True}",
}


def module(name):
    """The package's `__getattr__`."""
    if name in MODULES:
        raise AttributeError(f"bayesflow_cpp has no module {name}: {MODULES[name]}")
    raise AttributeError(f"module 'bayesflow_cpp' has no attribute {name!r}")


def absent(name, instead):
    """What stands for a class or function that is not there."""

    def call(*args, **kwargs):
        raise OperationNotSupportedError(f"{name} is not there; {instead}")

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Not there; {instead}."
    return call
