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
    for of_class, make in {
        "AmortizedPointEstimator": lambda: bf.amortizers.AmortizedPointEstimator(bf.networks.PointNetwork(2), summary),
        "AmortizedModelComparison": lambda: bf.amortizers.AmortizedModelComparison(bf.networks.PMPNetwork(2), summary),
    }.items():
        with pytest.raises(ConfigurationError, match=f"^{of_class}: summary_net carries the weights of an AmortizedPosterior; give copy.copy"):
            make()
    with pytest.raises(ConfigurationError, match="^AmortizedLikelihood: .* carries the weights of an AmortizedPosterior; give copy.copy"):
        bf.amortizers.AmortizedLikelihood(flow)
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


def test_results_and_summaries_can_be_pickled(gaussian_model, rng):
    trainer = trainer_of(gaussian_model())
    trainer.train_online(2, 3, 8, validation_sims=8)
    run = trainer.runs[0]
    twin = pickle.loads(pickle.dumps(run))
    for name in ("stop", "call", "reason", "warnings", "simulations", "seconds", "seed", "threads", "instruction_set", "steps_per_epoch"):
        assert getattr(twin, name) == getattr(run, name), name
    for name in ("train_losses", "val_losses", "learning_rates"):
        np.testing.assert_array_equal(getattr(twin, name), getattr(run, name))
    assert twin.full() == run.full()
    draws, truths = rng.normal(size=(60, 40, 2)), rng.normal(size=(60, 2))
    d = bf.diagnostics
    results = [d.recovery(draws, truths), d.sbc_ecdf(draws, truths), d.sbc_histograms(draws, truths), d.z_score_contraction(draws, truths), d.coverage(draws, truths),
               d.verdict(draws, truths), d.pairs(draws[0]), d.posterior_2d(draws[0]), d.latent_normality(draws[0])]  # fmt: skip
    for result in results:
        twin = copy.deepcopy(pickle.loads(pickle.dumps(result)))
        assert type(twin) is type(result)
        assert twin.to_json() == result.to_json() if hasattr(result, "to_json") else repr(twin) == repr(result)


# --- options of layers, by Keras' names ---

ACTIVATIONS = ["relu", "leaky_relu", "elu", "selu", "tanh", "sigmoid", "swish", "silu", "softplus", "exponential", "gelu", "hard_sigmoid", "mish", "relu6", "softsign", "linear", "softmax"]
INITIALIZERS = ["zeros", "ones", "constant", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "orthogonal", "identity",
                "random_normal", "random_uniform", "truncated_normal", "variance_scaling"]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, gaussian_model, tmp_path):
    dense = dict(units=8, activation=activation)
    many = dict(units=8, activation="relu") if activation == "exponential" else dense  # e^(e^x) is infinite soon
    summary = nets.DeepSet(4, num_equiv=1, dense_s1_args=many, dense_s2_args=many, dense_s3_args=many)
    flow = nets.InvertibleNetwork(4, 1, coupling_settings={"dense_args": dict(dense, kernel_regularizer=None), "dropout": False, "num_dense": 1})
    amortizer = bf.amortizers.AmortizedPosterior(flow, summary)
    bf.trainers.Trainer(amortizer, gaussian_model(), progress=False).train_online(1, 3, 8)
    amortizer.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(bf.load_amortizer(tmp_path / "model.h5").log_posterior(INPUTS), amortizer.log_posterior(INPUTS))


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_initializers(initializer):
    net = nets.DeepSet(4, 1, 1, 1, 0, dense_s1_args=dict(units=200, kernel_initializer=initializer))
    net(np.zeros((2, 5, 200)))
    kernel = next(w for name, w in net._alone.weights().items() if name.endswith("s1.0.kernel"))
    deviation = {"glorot": np.sqrt(2 / 400), "he": np.sqrt(2 / 200), "lecun": np.sqrt(1 / 200), "variance": np.sqrt(1 / 200), "orthogonal": np.sqrt(1 / 200),
                 "random_normal": 0.05, "random_uniform": 0.05 / np.sqrt(3), "truncated_normal": 0.05 * 0.8796}  # fmt: skip
    exact = next((value for start, value in deviation.items() if initializer.startswith(start)), None)
    if exact is not None:
        assert kernel.std() == pytest.approx(exact, rel=0.02) and abs(kernel.mean()) < 5 * exact / 200
    else:
        np.testing.assert_array_equal(kernel, {"zeros": np.zeros, "constant": np.zeros, "ones": np.ones, "identity": lambda shape: np.eye(*shape)}[initializer]((200, 200)))


def test_biases(tmp_path):
    dense = dict(units=8, activation="relu", use_bias=False, bias_initializer="ones")
    amortizer = bf.amortizers.AmortizedPosterior(networks()[0], nets.DeepSet(4, num_equiv=0, dense_s1_args=dense, dense_s2_args=dict(units=8, bias_initializer="ones")))
    density = amortizer.log_posterior(INPUTS)
    weights = {name: w for name, w in amortizer.weights().items() if name.startswith("summary_net.invariant")}
    assert [name for name in weights if "s1" in name and name.endswith("bias")] == []
    assert all((w == 1).all() for name, w in weights.items() if name.endswith("bias")) and len(weights) == 6
    amortizer.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(bf.load_amortizer(tmp_path / "model.h5").log_posterior(INPUTS), density)
    with pytest.raises(ConfigurationError, match="bias_initializer = orthogonal; that is for matrices, a bias is a vector"):
        nets.DeepSet(4, dense_s1_args=dict(units=8, bias_initializer="orthogonal"))


def _of_keras(cls):
    cls.__module__ = "keras.src.initializers"
    return cls


def test_functions_and_objects_of_keras():
    """What TensorFlow hands out: functions with its names, and objects with get_config."""

    def relu(features, name=None):
        raise AssertionError("is not called")

    relu.__module__ = "tensorflow.python.ops.gen_nn_ops"

    @_of_keras
    class HeNormal:
        def __init__(self, seed=None):
            self.seed = seed

        def get_config(self):
            return {"seed": self.seed}

    @_of_keras
    class L2:
        def __init__(self, l2=0.01):
            self.l2 = np.array(l2, dtype=np.float32)  # as Keras keeps it

    @_of_keras
    class L1L2:
        def __init__(self, l1, l2):
            self.l1, self.l2 = l1, l2

    args = lambda **options: nets.DeepSet(4, dense_s1_args=dict(units=8, **options))._arguments[5]  # noqa: E731
    assert args(activation=relu)["activation"] == "relu" and args(activation=nets.gelu)["activation"] == "gelu"
    assert args(kernel_initializer=HeNormal())["kernel_initializer"] == args(kernel_initializer=HeNormal)["kernel_initializer"] == "he_normal"
    assert args(kernel_initializer="HeNormal", activation="ReLU6".lower())["kernel_initializer"] == "he_normal"
    assert args(kernel_regularizer=L2(1e-3))["kernel_regularizer"] == pytest.approx(1e-3) and args(kernel_regularizer="l2")["kernel_regularizer"] == 0.01
    assert args(kernel_regularizer=L1L2(0.0, 0.5))["kernel_regularizer"] == 0.5
    assert args(bias_regularizer=None)["use_bias"] is True
    for wrong, sentence in [
        (dict(activation=lambda x: x), "activation must be a name, such as 'relu', or what Keras calls so; got a function of your own"),
        (dict(kernel_initializer=HeNormal(seed=-3)), "kernel_initializer: seed must be an integer of at least 0; got -3"),
        (dict(kernel_initializer={"class_name": "RandomNormal", "config": {"scale": 2}}), "kernel_initializer: random_normal has no argument 'scale'; there are mean, stddev, seed"),
        (dict(kernel_initializer={"class_name": "VarianceScaling", "config": {"mode": "fan"}}), 'variance_scaling needs a positive scale, a mode "fan_in"'),
        (dict(bias_initializer=3.0), "bias_initializer must be a name, such as 'he_uniform', or what Keras calls so; got 3.0"),
        (dict(kernel_regularizer=L1L2(0.1, 0.1)), "kernel_regularizer must be None or the weight of an L2 penalty"),
        (dict(bias_regularizer=0.1), "unknown key 'bias_regularizer'"),
        (dict(use_bias="no"), "use_bias must be True or False; got 'no'"),
        (dict(activation="softmin"), 'activation "softmin" is not known'),
    ]:
        with pytest.raises(ConfigurationError, match=sentence.replace("(", r"\(")):
            args(**wrong)


def _initializer_class(class_name, **defaults):
    """A class as Keras has them: arguments with defaults, and get_config."""

    def init(self, **given):
        self.config = {**defaults, "seed": None, **given}

    return _of_keras(type(class_name, (), {"__init__": init, "__call__": lambda self, shape: None, "get_config": lambda self: self.config}))


@pytest.mark.parametrize(
    "name, arguments, mean, deviation",
    [
        ("RandomNormal", dict(mean=0.5, stddev=0.2), 0.5, 0.2),
        ("TruncatedNormal", dict(mean=-1.0, stddev=2.0), -1.0, 2.0 * 0.8796),
        ("RandomUniform", dict(minval=1.0, maxval=3.0), 2.0, 2 / np.sqrt(12)),
        ("Constant", dict(value=0.25), 0.25, 0.0),
        ("Orthogonal", dict(gain=3.0), 0.0, 3.0 * np.sqrt(1 / 200)),
        ("VarianceScaling", dict(scale=2.0, mode="fan_out", distribution="uniform"), 0.0, np.sqrt(2.0 / 100)),
        ("VarianceScaling", dict(scale=2.0, mode="fan_avg", distribution="untruncated_normal"), 0.0, np.sqrt(2.0 / 150)),
        ("VarianceScaling", dict(scale=0.5, mode="fan_in", distribution="truncated_normal"), 0.0, np.sqrt(0.5 / 200)),
        ("GlorotUniform", dict(seed=4), 0.0, np.sqrt(2 / 300)),
    ],
)
@pytest.mark.parametrize("form", ["object", "configuration"])
def test_initializers_with_arguments(name, arguments, mean, deviation, form, tmp_path):
    value = _initializer_class(name)(**arguments) if form == "object" else {"class_name": name, "config": arguments}

    def kernel(seed):
        net = nets.DeepSet(4, 1, 1, 1, 0, dense_s1_args=dict(units=100, kernel_initializer=value), seed=seed)
        net(np.zeros((2, 5, 200)))
        return next(w for key, w in net._alone.weights().items() if key.endswith("s1.0.kernel"))

    drawn = kernel(1)
    assert drawn.shape == (200, 100)
    assert drawn.mean() == pytest.approx(mean, abs=5 * deviation / np.sqrt(20000) + 1e-6) and drawn.std() == pytest.approx(deviation, rel=0.03, abs=1e-6)
    assert np.array_equal(drawn, kernel(2)) == (name == "Constant" or "seed" in arguments)  # a seed of its own goes before the network's


def test_initializers_with_arguments_in_files_and_blocks(tmp_path):
    dense = dict(units=8, kernel_initializer=_initializer_class("RandomNormal")(mean=0.1, stddev=0.3, seed=2), bias_initializer=_initializer_class("Constant")(value=0.5))
    amortizer = bf.amortizers.AmortizedPosterior(networks()[0], nets.DeepSet(4, num_equiv=0, dense_s1_args=dense))
    density = amortizer.log_posterior(INPUTS)
    amortizer.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(bf.load_amortizer(tmp_path / "model.h5").log_posterior(INPUTS), density)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(amortizer)).log_posterior(INPUTS), density)

    class Own(nets.SummaryNetwork):
        def __init__(self):
            super().__init__()
            self.body = nets.Dense(3, "softmax", kernel_initializer=dense["kernel_initializer"], bias_initializer=dense["bias_initializer"])

        def call(self, x):
            return nets.mean_pool(self.body(x))

    out = np.asarray(Own()(np.random.default_rng(1).normal(size=(5, 6, 2))))
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-5)  # means of softmax rows


# --- hierarchical summaries ---


@pytest.mark.parametrize("options", [{}, dict(pooling_fun="max", linear_path=True)])
def test_a_deep_set_within_a_network_computes_the_same(rng, options):
    dense = dict(units=8, activation="tanh")
    alone = nets.DeepSet(3, num_equiv=1, dense_s1_args=dense, dense_s2_args=dense, dense_s3_args=dense, **options)
    x = rng.normal(size=(4, 6, 2))

    class Twice(nets.SummaryNetwork):
        def __init__(self):
            super().__init__()
            self.net = alone

        def call(self, x):
            return nets.concat([self.net(x), self.net(x)])

    twice = Twice()
    out = twice(x)
    assert out.shape == (4, 6)
    np.testing.assert_array_equal(out[:, :3], out[:, 3:])  # one set of weights
    alone(x)
    inner, outer = twice._alone.weights(), alone._alone.weights()
    assert len(inner) == len(outer) and sorted(w.shape for w in inner.values()) == sorted(w.shape for w in outer.values())
    np.testing.assert_allclose(twice(x[:, ::-1])[:, :3], out[:, :3], rtol=1e-4, atol=1e-5)


def test_hierarchical_network(rng, tmp_path):
    small = dict(units=8, activation="relu")
    lower, upper = (nets.DeepSet(dim, num_equiv=1, dense_s1_args=small, dense_s2_args=small, dense_s3_args=small) for dim in (5, 4))
    amortizer = bf.amortizers.AmortizedPosterior(networks()[0], nets.HierarchicalNetwork([lower, upper], name="levels"))
    inputs = {"parameters": X[:, 0], "summary_conditions": rng.normal(size=(6, 3, 7, 2))}
    density = amortizer.log_posterior(inputs)
    shuffled = inputs["summary_conditions"][:, ::-1][:, :, rng.permutation(7)]
    np.testing.assert_allclose(amortizer.log_posterior({**inputs, "summary_conditions": shuffled}), density, rtol=1e-3, atol=1e-4)
    assert amortizer.summary(inputs).shape == (6, 4) and amortizer.summary_net.name == "levels"
    amortizer.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(bf.load_amortizer(tmp_path / "model.h5").log_posterior(inputs), density)
    with pytest.raises(ConfigurationError, match="^HierarchicalNetwork: networks_list must be a list of summary networks"):
        nets.HierarchicalNetwork([])


def test_initializers_with_arguments_in_blocks_that_read_settings_once():
    """Settings that were read are not read again: attention, coupling and equivariant blocks keep an initializer's arguments."""
    from bayesflow_cpp import attention, helper_networks

    dense = {"units": 8, "activation": "relu", "kernel_initializer": {"class_name": "Constant", "config": {"value": 0.25}}}
    settings = {"num_dense_s1": 1, "num_dense_s2": 1, "num_dense_s3": 1, "dense_s1_args": dense, "dense_s2_args": dense, "dense_s3_args": dense, "pooling_fun": "mean"}
    layers = [
        *helper_networks.EquivariantModule(settings).s3,
        *attention._feed_forward(4, 2, dense, "test")[:2],
        *helper_networks.DenseCouplingNet({"dense_args": dense, "num_dense": 1}, 3).hidden,
    ]
    assert len(layers) == 4
    for layer in layers:
        assert layer._arguments["kernel_shift"] == 0.25
