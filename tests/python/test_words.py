"""Errors name what a Python user wrote, not what C++ calls it."""

import re
from pathlib import Path

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp._words import in_python
from bayesflow_cpp.exceptions import ArgumentError, BayesFlowError, ConfigurationError

nets, opt = bf.networks, bf.optimizers


def flow(**settings):
    return nets.InvertibleNetwork(2, 1, coupling_settings=settings)


def trained(**options):
    dense = {"dense_args": dict(units=4, kernel_regularizer=None), "dropout": False}
    amortizer = bf.amortizers.AmortizedPosterior(nets.InvertibleNetwork(2, 1, coupling_settings=dense), nets.DeepSet(2, num_equiv=0))
    return bf.trainers.Trainer(amortizer, model(), progress=False, **options)


def model(simulate=lambda t, rng: rng.normal(t, size=(5, 2))):
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    return bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=simulate), skip_test=True)


def with_mmd(weight):
    return bf.amortizers.AmortizedPosterior(flow(), nets.DeepSet(2), summary_loss_fun="MMD", summary_loss_weight=weight)._core


def stopped_early(**arguments):
    trained().train_online(1, 1, 4, early_stopping=True, validation_sims=4, early_stopping_args=arguments)


def report(**options):
    return bf.report(np.zeros((30, 20, 2)), np.zeros((30, 2)), **options)


ADAM = "optimizer: beta_1 = 1; it must be at least 0 and less than 1"
OPTIONS = [
    (lambda: nets.DeepSet(0), "DeepSet: summary_dim = 0; it must be at least 1"),
    (lambda: nets.DeepSet(2, num_dense_s2=0), "DeepSet: num_dense_s2 = 0; it must be at least 1"),
    (lambda: nets.DeepSet(2, num_equiv=-1), "DeepSet: num_equiv = -1; it must be at least 0"),
    (lambda: nets.DeepSet(2, num_equiv=2**40), "DeepSet: num_equiv may be at most 1000; got 1099511627776"),
    (lambda: nets.DeepSet(2, dense_s1_args=dict(units=0)), "DeepSet: dense_s1_args: units = 0; a dense layer needs at least one unit"),
    (lambda: nets.DeepSet(2, dense_s3_args=dict(units=1, kernel_regularizer=-1)), "DeepSet: dense_s3_args: kernel_regularizer = -1; it must not be negative"),
    (lambda: nets.InvertibleNetwork(0), "InvertibleNetwork: num_params = 0; it must be the number of parameters, at least 1"),
    (lambda: nets.InvertibleNetwork(2, 0), "InvertibleNetwork: num_coupling_layers = 0; it must be at least 1"),
    (lambda: nets.InvertibleNetwork(2, 2**40), "InvertibleNetwork: num_coupling_layers may be at most 1000; got 1099511627776"),
    (lambda: nets.InvertibleNetwork(2, 1, act_norm_init=np.zeros((5, 3))), "InvertibleNetwork: act_norm_init has shape (5, 3); it must be (n, 2) or (n, N, 2)"),
    (lambda: nets.InvertibleNetwork(2, 1, soft_flow_bounds=(2, 1)), "InvertibleNetwork: soft_flow_bounds must be two positive numbers, the lower one first; got (2, 1)"),
    (lambda: flow(num_dense=0), "coupling_settings: num_dense = 0; it must be at least 1"),
    (lambda: flow(dropout_prob=1), "coupling_settings: dropout_prob = 1; it must be in [0, 1)"),
    (lambda: flow(soft_clamping=-1), "coupling_settings: soft_clamping = -1; it must be positive, or 0 for none"),
    (lambda: flow(dense_args=dict(units=-3)), "coupling_settings: dense_args: units = -3; a dense layer needs at least one unit"),
    (lambda: nets.InvertibleNetwork(2, 1, "spline", {"bins": 1}), "coupling_settings: bins = 1; it must be at least 2"),
    (lambda: nets.InvertibleNetwork(2, 1, "spline", {"default_domain": (1, -1, 0, 1)}), "default_domain must be left < right, bottom < top; got 1, -1, 0, 1"),
    (lambda: nets.Dense(0), "Dense: units must be a positive integer; got 0"),
    (lambda: opt.Adam(beta_1=1), ADAM),
    (lambda: opt.AdamW(weight_decay=-1), "optimizer: weight_decay = -1; it must be at least 0"),
    (lambda: opt.SGD(momentum=2), "optimizer: momentum = 2; it must be at least 0 and less than 1"),
    (lambda: opt.Adam(global_clipnorm=float("nan")), "Adam: options must be finite"),
    (lambda: opt.Adam(0.0), "Adam: learning_rate must be positive and finite; got 0.0"),
    (lambda: with_mmd(-1), "AmortizedPosterior: summary_loss_weight = -1; it must be finite and not negative"),
    (lambda: bf.amortizers.AmortizedPosterior(flow(), threads=-1), "AmortizedPosterior: threads must be an integer of at least 0; got -1"),
    (lambda: trained(default_lr=0), "Trainer: default_lr = 0; it must be positive and finite"),
    (lambda: stopped_early(patience="long"), "early_stopping_args: patience must be an integer; got 'long'"),
    (lambda: bf.helper_classes.RegressionLRAdjuster(period=1.5), "RegressionLRAdjuster: period must be an integer; got 1.5"),
    (lambda: trained(max_to_keep=0), "Trainer: max_to_keep = 0; it must be at least 1"),
    (lambda: trained(checkpoint_minutes=-1), "Trainer: checkpoint_minutes = -1; it must be positive"),
    (lambda: trained(threads=-1), "Trainer: threads = -1; it must be at least 0 (0: all)"),
    (lambda: bf.diagnostics.sbc_ranks(np.zeros((30, 20, 2)), np.zeros((30, 2)), threads=10**6), "threads = 1000000; it must be at most 65536"),
    (lambda: trained(max_dropped_share=1), "max_dropped_share = 1; it must be at least 0 and less than 1"),
    (lambda: trained(resume="no"), "Trainer: resume must be one of 'program', 'state'; got 'no'"),
    (lambda: stopped_early(patience=0), "early_stopping_args: patience = 0; it must be at least 1"),
    (lambda: stopped_early(min_improvement=-1), "early_stopping_args: min_improvement = -1; it must be at least 0"),
    (
        lambda: trained().train_online(1, 1, 4, lr_adjuster=bf.helper_classes.RegressionLRAdjuster(period=0)),
        "RegressionLRAdjuster: period = 0; it must be at least 3",
    ),
    (lambda: trained().train_online(2**62, 2**62, 4), "train_online: 4611686018427387904 epochs of 4611686018427387904 iterations are more steps than can be counted"),
    (lambda: trained().train_experience_replay(1, 1, 4, buffer_capacity=0), "train_experience_replay: buffer_capacity must be a positive integer; got 0"),
    (lambda: trained().train_from_presimulation("nowhere", max_epochs=-1), "train_from_presimulation: max_epochs must be a positive integer; got -1"),
    (lambda: trained().mmd_hypothesis_test(np.zeros((3, 5, 2)), num_null_samples=1), "mmd_hypothesis_test: num_null_samples is 1; it must be at least 19"),
    (lambda: trained().mmd_hypothesis_test(np.zeros((3, 5, 2)), alpha_level=2), "mmd_hypothesis_test: alpha_level is 2; it must be above 0 and below 1"),
    (lambda: model().presimulate("s.h5", 4, batch_size=-1, progress=False), "presimulate: batch_size = -1; it must be at least 1, or 0 for the default"),
    (lambda: model().presimulate("s.h5", 4, max_share=1, progress=False), "max_share = 1; it must be at least 0 and less than 1"),
    (lambda: model().presimulate("s.h5", 0, progress=False), "GenerativeModel.presimulate: n must be at least 1; got 0"),
    (lambda: report(family_wise_error=2), "report: family_wise_error = 2; it must lie between 0 and 1"),
    (lambda: report(example_data_set=-1), "report: example_data_set = -1; it must not be negative"),
    (
        lambda: trained().train_offline({"prior_draws": np.zeros((4, 2)), "sim_data": np.full((4, 5, 2), np.nan)}, 1, 4),
        'every value must be finite: mend the data, or set nonfinite = "drop"',
    ),
]  # fmt: skip


@pytest.mark.parametrize("call, sentence", OPTIONS, ids=[sentence[:50] for _, sentence in OPTIONS])
def test_options(call, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BayesFlowError) as caught:
        call()
    assert sentence in str(caught.value) and "::" not in str(caught.value)


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: nets.DeepSet("many"), "^DeepSet: summary_dim must be a whole number; got str 'many'$"),
        (lambda: nets.DeepSet(2, pooling_fun=3), "^DeepSet: pooling_fun must be a text; got int 3$"),
        (lambda: nets.DeepSet(2, dense_s1_args=dict(units="many")), "^dense layer: units must be a whole number; got str 'many'$"),
        (lambda: flow(num_dense=1.5), "^coupling_settings: num_dense must be a whole number; got float 1.5$"),
        (lambda: nets.InvertibleNetwork(2, 1, "spline", {"bins": None}), "^coupling_settings: bins must be a whole number; got NoneType None$"),
        (lambda: report(title=3), "^report: title must be a text or None; got int 3$"),
    ],
)
def test_kinds(call, sentence):
    with pytest.raises(TypeError, match=sentence):
        call()


@pytest.mark.parametrize(
    "schedule, sentence",
    [
        (lambda: opt.CosineDecay(1e-3, -1), "^CosineDecay: decay_steps must be at least 1; got -1$"),
        (lambda: opt.CosineDecay(-1e-3, 10), "^CosineDecay: initial_learning_rate must be positive and finite; got -0.001$"),
        (lambda: opt.CosineDecay(float("nan"), 10), "initial_learning_rate must be positive and finite; got nan$"),
        (lambda: opt.CosineDecay(1e-3, 10**30), r"decay_steps must be a whole number below 2\^63; got 10{30}$"),
        (lambda: opt.CosineDecay(1e-3, 2.5), "decay_steps must be a whole number; got 2.5$"),
        (lambda: opt.CosineDecay([1, [2]], 5), r"initial_learning_rate must be a number; got \[1, \[2\]\]$"),
        (lambda: opt.ExponentialDecay(1e-3, 0, 0.9), "^ExponentialDecay: decay_steps must be at least 1; got 0$"),
        (lambda: opt.ExponentialDecay(1e-3, 5, 0), "^ExponentialDecay: decay_rate must be positive and finite; got 0.0$"),
        (lambda: opt.PiecewiseConstantDecay([5], [1]), "values must be one more than boundaries; got 1 for 1 boundaries$"),
        (lambda: opt.PiecewiseConstantDecay([5, 5], [1, 2, 3]), r"boundaries must be positive and ascend; got \[5, 5\]$"),
        (lambda: opt.PiecewiseConstantDecay([-5], [1, 2]), r"boundaries must be positive and ascend; got \[-5\]$"),
        (lambda: opt.PiecewiseConstantDecay([5], [1, -2]), "values must be positive and finite; got -2.0$"),
        (lambda: opt.PiecewiseConstantDecay(np.array(2.0), [1]), "boundaries must be a list of numbers"),
    ],
)
def test_schedules_refuse_when_they_are_made(schedule, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        schedule()


def test_a_learning_rate_of_the_users():
    with pytest.raises(ConfigurationError, match="^what the learning rate's function returns for step [0-9]+ must be a number; got 'fast'$"):
        trained().train_online(1, 2, 4, optimizer=opt.Adam(lambda step: "fast"))


def test_what_happens_later(tmp_path):
    """Sentences from within a run: what to set is said as Python has it."""
    poor = lambda t, rng: rng.normal(t, size=(5, 2)) * (np.nan if rng.uniform() < 0.9 else 1)  # noqa: E731
    with pytest.raises(BayesFlowError, match="max_share = 0.1.* or raise max_share if this is meant") as caught:
        model(poor).presimulate(tmp_path / "s.h5", 200, nonfinite="redraw", progress=False)
    assert "::" not in str(caught.value)
    trainer = trained(checkpoint_path=tmp_path / "kept")
    trainer.generative_model.presimulate(tmp_path / "bad.h5", 20, nonfinite="refuse", progress=False)
    with pytest.raises(ArgumentError, match=r"^AmortizedPosterior.sample: n_samples must be a positive integer; got 0$"):
        trainer.amortizer.sample({"summary_conditions": np.zeros((2, 5, 2))}, 0)


@pytest.mark.parametrize(
    "engine, python",
    [
        ("set TrainerOptions::resume = Resume::state to begin new ones", 'set resume = "state" to begin new ones'),
        ("or set TrainerOptions::nonfinite to NonFinite::drop (given", 'or set nonfinite = "drop" (given'),
        ("so in the file: give it as LoadAmortizerOptions::latent", "so in the file: load the file in C++, with that code"),
        ("check failed. Cause: DeepSetOptions::dense_s1: units = 0", "check failed. Cause: DeepSet: dense_s1_args: units = 0"),
        ("more than NonFinitePolicy::max_share = 0.1; raise max_share", "more than max_dropped_share = 0.1; raise max_dropped_share"),
        ("choose another ReportOptions::example_data_set", "choose another example_data_set"),
        ("simulator: a user's own C++ name like std::vector stays", "simulator: a user's own C++ name like std::vector stays"),
    ],
)
def test_words(engine, python):
    assert in_python(engine) == python


def test_no_sentence_of_the_engine_is_left_out():
    """Every text in the sources that Python users reach, as it would come out."""
    sources = Path(__file__).parents[2] / "src"
    found = 0
    for layer in ("networks", "nn", "amortizers", "training", "simulation", "report"):
        for source in (sources / layer).glob("*.cpp"):
            text = re.sub(r'"\s*\n\s*"', "", source.read_text(encoding="utf-8"))  # joined literals
            for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"', text):
                if re.search(r"(?<!\bstd)::[a-z]", literal):
                    found += 1
                    assert "::" not in in_python(literal) and "Options" not in in_python(literal), f"{source.name}: {literal}"
    assert found > 30
