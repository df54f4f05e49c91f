"""Values that are not finite, or that float32 does not hold: what happens to them, everywhere, and what is said."""

import warnings

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ArgumentError, ConfigurationError, ShapeError, SimulationError
from bayesflow_cpp.simulation import GenerativeModel, Prior, Simulator

SHARE = 0.1


def leaky_model(**options):
    """One simulation in ten is NaN."""

    def simulate(theta, rng):
        data = rng.normal(theta, size=(5, 2))
        return data * np.nan if rng.uniform() < SHARE else data

    return GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=2), param_names=["a", "b"]), Simulator(simulator_fun=simulate), skip_test=True, **options)


def amortizer(summary=True):
    flow = bf.networks.InvertibleNetwork(2, 1, coupling_settings={"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False})
    return bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(2, num_equiv=0) if summary else None)


def trainer(policy="refuse", share=0.5, model=None, **options):
    return bf.trainers.Trainer(amortizer(), model or leaky_model(), nonfinite=policy, max_dropped_share=share, progress=False, **options)


@pytest.fixture(autouse=True)
def no_figures_stay():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize("policy", ["drop", "redraw"])
def test_the_trainers_policy_holds_everywhere(policy, tmp_path):
    t = trainer(policy)
    sims = t.generative_model(200)
    bad = int(np.isnan(sims["sim_data"]).any(axis=(1, 2)).sum())
    assert 5 < bad < 50
    history = t.train_online(1, 5, 32, validation_sims=sims)
    assert np.isfinite(history["val_losses"].to_numpy()).all()
    assert any(f"{bad} of 200 validation simulations were not finite and were dropped" in w for w in t.runs[-1].warnings)
    t.train_online(1, 2, 32, validation_sims=100)
    t.train_offline(sims, 1, 32)
    assert t.runs[-1].dropped == bad
    bf.save_simulations(sims, tmp_path / "s.h5")
    t.train_offline(tmp_path / "s.h5", 1, 32)
    assert t.runs[-1].dropped == bad
    assert len(t._diagnosed(sims, None, None)[0]["parameters"]) == 200 - bad
    figure = t.diagnose_sbc_histograms(sims, 20)
    figure = t.diagnose_sbc_histograms(n_samples=20)
    figure = t.diagnose_latent2d()
    assert figure is not None
    assert np.isfinite(t.mmd_hypothesis_test(np.zeros((4, 5, 2)), num_reference_simulations=60, num_null_samples=19)[0]).all()
    page = bf.report(t, num_data_sets=60, num_draws=20)
    assert all(f.kind != "non_finite" for f in page.verdict.findings)
    posterior_error, summary_mmd = bf.sensitivity.misspecification_experiment(
        t, lambda a, b: t.generative_model, {"name": "a", "values": [1.0]}, {"name": "b", "values": [1.0]}, n_posterior_samples=5, n_sim=60
    )
    assert np.isfinite(posterior_error["values"]).all() and np.isfinite(summary_mmd["values"]).all()


REFUSALS = {
    "training": lambda t, sims: t.train_online(1, 5, 64),
    "validation": lambda t, sims: t.train_online(1, 1, 1, validation_sims=sims),
    "validation by number": lambda t, sims: t.train_online(1, 1, 1, validation_sims=200),
    "offline": lambda t, sims: t.train_offline(sims, 1, 32),
    "diagnose": lambda t, sims: t.diagnose_latent2d(sims),
    "diagnose afresh": lambda t, sims: t.diagnose_sbc_histograms(),
    "report": lambda t, sims: bf.report(t, num_data_sets=200, num_draws=20),
    "mmd": lambda t, sims: t.mmd_hypothesis_test(np.zeros((4, 5, 2)), num_reference_simulations=200),
}


@pytest.mark.parametrize("call", REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals_name_the_policy(call):
    model = leaky_model(seed=1)
    for seed in range(20):  # the consistency check's two simulations must be finite
        try:
            t = trainer(model=model, seed=seed)
            break
        except ConfigurationError:
            continue
    with pytest.raises(SimulationError, match='holds? nan|returned nan') as caught:
        call(t, model(200))
    assert 'set nonfinite = "drop"' in str(caught.value)


def test_the_share_that_may_be_dropped_holds_for_given_simulations_too():
    t = trainer("drop", 0.01, GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=2)), Simulator(simulator_fun=lambda t, rng: rng.normal(t, size=(5, 2)))))
    with pytest.raises(SimulationError, match="while max_dropped_share is 0.01"):
        t.diagnose_latent2d(leaky_model()(200))


def test_the_pilot_runs_name_the_policy():
    nan = Simulator(simulator_fun=lambda theta: theta * np.nan)
    prior = Prior(prior_fun=lambda rng: rng.normal(size=2))
    with pytest.raises(ConfigurationError, match='pilot runs failed.*returned nan.*set nonfinite = "drop".*skip_test=True'):
        GenerativeModel(prior, nan)
    with pytest.raises(ConfigurationError, match="returned nan") as caught:  # parameters always must be finite
        GenerativeModel(Prior(prior_fun=lambda: np.full(2, np.nan)), nan)
    assert "nonfinite" not in str(caught.value) and "skip_test" not in str(caught.value)


def test_a_configurator_that_makes_nan_is_named_at_construction():
    model = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal(size=2)), Simulator(simulator_fun=lambda t, rng: np.ones((5, 2))))

    def standardized(forward):
        with np.errstate(all="ignore"):
            x = forward["sim_data"]
            return {"parameters": forward["prior_draws"], "summary_conditions": (x - x.mean()) / x.std()}

    with pytest.raises(ConfigurationError, match="the configurator returned nan in summary_conditions of data set 0, column 0; let it drop, replace or scale"):
        bf.trainers.Trainer(amortizer(), model, standardized, progress=False)
    direct = lambda f: {"parameters": f["prior_draws"], "summary_conditions": f["sim_data"], "direct_conditions": np.array([[1, 2], [3, np.nan]])}  # noqa: E731
    with pytest.raises(ConfigurationError, match="the configurator returned nan in direct_conditions of data set 1, column 1"):
        bf.trainers.Trainer(amortizer(), model, direct, progress=False)


@pytest.fixture(scope="module")
def built():
    a = amortizer()
    a.sample({"summary_conditions": np.zeros((2, 5, 2))}, 1)
    return a


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_what_float32_does_not_hold_is_refused(built, value, tmp_path):
    data = np.zeros((3, 5, 2))
    data[1, 2, 1] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in (lambda: built.sample({"summary_conditions": data}, 5), lambda: built.summary({"summary_conditions": data}),
                     lambda: built.log_posterior({"parameters": np.zeros((3, 2)), "summary_conditions": data})):  # fmt: skip
            with pytest.raises(ArgumentError, match=r"e\+[0-9]+ in summary_conditions of data set 1, column 1, which is beyond the range of float32 \(3.4e\+38\)"):
                call()
        with pytest.raises(ArgumentError, match=r"in summary_conditions of data set 1, column 1 is beyond the range of float32 \(3.4e\+38\)"):
            bf.configuration.DefaultPosteriorConfigurator()({"obs_data": data})
        with pytest.raises(ArgumentError, match=r"in parameters of data set 0, column 1 is beyond the range of float16 \(6.55e\+04\)|beyond the range of float16"):
            bf.configuration.DefaultPosteriorConfigurator(np.float16)({"sim_data": np.zeros((1, 5, 2)), "prior_draws": np.array([[0.0, 1e6]])})
        with pytest.raises(ArgumentError, match="input of a network: .* at entry 15 of an array of shape .3, 5, 2., which is beyond the range of float32"):
            bf.networks.DeepSet(2)(data)
        flow = bf.networks.InvertibleNetwork(2, 1)
        with pytest.raises(ArgumentError, match="beyond the range of float32"):
            flow(data[:, 2], np.zeros((3, 1)))
        with pytest.raises(ArgumentError, match="beyond the range of float32"):
            flow.inverse(data[:, 2], np.zeros((3, 1)))
        sims = {"prior_draws": np.zeros((3, 2)), "sim_data": data}
        with pytest.raises(SimulationError, match=r'sim_data holds .*e\+[0-9]+, which is beyond the range of float32 .*store it as precision="float64"'):
            bf.save_simulations(sims, tmp_path / "s.h5", precision="float32")
        bf.save_simulations(sims, tmp_path / "s.h5")
        assert bf.SimulationStore(tmp_path / "s.h5").read()["sim_data"][1, 2, 1] == value
        t = bf.trainers.Trainer(amortizer(), progress=False)
        with pytest.raises(ConfigurationError, match="the configurator returned .* in summary_conditions of data set 1, column 1, which is beyond the range of float32"):
            t.train_offline({"prior_draws": np.zeros((2, 2)), "sim_data": data[:2]}, 1, 2)


def test_what_overflows_within_the_networks_is_refused(built):
    with pytest.raises(ArgumentError, match="the draws of data set 1 are not finite, although its values are: .* Its largest: 3e.38 in summary_conditions, column 0"):
        built.sample({"summary_conditions": np.stack([np.zeros((5, 2)), np.full((5, 2), 3e38)])}, 10)


@pytest.mark.parametrize("value", [3e38, np.nan])
def test_networks_on_their_own_refuse_to_answer_with_nan(value):
    data = np.full((3, 2), value)
    flow = bf.networks.InvertibleNetwork(2, 2)
    flow(np.zeros((3, 2)), np.zeros((3, 1)))
    for call in (lambda: flow(data, np.zeros((3, 1))), lambda: flow.inverse(data, np.zeros((3, 1))), lambda: flow.inverse(np.zeros((3, 2)), data[:, :1]),
                 lambda: bf.networks.DeepSet(2)(np.full((1, 3, 2), np.nan))):  # fmt: skip
        with pytest.raises(ArgumentError, match="not finite: its inputs must be finite, and small enough"):
            call()


def test_values_at_the_end_of_the_range_are_kept(built):
    largest = float(np.finfo(np.float32).max)
    assert bf.configuration.DefaultPosteriorConfigurator()({"obs_data": np.full((1, 5, 2), largest)})["summary_conditions"].max() == np.float32(largest)


def test_a_missing_axis_of_data_sets(built):
    with pytest.raises(ShapeError, match=r"summary_conditions of shape \(5, 2\) have an axis too few: the networks were built for \(batch, 5, 2\); one data set x is given as x\[None\]"):
        built.sample({"summary_conditions": np.zeros((5, 2))}, 5)
    with pytest.raises(ShapeError, match="summary_conditions must have an axis of data sets, axis 0; got a single number"):
        built.sample({"summary_conditions": 1.0}, 5)
    likelihood = bf.amortizers.AmortizedLikelihood(bf.networks.InvertibleNetwork(2))
    direct = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2))
    compared = bf.amortizers.AmortizedModelComparison(bf.networks.PMPNetwork(2))
    point = bf.amortizers.AmortizedPointEstimator(bf.networks.PointNetwork(2))
    for call, role in {
        lambda: likelihood.sample({"conditions": 1.0}, 3): "conditions",
        lambda: likelihood.log_likelihood({"conditions": np.zeros((2, 2)), "observables": 2.0}): "observables",
        lambda: direct.sample({"direct_conditions": 1.0}, 3): "direct_conditions",
        lambda: compared.posterior_probs({"direct_conditions": 1.0}): "direct_conditions",
        lambda: point.estimate({"direct_conditions": 1.0}): "direct_conditions",
    }.items():
        with pytest.raises(ShapeError, match=f"{role} must have an axis of data sets, axis 0; got a single number"):
            call()
    with pytest.raises(ShapeError, match=r"obs_data of shape \(5,\) needs the axis of data sets first: one data set x is x\[None\]"):
        bf.configuration.DefaultPosteriorConfigurator()({"obs_data": np.zeros(5)})


def test_one_number_per_simulation_is_one_column_everywhere(tmp_path):
    """Online, offline, in files, validation and diagnostics: (B,) is (B, 1)."""
    model = GenerativeModel(Prior(prior_fun=lambda rng: rng.normal()), Simulator(simulator_fun=lambda theta, rng: rng.normal(theta)))
    sims = model(40)
    assert sims["sim_data"].shape == (40,)
    configure = lambda f: {"parameters": f["prior_draws"], "direct_conditions": f["sim_data"]}  # noqa: E731
    for configurator in (configure, lambda f: {**(d := bf.configuration.DefaultPosteriorConfigurator()(f)), "summary_conditions": None, "direct_conditions": d["summary_conditions"]}):
        flow = bf.networks.InvertibleNetwork(1, 1, coupling_settings={"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False})
        t = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(flow), model, configurator, progress=False)
        t.train_online(1, 2, 8, validation_sims=sims)
        t.train_offline(sims, 1, 8)
        bf.save_simulations(sims, tmp_path / "s.h5")
        t.train_offline(tmp_path / "s.h5", 1, 8)
        t.train_from_presimulation(tmp_path / "s.h5", batch_size=8)
        assert t._diagnosed(sims, None, None)[0]["direct_conditions"].shape == (40, 1)
        t.diagnose_sbc_histograms(sims, 20)
