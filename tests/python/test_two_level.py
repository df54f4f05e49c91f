"""Posteriors of two-level models."""

import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.amortizers import AmortizedPosterior, TwoLevelAmortizedPosterior, load_amortizer
from bayesflow_cpp.exceptions import ConfigurationError
from bayesflow_cpp.networks import DeepSet, HierarchicalNetwork, InvertibleNetwork
from bayesflow_cpp.simulation import TwoLevelGenerativeModel, TwoLevelPrior

TAU, GROUPS, N = 0.7, 5, 6


def model(pad_to=None):
    groups = (lambda rng: rng.integers(2, GROUPS + 1)) if pad_to else (lambda rng: GROUPS)
    prior = TwoLevelPrior(lambda rng: rng.normal(size=1), lambda mu, rng: rng.normal(mu[0], TAU, size=(groups(rng), 1)))
    return TwoLevelGenerativeModel(prior, lambda theta, rng: rng.normal(theta[:, None], 1, size=(len(theta), N, 1)), simulator_is_batched=False, pad_to=pad_to)


def flow(width=1):
    return InvertibleNetwork(width, 2, coupling_settings={"dense_args": {"units": 16, "activation": "relu", "kernel_regularizer": None}, "dropout": False})


def networks():
    small = dict(num_dense_s1=1, num_dense_s2=1, num_equiv=0, dense_s1_args={"units": 32, "activation": "relu"}, dense_s2_args={"units": 32, "activation": "relu"})
    return HierarchicalNetwork([DeepSet(4, **small), DeepSet(8, **small)])


def two_level():
    return TwoLevelAmortizedPosterior(AmortizedPosterior(flow()), AmortizedPosterior(flow()), networks())


@pytest.fixture(scope="module")
def trained():
    amortizer, simulate = two_level(), model()
    trainer = bf.trainers.Trainer(amortizer, simulate, progress=False)
    losses = trainer.train_online(1, 1500, 64)
    return amortizer, trainer, simulate, losses


def exact(x):
    """Of mu given x (B, G, N, 1): mean, sd."""
    v = TAU**2 + 1 / N
    precision = 1 + GROUPS / v
    return x.mean(axis=2)[..., 0].sum(axis=1) / v / precision, precision**-0.5


def test_draws_are_those_of_the_exact_posterior(trained):
    amortizer, trainer, simulate, _ = trained
    test = simulate(200)
    inputs = trainer.configurator(test)
    draws = amortizer.sample(inputs, 400, seed=1)
    assert draws["global_samples"].shape == (200, 400, 1) and draws["local_samples"].shape == (200, GROUPS, 400, 1)
    mean, sd = exact(test["sim_data"])
    assert np.abs(draws["global_samples"].mean(axis=1)[:, 0] - mean).mean() < 0.1
    assert draws["global_samples"].std(axis=1).mean() == pytest.approx(sd, rel=0.1)
    # given mu, theta_g has mean (mu / tau^2 + n xbar) / (1 / tau^2 + n)
    precision = 1 / TAU**2 + N
    wanted = (draws["global_samples"][:, None, :, 0] / TAU**2 + N * test["sim_data"].mean(axis=2)) / precision
    assert np.abs((draws["local_samples"][..., 0] - wanted).mean(axis=2)).mean() < 0.08
    assert (draws["local_samples"][..., 0] - wanted).std() == pytest.approx(precision**-0.5, rel=0.15)


def test_one_data_set_has_v1s_shapes(trained):
    amortizer, trainer, simulate, _ = trained
    inputs = trainer.configurator(simulate(1))
    draws = amortizer.sample(inputs, 7)
    assert draws["global_samples"].shape == (7, 1) and draws["local_samples"].shape == (GROUPS, 7, 1)
    assert amortizer.sample(inputs, 7, keepdims=True)["local_samples"].shape == (1, GROUPS, 7, 1)
    a, b = amortizer.sample(inputs, 7, seed=3), amortizer.sample(inputs, 7, seed=3)
    np.testing.assert_array_equal(a["local_samples"], b["local_samples"])


def test_densities_losses_and_latents_agree(trained):
    amortizer, trainer, simulate, losses = trained
    inputs = trainer.configurator(simulate(50))
    densities = amortizer.log_densities(inputs)
    loss = amortizer.compute_loss(inputs)
    assert set(loss) == {"Global.Loss", "Local.Loss"}
    assert loss["Global.Loss"] == pytest.approx(-densities["global"].mean(), abs=1e-4)
    assert loss["Local.Loss"] == pytest.approx(-densities["local"].mean(), abs=1e-4)
    np.testing.assert_allclose(amortizer.log_prob(inputs), densities["global"] + densities["local"].sum(axis=1), rtol=1e-6)
    (z, log_det), (global_z, _) = amortizer(inputs)
    assert z.shape == (50, GROUPS, 1) and log_det.shape == (50, GROUPS) and global_z.shape == (50, 1)
    assert list(losses.columns) == ["Global.Loss", "Local.Loss"]
    assert trainer.loss_history.last_total_loss() == pytest.approx(losses.iloc[-1].sum(), rel=1e-6)


def test_files_and_pickles_hold_it(trained, tmp_path):
    amortizer, trainer, simulate, _ = trained
    inputs = trainer.configurator(simulate(5))
    amortizer.save(tmp_path / "model.h5", description="groups")
    loaded = load_amortizer(tmp_path / "model.h5")
    assert isinstance(loaded, TwoLevelAmortizedPosterior) and loaded.info["description"] == "groups"
    for other in (loaded, pickle.loads(pickle.dumps(amortizer))):
        np.testing.assert_array_equal(other.log_prob(inputs), amortizer.log_prob(inputs))
        np.testing.assert_array_equal(other.sample(inputs, 5, seed=1)["local_samples"], amortizer.sample(inputs, 5, seed=1)["local_samples"])
        assert other.global_amortizer.number_of_parameters == amortizer.global_amortizer.number_of_parameters
    fresh = pickle.loads(pickle.dumps(two_level()))
    assert not fresh.is_built


def test_groups_that_vary():
    amortizer, simulate = two_level(), model((GROUPS, N))
    trainer = bf.trainers.Trainer(amortizer, simulate, progress=False)
    trainer.train_online(1, 20, 16)
    inputs = trainer.configurator(simulate(20))
    densities = amortizer.log_densities(inputs)
    np.testing.assert_array_equal(densities["local"] == 0, inputs["local_mask"] == 0)
    draws = amortizer.sample(inputs, 3)
    np.testing.assert_array_equal(np.isnan(draws["local_samples"][:, :, 0, 0]), inputs["local_mask"] == 0)


def test_an_own_configurator_and_offline_training():
    simulate = model()

    def configurator(forward):
        x = forward["sim_data"]
        return {"hyper_parameters": forward["hyper_prior_draws"], "local_parameters": forward["local_prior_draws"],
                "direct_local_conditions": x.mean(axis=2), "direct_global_conditions": x.mean(axis=(1, 2))}  # fmt: skip

    amortizer = TwoLevelAmortizedPosterior(AmortizedPosterior(flow()), AmortizedPosterior(flow()))
    trainer = bf.trainers.Trainer(amortizer, configurator=configurator, progress=False)
    history = trainer.train_offline(simulate(300), 3, 32, validation_sims=simulate(50))
    assert list(history["val_losses"].columns) == ["Global.Loss", "Local.Loss"] and len(history["val_losses"]) == 3
    assert amortizer.sample(configurator(simulate(2)), 4)["local_samples"].shape == (2, GROUPS, 4, 1)
    assert "two-level" in repr(trainer) and "weights" in repr(amortizer)


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: TwoLevelAmortizedPosterior(flow(), AmortizedPosterior(flow())), "local_amortizer must be an AmortizedPosterior"),
        (lambda: TwoLevelAmortizedPosterior(AmortizedPosterior(flow()), AmortizedPosterior(flow()), DeepSet(4)), "must be a HierarchicalNetwork"),
        (lambda: TwoLevelAmortizedPosterior(AmortizedPosterior(flow(), DeepSet(4)), AmortizedPosterior(flow()), networks()), "local amortizer must have no summary network"),
        (lambda: TwoLevelAmortizedPosterior(AmortizedPosterior(flow()), AmortizedPosterior(flow(), DeepSet(4)), networks()), "new and without a summary network"),
        (lambda: TwoLevelAmortizedPosterior(*[AmortizedPosterior(flow())] * 2), "must be two"),
        (lambda: TwoLevelAmortizedPosterior(AmortizedPosterior(flow()), AmortizedPosterior(flow()), HierarchicalNetwork([DeepSet(4)] )), "two levels"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(make, text):
    with pytest.raises(ConfigurationError, match=text):
        make()


def test_inputs_are_checked(trained):
    amortizer, trainer, simulate, _ = trained
    inputs = trainer.configurator(simulate(3))
    with pytest.raises(ConfigurationError, match='needs "local_parameters"'):
        amortizer.log_prob({key: value for key, value in inputs.items() if key != "local_parameters"})
    with pytest.raises(ConfigurationError, match="reads no parameters"):
        amortizer.log_prob({**inputs, "parameters": inputs["hyper_parameters"]})
    with pytest.raises(bf.exceptions.ShapeError, match="as many groups as the data"):
        amortizer.log_prob({**inputs, "local_parameters": inputs["local_parameters"][:, :2]})
    with pytest.raises(bf.exceptions.ArgumentError, match="n_samples"):
        amortizer.sample(inputs, 0)


def test_messages_name_the_function_and_parts_point_to_the_whole(trained):
    amortizer, trainer, simulate, _ = trained
    inputs = trainer.configurator(simulate(3))
    mask = np.ones(inputs["summary_conditions"].shape[:3])
    with pytest.raises(bf.exceptions.ArgumentError, match=r"TwoLevelAmortizedPosterior\.sample: 0.5 in local_mask of data set 0; masks must be 1"):
        amortizer.sample({**inputs, "local_mask": 0.5 * mask[:, :, 0]}, 2)
    with pytest.raises(bf.exceptions.ShapeError, match=r"TwoLevelAmortizedPosterior\.sample: local_mask must be of shape"):
        amortizer.sample({**inputs, "local_mask": mask[:, :2, 0]}, 2)
    gone = np.ones((3, GROUPS))
    gone[2, 1] = 0
    with pytest.raises(bf.exceptions.ArgumentError, match="group 1 of data set 2 is not there by local_mask, but summary_mask leaves observations"):
        amortizer.log_prob({**inputs, "local_mask": gone, "summary_mask": mask})
    with pytest.raises(ConfigurationError, match="AmortizedPosterior: hyper_parameters, local_parameters are inputs of a TwoLevelAmortizedPosterior: call that one"):
        amortizer.global_amortizer.sample(inputs, 2)
    fewer = {**inputs, "summary_conditions": inputs["summary_conditions"][:, :3], "local_parameters": inputs["local_parameters"][:, :3]}
    with pytest.warns(bf.exceptions.ForeignDataWarning, match="Length of axis 1 of summary_conditions: 3, in training always"):
        amortizer.sample(fewer, 2)


def test_a_list_of_inputs(trained):
    amortizer, trainer, simulate, _ = trained
    parts = [trainer.configurator(simulate(1)), trainer.configurator(simulate(2))]
    draws = amortizer.sample_loop(parts, 4, seed=3)
    assert draws["global_samples"].shape == (3, 4, 1) and draws["local_samples"].shape == (3, GROUPS, 4, 1)
    np.testing.assert_array_equal(draws["local_samples"][1:], amortizer.sample(parts[1], 4, seed=4)["local_samples"])
    fewer = {**parts[0], "summary_conditions": parts[0]["summary_conditions"][:, :3]}
    with pytest.raises(ConfigurationError, match="no one array"), pytest.warns(UserWarning):
        amortizer.sample_loop([parts[0], fewer], 4)


def test_a_shared_parameter_is_learnt_with_linear_paths():
    """theta_s shows in a column of all groups alike: its posterior is as narrow as it must be."""
    prior = TwoLevelPrior(lambda rng: rng.normal(size=1), lambda mu, rng: rng.normal(mu[0], 0.5, size=(4, 1)), lambda rng: rng.normal(0, 0.3, size=1))

    def simulate(params, rng):
        local, shared = params
        return np.stack([rng.normal(local, 0.5, size=(4, 3)), rng.normal(shared[0], 0.4, size=(4, 3))], axis=-1)

    data = TwoLevelGenerativeModel(prior, simulate, simulator_is_batched=False)
    levels = HierarchicalNetwork([DeepSet(8, linear_path=True), DeepSet(8, linear_path=True)])
    amortizer = TwoLevelAmortizedPosterior(AmortizedPosterior(flow()), AmortizedPosterior(flow(2)), levels)
    trainer = bf.trainers.Trainer(amortizer, data, progress=False, default_lr=2e-3)
    trainer.train_online(1, 600, 64)
    test = data(300)
    draws = amortizer.sample(trainer.configurator(test), 200, seed=1)["global_samples"][..., 1]
    precision = 1 / 0.3**2 + 12 / 0.4**2
    exact = test["sim_data"][..., 1].sum(axis=(1, 2)) / 0.4**2 / precision
    assert np.corrcoef(draws.mean(axis=1), exact)[0, 1] > 0.97
    assert draws.std(axis=1).mean() == pytest.approx(precision**-0.5, rel=0.2)
