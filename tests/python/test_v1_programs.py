"""What programs for BayesFlow v1 do beyond the quickstart: arguments, attributes, shapes."""

import copy
import gc
import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ConfigurationError

nets = bf.networks
DENSE = {"dense_args": dict(units=8, kernel_regularizer=None), "dropout": False}
X = np.random.default_rng(0).normal(size=(6, 5, 4))
INPUTS = {"parameters": X[:, 0], "summary_conditions": X}


def networks(**options):
    small = dict(units=8, activation="relu")
    return nets.InvertibleNetwork(4, 2, coupling_settings=DENSE), nets.DeepSet(4, num_equiv=1, dense_s1_args=small, dense_s2_args=small, dense_s3_args=small, **options)


def trainer_of(model, **options):
    flow, summary = networks()
    return bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(flow, summary), model, progress=False, **options)


# --- network objects in several amortizers ---


def test_amortizers_of_the_same_networks_share_the_weights(gaussian_model):
    flow, summary = networks()
    first = bf.amortizers.AmortizedPosterior(flow, summary)
    bf.trainers.Trainer(first, gaussian_model(), progress=False).train_online(1, 5, 8)
    density, summaries = first.log_posterior(INPUTS), summary(X)
    second = bf.amortizers.AmortizedPosterior(flow, summary)
    np.testing.assert_array_equal(second.log_posterior(INPUTS), density)
    np.testing.assert_array_equal(summary(X), summaries)
    bf.trainers.Trainer(second, gaussian_model(), progress=False).train_online(1, 5, 8)
    assert np.abs(first.log_posterior(INPUTS) - density).max() > 0  # one set of weights
    np.testing.assert_array_equal(first.log_posterior(INPUTS), second.log_posterior(INPUTS))
    twin = pickle.loads(pickle.dumps(second))
    np.testing.assert_array_equal(twin.log_posterior(INPUTS), second.log_posterior(INPUTS))
    assert twin.inference_net._amortizer.is_built


def test_sharing_one_network_or_other_options_is_an_error(gaussian_model):
    flow, summary = networks()
    first = bf.amortizers.AmortizedPosterior(flow, summary)
    bf.trainers.Trainer(first, gaussian_model(), progress=False).train_online(1, 2, 8)
    density = first.log_posterior(INPUTS)
    with pytest.raises(ConfigurationError, match=r"^AmortizedPosterior: inference_net carries the weights of another amortizer.* or copy.copy\(inference_net\)"):
        bf.amortizers.AmortizedPosterior(flow, networks()[1])
    with pytest.raises(ConfigurationError, match="^AmortizedPosterior: summary_net carries the weights of another amortizer"):
        bf.amortizers.AmortizedPosterior(networks()[0], summary)
    with pytest.raises(ConfigurationError, match="which has latent_dist = None; got 5"):
        bf.amortizers.AmortizedPosterior(flow, summary, latent_dist=bf.latents.MultivariateStudentT(5))
    other = bf.amortizers.AmortizedPosterior(copy.copy(flow), copy.copy(summary), seed=4)
    assert np.abs(other.log_posterior(INPUTS) - density).max() > 0
    np.testing.assert_array_equal(first.log_posterior(INPUTS), density)


def test_networks_that_were_given_away_before_they_had_weights():
    flow, summary = networks()
    first = bf.amortizers.AmortizedPosterior(flow, summary)
    second = bf.amortizers.AmortizedPosterior(flow, networks()[1])  # a cell that is run again with another summary network
    assert second.log_posterior(INPUTS).shape == (6,)
    with pytest.raises(ConfigurationError, match="its networks were given to another one"):
        first.log_posterior(INPUTS)


def test_networks_of_a_file_carry_its_weights(tmp_path):
    amortizer = bf.amortizers.AmortizedPosterior(*networks())
    density = amortizer.log_posterior(INPUTS)
    amortizer.save(tmp_path / "model.h5")
    loaded = bf.load_amortizer(tmp_path / "model.h5")
    again = bf.amortizers.AmortizedPosterior(loaded.inference_net, loaded.summary_net)
    np.testing.assert_array_equal(again.log_posterior(INPUTS), density)
    with pytest.raises(ConfigurationError, match="a network of a file cannot be made again"):
        bf.amortizers.AmortizedPosterior(copy.copy(loaded.inference_net), networks()[1]).log_posterior(INPUTS)


def test_networks_with_seeds_of_their_own():
    def weights(flow_seed, summary_seed, seed):
        flow, summary = networks(seed=summary_seed)
        flow.seed = flow_seed
        amortizer = bf.amortizers.AmortizedPosterior(flow, summary, seed=seed)
        amortizer.log_posterior(INPUTS)
        every = amortizer.weights()
        return [next(w for name, w in every.items() if name.startswith(part) and name.endswith("0.kernel")) for part in ("inference", "summary")]

    both, apart, amortizer = weights(1, 1, None), weights(1, 2, None), weights(None, 2, 1)
    np.testing.assert_array_equal(both[0], apart[0])
    assert np.abs(both[1] - apart[1]).max() > 0
    for expected, got in zip(apart, amortizer):
        np.testing.assert_array_equal(got, expected)
    for expected, got in zip(both, weights(1, None, None)):  # one seed is everybody's
        np.testing.assert_array_equal(got, expected)


# --- shapes ---


def test_draws_of_one_data_set_have_v1s_shape():
    amortizer = bf.amortizers.AmortizedPosterior(*networks())
    one = {"summary_conditions": X[:1]}
    assert amortizer.sample({"summary_conditions": X}, 7).shape == (6, 7, 4)
    flat = amortizer.sample(one, 7, seed=1)
    kept = amortizer.sample(one, 7, seed=1, keepdims=True)
    assert flat.shape == (7, 4) and kept.shape == (1, 7, 4)
    np.testing.assert_array_equal(flat, kept[0])
    assert amortizer.sample(one, 7, to_numpy=False).numpy().shape == (7, 4)
    assert amortizer.sample_loop([one, one, one], 7).shape == (3, 7, 4)
    assert amortizer.log_posterior({"parameters": X[:1, 0], **one}).shape == (1,)
    with pytest.raises(ConfigurationError, match="^AmortizedPosterior.sample: keepdims must be True or False; got 'yes'$"):
        amortizer.sample(one, 7, keepdims="yes")


def test_losses_are_numbers_that_answer_to_numpy(rng):
    loss = bf.amortizers.AmortizedPosterior(*networks()).compute_loss(INPUTS)
    assert isinstance(loss, float) and loss.numpy() == np.float32(loss) and loss.numpy().dtype == np.float32
    z = rng.normal(size=(5, 3))
    cu = bf.computational_utilities
    for value in (bf.losses.kl_latent_space_gaussian(z, z[:, 0]), bf.losses.mmd_summary_space(z), cu.maximum_mean_discrepancy(z, z), bf.losses.norm_diff(z, z + 1)):
        assert value.numpy() == pytest.approx(float(value))
    assert cu.gaussian_kernel_matrix(z, z).numpy().shape == (5, 5) and bf.losses.norm_diff(z, z, axis=1).numpy().shape == (5,)


# --- names, tables, attributes ---


def test_names():
    assert nets.DeepSet(name="summary").name == "summary" and nets.InvertibleNetwork(4, name="flow").name == "flow"
    amortizer = bf.amortizers.AmortizedPosterior(*networks(), name="mine")
    assert (amortizer.name, amortizer.summary_net.name, amortizer.inference_net.name) == ("mine", "deep_set", "invertible_network")
    with pytest.raises(ConfigurationError, match="^DeepSet: name must be a text or None; got 3$"):
        nets.DeepSet(name=3)


def test_the_table_of_a_model(capsys):
    """Keras' totals of v1's quickstart: 294,976 weights of the flow and 67,722 of the summary network."""
    flow = nets.InvertibleNetwork(4, 4, coupling_settings={"dense_args": dict(kernel_regularizer=None), "dropout": False})
    amortizer = bf.amortizers.AmortizedPosterior(flow, nets.DeepSet())
    with pytest.raises(ConfigurationError, match="^AmortizedPosterior.summary: the networks have no weights yet"):
        amortizer.summary()
    amortizer.log_posterior(INPUTS)
    amortizer.summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Model: "amortized_posterior"' and max(map(len, lines)) <= 80
    assert [line.split() for line in lines if "(InvertibleNetwork)" in line or "(DeepSet)" in line] == [
        ["deep_set", "(DeepSet)", "multiple", "67,722"], ["invertible_network", "(InvertibleNetwork)", "multiple", "294,976"],
    ]  # fmt: skip
    assert lines[-4:-1] == ["Total params: 362,730", "Trainable params: 362,698", "Non-trainable params: 32"]
    table = []
    amortizer.summary_net.summary(print_fn=table.append, expand_nested=True)
    assert any("(64, 10)" in line and "650" in line for line in table) and table[-4] == "Total params: 67,722" and capsys.readouterr().out == ""
    assert amortizer.summary(INPUTS).shape == (6, 10)  # of data, as before


def test_attributes(gaussian_model):
    flow, summary = networks()
    amortizer = bf.amortizers.AmortizedPosterior(flow, summary, summary_loss_fun="MMD")
    assert amortizer.latent_is_dynamic is False and amortizer.summary_loss is bf.losses.mmd_summary_space
    assert bf.amortizers.AmortizedPosterior(*networks()).summary_loss is None
    soft = nets.InvertibleNetwork(4, use_soft_flow=True, permutation="learnable")
    assert (soft.soft_flow, soft.soft_low, soft.soft_high, soft.permutation, soft.use_act_norm) == (True, 1e-3, 5e-2, "learnable", True)
    function = lambda: np.zeros(2)  # noqa: E731
    assert bf.simulation.Prior(prior_fun=function).prior is function and bf.simulation.Prior(batch_prior_fun=function).batched_prior is function
    assert bf.simulation.Simulator(simulator_fun=function).simulator is function
    trainer = bf.trainers.Trainer(amortizer, gaussian_model(), progress=False)
    assert trainer.optimizer is None and trainer.simulation_memory is None
    sgd = bf.optimizers.SGD(1e-3)
    trainer.train_online(1, 2, 4, optimizer=sgd, reuse_optimizer=True)
    assert trainer.optimizer is sgd
    trainer.train_online(1, 2, 4, reuse_optimizer=True)  # goes on with the same
    assert trainer.optimizer is sgd and trainer.runs[-1].learning_rates[-1] == pytest.approx(1e-3)
    trainer.train_online(1, 2, 4)
    assert trainer.optimizer is None
    assert {"hyper_prior_draws", "local_prior_draws", "shared_prior_draws"} <= set(bf.default_settings.DEFAULT_KEYS)


def test_a_model_without_a_name():
    prior, simulator = bf.simulation.Prior(prior_fun=lambda: np.zeros(2)), bf.simulation.Simulator(simulator_fun=lambda t: np.zeros(3))
    assert bf.simulation.GenerativeModel(prior, simulator, name=None).name == "anonymous"


def test_a_context_generator_of_ones_own(gaussian_model):
    asked = []

    class Contexts:
        def __call__(self, batch_size, *args, **kwargs):
            asked.append(batch_size)
            return {"batchable_context": [float(b) for b in range(batch_size)], "non_batchable_context": 3}

    class Overridden(bf.simulation.ContextGenerator):
        def batchable_context(self, batch_size, *args, **kwargs):
            return [2.0] * batch_size

    prior = bf.simulation.Prior(prior_fun=lambda: np.zeros(4))
    simulator = bf.simulation.Simulator(simulator_fun=lambda t, b, n: np.full((n, 4), b), context_generator=Contexts())
    model = bf.simulation.GenerativeModel(prior, simulator)
    out = model(5)
    np.testing.assert_array_equal(out["sim_data"][:, 0, 0], np.arange(5))
    assert out["sim_non_batchable_context"] == 3 and out["sim_data"].shape == (5, 3, 4) and simulator.context_gen.__class__ is Contexts
    trainer_of(model).train_online(1, 2, 8)
    assert 8 in asked
    own = bf.simulation.Simulator(simulator_fun=lambda t, b: np.full((3, 4), b), context_generator=Overridden(lambda: 1.0))
    assert own(np.zeros((2, 4)))["sim_data"][0, 0, 0] == 2.0
    with pytest.raises(ConfigurationError, match='^Simulator: its context_generator must return a dictionary with "batchable_context" and "non_batchable_context"; got list$'):
        bf.simulation.Simulator(simulator_fun=lambda t: t, context_generator=lambda batch_size: [1])(np.zeros((2, 4)))
    with pytest.raises(ConfigurationError, match="^Prior: context_generator must be a ContextGenerator, or a function of a batch size"):
        bf.simulation.Prior(prior_fun=lambda: 1, context_generator=3)


# --- trainers ---


def test_offline_arguments_by_position(gaussian_model):
    model = gaussian_model()
    history = trainer_of(model).train_offline(model(16), 2, 8, True, None, False, False, model(8))
    assert len(history["val_losses"]) == 2


def test_a_memory_of_simulations(gaussian_model, tmp_path):
    trainer = trainer_of(gaussian_model(), memory=True, memory_kwargs=dict(capacity_in_batches=3), num_models=1, checkpoint_path=tmp_path / "kept")
    trainer.train_online(1, 5, 8, validation_sims=20)
    memory = trainer.simulation_memory
    assert memory.is_full() and memory.size_in_batches == 3 and repr(memory) == "<SimulationMemory: 3 of 3 batches>"
    batches = memory.get_memory()
    assert [b["parameters"].shape for b in batches] == [(8, 4)] * 3 and batches[0]["summary_conditions"].shape == (8, 10, 4)
    figure = trainer.diagnose_sbc_histograms()
    assert len(figure.axes) == 4
    del trainer
    gc.collect()
    again = trainer_of(gaussian_model(), memory=bf.helper_classes.SimulationMemory(), checkpoint_path=tmp_path / "kept")
    np.testing.assert_array_equal(again.simulation_memory.get_memory()[2]["parameters"], batches[2]["parameters"])
    assert [p.name for p in (tmp_path / "kept").glob("memory*")] == ["memory.npz"]
    with pytest.raises(ConfigurationError, match="memory_kwargs have no effect without memory=True"):
        trainer_of(gaussian_model(), memory_kwargs=dict(capacity_in_batches=3))


def test_a_memory_changes_no_bit(gaussian_model):
    losses = [trainer_of(gaussian_model(), memory=memory).train_online(1, 4, 8).to_numpy() for memory in (False, True)]
    np.testing.assert_array_equal(*losses)


def test_diagnoses_know_the_parameters_names():
    names = ["alpha", "beta", "gamma", "delta"]
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=4), param_names=names)
    model = bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=lambda t, rng: rng.normal(t, size=(10, 4))))
    trainer = trainer_of(model)
    for figure in (trainer.diagnose_sbc_histograms(), trainer.diagnose_sbc_histograms([model(30), model(30)], 40)):
        assert [axis.get_title() for axis in figure.axes] == names
    figure = trainer.diagnose_sbc_histograms(plot_args=dict(param_names=["a", "b", "c", "d"]))
    assert figure.axes[0].get_title() == "a"
    with pytest.raises(bf.exceptions.OperationNotSupportedError, match="^networks take no further arguments"):
        trainer.diagnose_latent2d(net_args={"training": True})


# --- histories ---


@pytest.mark.parametrize("regularizer", [None, 1e-3])
def test_the_loss_column_has_both_names(gaussian_model, regularizer):
    flow = nets.InvertibleNetwork(4, 2, coupling_settings={"dense_args": dict(units=8, kernel_regularizer=regularizer), "dropout": False})
    trainer = bf.trainers.Trainer(bf.amortizers.AmortizedPosterior(flow, networks()[1]), gaussian_model(), progress=False)
    history = trainer.train_online(2, 3, 8, validation_sims=8)
    assert list(history["train_losses"].columns) == (["Default.Loss"] if regularizer is None else ["Loss", "W.Decay"])
    for table in history.values():
        np.testing.assert_array_equal(table["Loss"], table["Default.Loss"])
        assert len(table[["Loss"] if regularizer else ["Default.Loss"]]) == len(table) and len(table.head(2)["Loss"]) == 2
        with pytest.raises(KeyError):
            table["loss"]
    twin = pickle.loads(pickle.dumps(history["train_losses"]))
    np.testing.assert_array_equal(twin["Loss"], history["train_losses"]["Default.Loss"])
    bf.diagnostics.plot_losses(history["train_losses"], history["val_losses"], moving_average=True)


def test_what_can_be_pickled(gaussian_model, tmp_path):
    trainer = trainer_of(gaussian_model())
    trainer.train_online(1, 3, 8, validation_sims=8)
    history = pickle.loads(pickle.dumps(trainer.loss_history))
    np.testing.assert_array_equal(history.total_loss, trainer.loss_history.total_loss)
    assert history.last_total_val_loss().numpy() == np.float32(trainer.loss_history.last_total_val_loss())
    for optimizer in (bf.optimizers.Adam(bf.optimizers.CosineDecay(1e-3, 10)), bf.optimizers.AdamW(1e-3), bf.optimizers.SGD(momentum=0.5), bf.optimizers.Adam(abs)):
        twin = pickle.loads(pickle.dumps(optimizer))
        assert repr(twin) == repr(optimizer)
        trainer.train_online(1, 1, 4, optimizer=copy.deepcopy(twin))
    adjuster = bf.helper_classes.RegressionLRAdjuster(period=20)
    assert repr(pickle.loads(pickle.dumps(adjuster))) == repr(adjuster)
    trainer.generative_model.presimulate(tmp_path / "sims.h5", 4, progress=False)
    store = pickle.loads(pickle.dumps(bf.SimulationStore(tmp_path / "sims.h5")))
    assert len(store) == 4
    with pytest.raises(bf.exceptions.ArgumentError, match="^LossHistory: there are no steps yet$"):
        bf.helper_classes.LossHistory().last_total_loss()
