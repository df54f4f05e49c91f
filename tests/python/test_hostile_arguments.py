"""Every argument of the evaluation functions, the sensitivity module, the report, compiled functions and trainers, given something that makes no
sense: a result, or one of the package's sentences. Never NumPy's, matplotlib's or the binding's own error, never a name of C++."""

import argparse
import ctypes
import inspect
import pathlib

import numpy as np
import pandas as pd
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp import computational_utilities as cu
from bayesflow_cpp import losses, sensitivity
from bayesflow_cpp.exceptions import ArgumentError, BayesFlowError, ConfigurationError, OutOfMemoryError, ShapeError

WRONG = [
    None, "text", "", b"abc", -1, 0, 1.5, True, 10**30, 2**31, 2**62, float("nan"), float("inf"), 1e308, 1 + 2j, [], [1, "a"], [[1.0], [1.0, 2.0]], {"a": 1}, {1, 2},
    object(), int, ValueError("x"), np.float16(0.5), np.int8(3), np.ones((2, 2)), np.zeros((0, 2)), np.zeros(0), np.array(2.0), np.full((5, 2), np.nan),
    np.ones((5, 2)) + 0j, np.array([object()] * 4), np.array(["a", "b"]), np.zeros((5, 2), "M8[D]"), np.zeros((1,) * 8), np.zeros(3, [("a", "f8")]),
    pd.DataFrame({"a": ["x"]}),
]  # fmt: skip

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
POST, TRUTH = rng.normal(size=(30, 20, 2)), rng.normal(size=(30, 2))
ONE_HOT, PROBABILITIES = np.eye(3)[rng.integers(0, 3, 20)], rng.dirichlet(np.ones(3), 20)
GRID = np.meshgrid([1.0, 2.0, 3.0], [1.0, 2.0], indexing="ij")
RESULT = {"P1": GRID[0], "P2": GRID[1], "values": GRID[0] * GRID[1], "name": "posterior_error"}
QUANTITY = {"name": "a", "values": [1.0], "well_specified_value": 1.0}
KEPT = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(lambda *a: None)

# function: its arguments, each of which is replaced in turn
FUNCTIONS = {
    losses.kl_latent_space_gaussian: dict(z=X, log_det_J=np.zeros(20)),
    losses.kl_latent_space_student: dict(v=np.full(20, 3.0), z=X, log_det_J=np.zeros(20)),
    losses.kl_dirichlet: dict(model_indices=ONE_HOT, alpha=PROBABILITIES + 1),
    losses.mmd_summary_space: dict(summary_outputs=X, z_dist=np.random.standard_normal, kernel="gaussian"),
    losses.log_loss: dict(model_indices=ONE_HOT, preds=PROBABILITIES, evidential=False, label_smoothing=0.01),
    losses.norm_diff: dict(tensor_a=X, tensor_b=Y, axis=1, ord=2),
    cu.posterior_calibration_error: dict(
        posterior_samples=POST, prior_samples=TRUTH, alpha_resolution=20, aggregator_fun=np.median, min_quantile=0.005, max_quantile=0.995
    ),
    cu.gaussian_kernel_matrix: dict(x=X, y=Y, sigmas=[1.0]),
    cu.inverse_multiquadratic_kernel_matrix: dict(x=X, y=Y, sigmas=[1.0]),
    cu.mmd_kernel: dict(x=X, y=Y, kernel=cu.gaussian_kernel_matrix),
    cu.mmd_kernel_unbiased: dict(x=X, y=Y, kernel=cu.gaussian_kernel_matrix),
    cu.expected_calibration_error: dict(m_true=ONE_HOT, m_pred=PROBABILITIES, num_bins=10),
    cu.maximum_mean_discrepancy: dict(source_samples=X, target_samples=Y, kernel="gaussian", mmd_weight=1.0, minimum=0.0),
    cu.get_coverage_probs: dict(z=np.linspace(0.1, 0.9, 5), u=rng.uniform(size=(4, 10))),
    cu.simultaneous_ecdf_bands: dict(num_samples=50, num_points=20, confidence=0.95, eps=1e-5, max_num_points=1000),
    cu.mean_squared_error: dict(x_true=np.zeros(2), x_pred=X),
    cu.root_mean_squared_error: dict(x_true=np.zeros(2), x_pred=X),
    cu.aggregated_error: dict(x_true=TRUTH, x_pred=POST, inner_error_fun=cu.root_mean_squared_error, outer_aggregation_fun=np.mean),
    cu.aggregated_rmse: dict(x_true=TRUTH, x_pred=POST),
    cu.c2st: dict(
        source_samples=X, target_samples=Y, n_folds=2, scoring="accuracy", normalize=True, seed=1, hidden_units_per_dim=4, aggregate_output=True
    ),
    cu.compute_jacobian_trace: dict(function=np.sin, inputs=X),
    sensitivity.plot_color_grid: dict(
        x_grid=GRID[0], y_grid=GRID[1], z_grid=GRID[0], cmap="viridis", vmin=None, vmax=None, xticks=None, yticks=None, hline_location=None, vline_location=None
    ),
    sensitivity.plot_model_misspecification_sensitivity: dict(
        results_dict=RESULT, first_config_dict=QUANTITY, second_config_dict=QUANTITY, plot_config=None
    ),
    bf.report: dict(
        trainer_or_draws=POST, truths_or_path=TRUTH, path=None, title=None, param_names=None, facts=None, latents=None, log_posterior=None, predictive=None,
        training=None, example_data_set=0, family_wise_error=0.05, expect_contraction=True, data_folder=None, seed=0, threads=0
    ),
    bf.CFunction: dict(shape=(1,), threads=0),
    bf.optimizers.CosineDecay: dict(initial_learning_rate=1e-3, decay_steps=100),
    bf.optimizers.ExponentialDecay: dict(initial_learning_rate=1e-3, decay_steps=100, decay_rate=0.9),
    bf.optimizers.PiecewiseConstantDecay: dict(boundaries=[10, 20], values=[1.0, 0.5, 0.1]),
    bf.optimizers.Adam: dict(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, global_clipnorm=1.0),
    bf.optimizers.AdamW: dict(learning_rate=1e-3, weight_decay=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7, global_clipnorm=1.0),
    bf.optimizers.SGD: dict(learning_rate=1e-3, momentum=0.1, global_clipnorm=1.0),
    bf.latents.MultivariateStudentT: dict(df=3),
    bf.helper_classes.RegressionLRAdjuster: dict(period=10, wait_between_fits=1, patience=1, tolerance=-0.05, reduction_factor=0.5, cooldown_factor=2.0, num_resets=3),
    bf.networks.DeepSet: dict(summary_dim=3, num_dense_s1=1, num_dense_s2=1, num_dense_s3=1, num_equiv=1, dense_s1_args=None, pooling_fun="mean", linear_path=False),
    bf.networks.SetTransformer: dict(
        input_dim=3, attention_settings=None, dense_settings=None, use_layer_norm=False, num_dense_fc=1, summary_dim=3, num_attention_blocks=1,
        num_inducing_points=4, num_seeds=1, embedding_dim=0
    ),
    bf.networks.TimeSeriesTransformer: dict(
        input_dim=3, attention_settings=None, dense_settings=None, use_layer_norm=True, num_dense_fc=1, summary_dim=3, num_attention_blocks=1,
        template_type="lstm", bidirectional=False, template_dim=4, time_encoding=True
    ),
    bf.networks.SequenceNetwork: dict(summary_dim=3, num_conv_layers=1, lstm_units=4, bidirectional=False, conv_settings=None),
    bf.networks.TimeSeriesNetwork: dict(
        summary_dim=3, num_conv_layers=1, filters=4, kernel_size=3, activation="relu", halve=True, recurrent_type="gru", recurrent_dim=4, bidirectional=False,
        mean=True
    ),
    bf.networks.ConvNetwork: dict(summary_dim=3, filters=(4, 8), blocks_per_stage=1, kernel_size=3, activation="relu", use_layer_norm=True),
    bf.networks.InvertibleNetwork: dict(
        num_params=2, num_coupling_layers=1, coupling_design="affine", coupling_settings=None, permutation="fixed", use_act_norm=True, act_norm_init=None,
        use_soft_flow=False, soft_flow_bounds=(1e-3, 5e-2)
    ),
}  # fmt: skip
FIRST = {bf.CFunction: (KEPT,)}
USERS = {"z_dist", "function", "aggregator_fun", "kernel", "inner_error_fun", "outer_aggregation_fun"}  # `int` is a function: what it raises stays as it is


def endures(call, values=WRONG):
    """Each value gives a result, or a sentence of the package."""
    for value in values:
        try:
            call(value)
        except (BayesFlowError, TypeError) as error:
            text = str(error)
            ours = isinstance(error, BayesFlowError) or ("must be" in text and "; got " in text)
            assert ours and 15 < len(text) < 700 and "::" not in text and "incompatible" not in text, f"{value!r}: {type(error).__name__}: {text}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths like "text" are fine
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize("function, name", [(f, name) for f, given in FUNCTIONS.items() for name in given], ids=lambda v: getattr(v, "__name__", v))
def test_functions(function, name):
    values = [v for v in WRONG if not (v is int and name in USERS)]
    with np.errstate(all="ignore"):
        endures(lambda value: function(*FIRST.get(function, ()), **{**FUNCTIONS[function], name: value}), values)


@pytest.mark.parametrize("key", ["units", "activation", "kernel_initializer", "kernel_regularizer"])
def test_dense_arguments(key):
    endures(lambda value: bf.networks.DeepSet(3, dense_s1_args={"units": 4, key: value}))
    endures(lambda value: bf.networks.InvertibleNetwork(2, 1, coupling_settings={"dense_args": {"units": 4, key: value}}))


@pytest.mark.parametrize("key", ["num_dense", "dropout", "dropout_prob", "mc_dropout", "spec_norm", "residual", "soft_clamping", "bins", "default_domain", "dense_args"])
def test_coupling_settings(key):
    design = "spline" if key in ("bins", "default_domain") else "affine"
    endures(lambda value: bf.networks.InvertibleNetwork(2, 1, design, coupling_settings={key: value}))


@pytest.fixture(scope="module")
def trainer():
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    simulator = bf.simulation.Simulator(simulator_fun=lambda t, rng: rng.normal(t, size=(5, 2)))
    flow = bf.networks.InvertibleNetwork(2, 1, coupling_settings={"dense_args": dict(units=4, kernel_regularizer=None), "dropout": False})
    amortizer = bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(2, num_equiv=0))
    return bf.trainers.Trainer(amortizer, bf.simulation.GenerativeModel(prior, simulator, skip_test=True), progress=False)


def is_long(value):
    """A count that would be simulated or trained for a long time, as asked."""
    return isinstance(value, int) and not isinstance(value, bool) and 10**6 < value < 10**19


@pytest.mark.parametrize(
    "name",
    ["max_to_keep", "default_lr", "skip_checks", "memory", "seed", "threads", "nonfinite", "max_dropped_share", "overlap", "checkpoint_minutes", "resume", "progress",
     "checkpoint_path", "configurator", "generative_model"],
)  # fmt: skip
def test_trainer(trainer, name):
    given = dict(progress=False, generative_model=trainer.generative_model)
    endures(lambda value: bf.trainers.Trainer(trainer.amortizer, **{**given, name: value}), [v for v in WRONG if v is not int])
    if name == "generative_model":
        endures(lambda value: bf.trainers.Trainer(trainer.amortizer, lambda n: value, progress=False))


@pytest.mark.parametrize(
    "name",
    ["epochs", "iterations_per_epoch", "batch_size", "save_checkpoint", "optimizer", "reuse_optimizer", "early_stopping", "validation_sims", "lr_adjuster", "model_args",
     "conf_args", "net_args", "val_model_args", "val_conf_args", "early_stopping_args"],
)  # fmt: skip
def test_training(trainer, name):
    given = dict(epochs=1, iterations_per_epoch=1, batch_size=4)
    endures(lambda value: trainer.train_online(**{**given, name: value}), [v for v in WRONG if not is_long(v)])


@pytest.mark.parametrize("name", ["observed_data", "reference_data", "num_reference_simulations", "num_null_samples", "bootstrap", "alpha_level", "seed"])
def test_mmd_test(trainer, name):
    given = dict(observed_data=np.zeros((4, 5, 2)), num_reference_simulations=20, num_null_samples=19)
    endures(lambda value: trainer.mmd_hypothesis_test(**{**given, name: value}), [v for v in WRONG if name == "seed" or not is_long(v)])


def test_diagnosed(trainer):
    sims = trainer.generative_model(8)
    values = [v for v in WRONG if not is_long(v)]
    endures(lambda value: trainer.diagnose_sbc_histograms(sims, n_samples=value), values)
    endures(lambda value: trainer.diagnose_sbc_histograms(sims, 20, conf_args=value), values)
    endures(lambda value: trainer.diagnose_latent2d(value) if value is not None else None)


@pytest.mark.parametrize("name", ["trainer", "generator", "first_config_dict", "second_config_dict", "error_function", "n_posterior_samples", "n_sim", "configurator"])
def test_misspecification(trainer, name):
    experiment, model = sensitivity.misspecification_experiment, trainer.generative_model
    given = dict(trainer=trainer, generator=lambda a, b: model, first_config_dict=QUANTITY, second_config_dict=QUANTITY, n_posterior_samples=5, n_sim=4)
    endures(lambda value: experiment(**{**given, name: value}), [v for v in WRONG if not (v is int or is_long(v))])
    if name == "first_config_dict":
        endures(lambda value: experiment(**{**given, name: {**QUANTITY, "values": value}}))
        endures(lambda value: sensitivity.plot_model_misspecification_sensitivity({**RESULT, "name": value}, QUANTITY, QUANTITY))
        endures(lambda value: sensitivity.plot_model_misspecification_sensitivity(RESULT, {**QUANTITY, "well_specified_value": value}, QUANTITY))
    if name == "generator":
        endures(lambda value: experiment(**{**given, name: lambda a, b: value}), [v for v in WRONG if v is not int])
    if name == "error_function":
        endures(lambda value: experiment(**{**given, name: lambda truths, draws: value}))


@pytest.mark.parametrize("name", ["source", "name", "shape", "flags", "threads"])
def test_compile(name, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "false")  # whatever gets as far as the compiler is told so
    given = dict(source="void f() {}", name="f", shape=(1,))
    endures(lambda value: bf.compile_cpp(**{**given, name: value}))
    with pytest.raises(ConfigurationError, match="flags must be a list of texts, or a text as a shell takes it"):
        bf.compile_cpp(**given, flags="-O2 'unfinished")


def test_compiled_functions():
    function = bf.CFunction(KEPT, (1,))
    endures(lambda value: bf.CFunction(value, (1,)), [v for v in WRONG if not (isinstance(v, (int, np.integer)) and 0 < v < 2**63)])
    endures(lambda value: bf.simulation.Simulator(simulator_fun=function)(value))
    contexts = bf.simulation.ContextGenerator
    endures(lambda value: bf.simulation.Prior(prior_fun=function, context_generator=contexts(lambda: value))(2))
    endures(lambda value: bf.simulation.Prior(prior_fun=function, context_generator=contexts(non_batchable_context_fun=lambda: value))(2))
    shaped = lambda value: bf.CFunction(KEPT, lambda n: value)
    endures(lambda value: bf.simulation.Prior(prior_fun=shaped(value), context_generator=contexts(non_batchable_context_fun=lambda: 2))(2))


def test_right_arguments_of_other_kinds():
    """What is refused above is not refused for its kind: the same numbers in other containers give the same results."""
    for other in (np.ndarray.tolist, np.asfortranarray, lambda x: x.astype(np.float16).astype(object), pd.DataFrame, lambda x: np.repeat(x, 2, axis=1)[:, ::2]):
        x = X.astype(np.float16).astype(float)
        assert losses.norm_diff(other(x), Y) == losses.norm_diff(x, Y)
        assert cu.maximum_mean_discrepancy(other(x), Y) == cu.maximum_mean_discrepancy(x, Y)
        assert cu.aggregated_rmse(other(x), x[:, None] + 1) == cu.aggregated_rmse(x, x[:, None] + 1) == 1
    frozen = POST.copy()
    frozen.flags.writeable = False
    assert bf.report(frozen, TRUTH).verdict.sentence == bf.report(POST, TRUTH).verdict.sentence


def test_too_much_memory():
    """As the engine says it; asking it for so much would end the process where the system promises memory that it has not."""

    def engine(count):
        raise MemoryError("std::bad_alloc")

    with pytest.raises(MemoryError, match=r"^sample: there is not enough memory for what is asked; use fewer or smaller: 2147483648 is among the arguments$") as caught:
        bf._calls._explained(engine, "sample")(2**31)
    assert isinstance(caught.value, OutOfMemoryError)


SENTENCES = [
    (lambda: losses.kl_latent_space_gaussian(None, X[:, 0]), ConfigurationError, "^z must be an array of numbers; got None$"),
    (lambda: losses.kl_latent_space_student([1.0, 2.0], X, X[:, 0]), ShapeError, r"must be a number or of the shape of log_det_J, \(20,\); got \(2,\)$"),
    (lambda: losses.kl_dirichlet(ONE_HOT, ONE_HOT), ConfigurationError, "concentrations, must be positive and below 1e300; got 0.0$"),
    (lambda: losses.log_loss(ONE_HOT, PROBABILITIES, label_smoothing=2), ConfigurationError, r"label_smoothing must be None or lie in \[0, 1\]; got 2.0$"),
    (lambda: losses.mmd_summary_space(X, z_dist=3), ConfigurationError, "^z_dist must be a function of a shape; got 3$"),
    (lambda: losses.norm_diff(X, POST[0, :3]), ShapeError, r"shapes that can be subtracted; got \(20, 2\) and \(3, 2\)$"),
    (lambda: losses.norm_diff(X, Y, axis=2), ConfigurationError, r"axis must be None or axes of a difference of shape \(20, 2\); got 2$"),
    (lambda: cu.simultaneous_ecdf_bands(2**30), ArgumentError, "at most 1,000,000"),
    (lambda: cu.aggregated_error(TRUTH, POST, inner_error_fun=None), ConfigurationError, "inner_error_fun must be a function of a truth and its estimates; got None"),
    (lambda: sensitivity.plot_color_grid(*GRID, GRID[0], cmap="nothing"), ConfigurationError, "cmap must be a colour map of matplotlib or its name; got 'nothing'"),
    (lambda: sensitivity.misspecification_experiment(3, print, QUANTITY, QUANTITY), ConfigurationError, "trainer must be a Trainer; got 3$"),
    (lambda: bf.report(POST, TRUTH, facts=3), ConfigurationError, r"facts must be a dictionary \{name: value\} or a list of pairs; got 3$"),
    (lambda: bf.report(POST, TRUTH, 3), ConfigurationError, "report: path must be a path .*; got int$"),
    (lambda: bf.report(None, TRUTH), ConfigurationError, r"draws must be an array of numbers \(data sets, draws, parameters\); got None$"),
    (lambda: bf.CFunction(KEPT, (2**16, 2**16)), ConfigurationError, r"at most 2\^31 values; got the shape \(65536, 65536\)$"),
]


@pytest.mark.parametrize("call, kind, sentence", SENTENCES)
def test_sentences(call, kind, sentence):
    with pytest.raises(kind, match=sentence):
        call()


def benchmark_functions():
    """Every function of every problem with arguments that work."""
    yield bf.benchmarks.Benchmark, dict(name="slcp", mode="joint", seed=1, prior_kwargs={"lower_bound": -1}, sim_kwargs={"n_obs": 2})
    yield bf.benchmarks.get_benchmark_module, dict(benchmark_name="sir")
    two_moons = bf.benchmarks.Benchmark("two_moons")
    data = pathlib.Path(__file__).resolve().parents[1] / "benchmarks" / "data"
    yield two_moons.reference, dict(observation=1, path=data)
    check = dict(path=data, observations=[1], n_samples=20, seed=0, configurator=None, to_parameters=None, n_folds=2, hidden_units_per_dim=2, max_epochs=1, threads=1)
    yield two_moons.posterior_check, dict(amortizer=argparse.Namespace(sample=lambda inputs, n: np.random.default_rng(0).normal(size=(n, 2))), **check)
    for name in bf.benchmarks.available_benchmarks:
        module = bf.benchmarks.get_benchmark_module(name)
        forward = bf.benchmarks.Benchmark(name).generative_model(2)
        given = {"theta": forward["prior_draws"], "forward_dict": forward, "num_students": 3}
        for function in vars(module).values():
            if getattr(function, "__module__", None) == module.__name__ and not isinstance(function, type):
                yield function, {p.name: given.get(p.name, p.default) for p in inspect.signature(function).parameters.values()}


BENCHMARKS = list(benchmark_functions())


@pytest.mark.parametrize("function, given", BENCHMARKS, ids=[f"{f.__module__.rpartition('.')[2]}.{f.__name__}" for f, _ in BENCHMARKS])
def test_benchmarks(function, given):
    users = {"configurator", "to_parameters", "amortizer"}
    for name in given:
        # A DataFrame has a function `sample`: what it raises stays as it is.
        values = [v for v in WRONG if not (name in users and (v is int or isinstance(v, pd.DataFrame)))]
        endures(lambda value: function(**{**given, name: value}), values)
