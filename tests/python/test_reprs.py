"""What a notebook shows of an object: what it is, its main options, and how many weights there are."""

import pickle

import numpy as np
import pytest

import bayesflow_cpp as bf

nets, sims, opt = bf.networks, bf.simulation, bf.optimizers
X, THETA = np.zeros((2, 5, 3)), np.zeros((2, 4))


def prior(rng):
    return rng.normal(size=4)


def simulator(theta, rng):
    return rng.normal(theta, size=(5, 4))


def test_deep_set():
    net = nets.DeepSet(10, num_equiv=1, dense_s1_args=dict(units=32, activation="elu", kernel_regularizer=1e-3), pooling_fun="max")
    start = "<DeepSet(summary_dim=10, num_equiv=1, pooling_fun='max'), s1: 2 x 32 elu with weight decay 0.001, s2: 2 x 64 relu, s3: 2 x 64 relu; "
    assert repr(net) == start + "no weights yet>" and repr(pickle.loads(pickle.dumps(net))) == repr(net)
    net(X)
    assert repr(net) == f"{start}{net._alone.number_of_parameters:,} weights>"
    assert "linear_path=True" in repr(nets.DeepSet(4, linear_path=True))


def test_flow():
    flow = nets.InvertibleNetwork(4, 2, coupling_settings={"dense_args": dict(units=16, kernel_regularizer=None), "dropout": False})
    assert repr(flow) == "<InvertibleNetwork(num_params=4, num_coupling_layers=2, coupling_design='affine'), 2 x 16 relu; no weights yet>"
    flow(THETA)
    assert repr(flow).endswith(f"; {flow._alone.number_of_parameters:,} weights>")
    interleaved = repr(nets.InvertibleNetwork(4, coupling_design="interleaved", permutation="learnable", use_act_norm=False))
    for part in ("permutation='learnable'", "use_act_norm=False", "dropout 0.05 and 2 x 128 relu", "16 bins"):
        assert part in interleaved


def test_own_network():
    class Mean(nets.SummaryNetwork):
        def __init__(self):
            super().__init__()
            self.out = nets.Dense(5)

        def call(self, x):
            return self.out(nets.mean_pool(x))

    net = Mean()
    assert repr(net) == "<Mean: not called yet>"
    net(X)
    assert repr(net) == "<Mean: 2 operations, summary_dim 5; 20 weights>"
    assert repr(net.out) == "Dense(5)" and repr(nets.Dense(3, activation="relu")) == "Dense(3, activation='relu')"


def test_models():
    named = sims.Prior(prior_fun=prior, param_names=["a", "b"])
    assert repr(named) == "Prior(prior_fun=prior, param_names=['a', 'b'])"
    assert repr(sims.Simulator(batch_simulator_fun=simulator)) == "Simulator(batch_simulator_fun=simulator)"
    contexts = sims.ContextGenerator(lambda: 1, prior)
    assert repr(contexts) == "ContextGenerator(batchable_context_fun=<lambda>, non_batchable_context_fun=prior)"
    many = repr(sims.Prior(prior_fun=prior, context_generator=contexts, param_names=[f"p{i}" for i in range(100)]))
    assert many == f"Prior(prior_fun=prior, context_generator={contexts!r}, param_names=['p0', ..., 'p99'] (100))"
    model = sims.GenerativeModel(named, sims.Simulator(simulator_fun=simulator), skip_test=True, name="gauss", seed=3)
    assert repr(model) == f"<GenerativeModel 'gauss': {named!r}, Simulator(simulator_fun=simulator), seed 3>"


def test_trained(tmp_path, small_amortizer, gaussian_model):
    amortizer = small_amortizer(latent_dist=bf.latents.MultivariateStudentT(5), summary_loss_fun="MMD")
    start = "<AmortizedPosterior of 4 parameters, summary network DeepSet, latents MultivariateStudentT(df=5), MMD of summaries x 1; "
    assert repr(amortizer) == start + "no weights yet>"
    trainer = bf.trainers.Trainer(amortizer, gaussian_model(), progress=False, checkpoint_path=tmp_path / "kept")
    assert repr(trainer).endswith("kept': 0 steps in 0 runs>") and str(tmp_path) in repr(trainer)
    trainer.train_online(1, 2, 4)
    last = f"2 steps in 1 run, last loss {trainer.loss_history.last_total_loss():.4g}>"
    assert repr(trainer).endswith(last) and repr(trainer.loss_history) == f"<LossHistory: {last}"
    total = amortizer.number_of_parameters
    assert repr(amortizer) == f"{start}{total:,} weights>"
    parts = [int(repr(net).split("; ")[1].split()[0].replace(",", "")) for net in (amortizer.inference_net, amortizer.summary_net)]
    assert min(parts) > 0 and sum(parts) == total
    amortizer.save(tmp_path / "model.h5")
    loaded = bf.load_amortizer(tmp_path / "model.h5")
    assert repr(loaded) == f"{start.replace('summary network DeepSet', 'a summary network')}{total:,} weights>"
    assert repr(loaded.summary_net) == f"<summary network of a file; {parts[1]:,} weights>"
    assert repr(loaded.inference_net).startswith("<coupling flow of 4 parameters: ")
    assert repr(loaded.inference_net).endswith(f", of a file; {parts[0]:,} weights>")
    trainer.generative_model.presimulate(tmp_path / "sims.h5", 4, progress=False)
    assert repr(bf.SimulationStore(tmp_path / "sims.h5")).endswith("sims.h5': 4 simulations in 1 batch>")


@pytest.mark.parametrize(
    "made, text",
    [
        (lambda: opt.Adam(opt.CosineDecay(1e-3, 10)), "Adam(CosineDecay(0.001, 10), beta_1=0.9, beta_2=0.999, epsilon=1e-07, global_clipnorm=1.0)"),
        (lambda: opt.AdamW(1e-3, global_clipnorm=None), "AdamW(0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-07, global_clipnorm=None)"),
        (lambda: opt.SGD(prior, momentum=0.9), "SGD(prior, momentum=0.9, global_clipnorm=1.0)"),
        (lambda: opt.SGD(), "SGD(momentum=0.0, global_clipnorm=1.0)"),
        (lambda: opt.ExponentialDecay(1e-3, 5, 0.9), "ExponentialDecay(0.001, 5, 0.9)"),
        (lambda: opt.PiecewiseConstantDecay([5], [1, 0.5]), "PiecewiseConstantDecay([5], [1.0, 0.5])"),
        (
            bf.helper_classes.RegressionLRAdjuster,
            "RegressionLRAdjuster(period=1000, patience=10, tolerance=-0.05, reduction_factor=0.25, num_resets=3)",
        ),
    ],
)
def test_optimizers(made, text):
    assert repr(made()) == text
