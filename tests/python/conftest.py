import numpy as np
import pytest

import bayesflow_cpp as bf


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: more than ten seconds on a quiet machine")


@pytest.fixture
def gaussian_model():
    """The tutorial's model, with functions that take an rng."""

    def make(seed=0, n_obs=10):
        prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=4))
        simulator = bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, size=(n_obs, 4)))
        return bf.simulation.GenerativeModel(prior, simulator, seed=seed)

    return make


@pytest.fixture
def small_amortizer():
    def make(**options):
        flow = bf.networks.InvertibleNetwork(
            num_params=4,
            num_coupling_layers=2,
            coupling_settings={"dense_args": dict(units=16, kernel_regularizer=None), "dropout": False},
        )
        dense = dict(units=16, activation="relu")
        summary = bf.networks.DeepSet(summary_dim=5, dense_s1_args=dense, dense_s2_args=dense, dense_s3_args=dense)
        return bf.amortizers.AmortizedPosterior(flow, summary, **options)

    return make


@pytest.fixture
def rng():
    return np.random.default_rng(1)
