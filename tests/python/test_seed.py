"""BayesFlow v1's quickstart notebook: its code cells with the import line changed and nothing else, run top to bottom in a Jupyter kernel."""

import ast
import re

import numpy as np
import pytest

from notebooks import run_cells

# The cells as the notebook has them, in their order.
CELLS = [
    """\
import numpy as np
import bayesflow_cpp as bf
""",
    """\
RNG = np.random.default_rng(2023)
""",
    """\
def prior_fun(D=4):
    return RNG.normal(size=D)
""",
    """\
prior = bf.simulation.Prior(prior_fun=prior_fun)
""",
    """\
prior(batch_size=10)
""",
    """\
def likelihood_fun(params, n_obs=50):
    return RNG.normal(loc=params, size=(n_obs, params.shape[0]))
""",
    """\
simulator = bf.simulation.Simulator(simulator_fun=likelihood_fun)
""",
    """\
model = bf.simulation.GenerativeModel(prior=prior, simulator=simulator)
""",
    """\
out = model(batch_size=3)
""",
    """\
print(list(out.keys()))
""",
    """\
print("Shape of sim_data: ", out["sim_data"].shape)
""",
    """\
summary_net = bf.networks.DeepSet(summary_dim=10)
""",
    """\
test_inp = model(batch_size=3)
summary_rep = summary_net(test_inp["sim_data"]).numpy()
print("Shape of simulated data sets: ", test_inp["sim_data"].shape)
print("Shape of summary vectors: ", summary_rep.shape)
""",
    """\
inference_net = bf.networks.InvertibleNetwork(
    num_params=4,
    num_coupling_layers=4,
    coupling_settings={"dense_args": dict(kernel_regularizer=None), "dropout": False},
)
""",
    """\
z, log_det_J = inference_net(test_inp["prior_draws"], summary_rep)
""",
    """\
print("Shape of latent variables:", z.numpy().shape)
print("Shape of log det Jacobian:", log_det_J.numpy().shape)
""",
    """\
amortizer = bf.amortizers.AmortizedPosterior(inference_net, summary_net)
""",
    """\
trainer = bf.trainers.Trainer(amortizer=amortizer, generative_model=model)
""",
    """\
# Simulate some data again
out = model(3)
print("Keys of simulated dict: ", list(out.keys()))
""",
    """\
conf_out = trainer.configurator(out)
""",
    """\
print("Keys of configured dict: ", list(conf_out.keys()))
""",
    """\
print(np.allclose(out["sim_data"], conf_out["summary_conditions"]))
print(np.allclose(out["prior_draws"], conf_out["parameters"]))
""",
    """\
%%time
_ = model(32)
""",
    """\
%%time
history = trainer.train_online(epochs=10, iterations_per_epoch=1000, batch_size=32, validation_sims=200)
""",
    """\
f = bf.diagnostics.plot_losses(history["train_losses"], history["val_losses"], moving_average=True)
""",
    """\
test_sims = trainer.configurator(model(500))
""",
    """\
z_samples, _ = amortizer(test_sims)
""",
    """\
f = bf.diagnostics.plot_latent_space_2d(z_samples)
""",
    """\
# Obtain 100 posterior samples for each simulated data set in test_sims
posterior_samples = amortizer.sample(test_sims, n_samples=100)
""",
    """\
f = bf.diagnostics.plot_sbc_histograms(posterior_samples, test_sims["parameters"], num_bins=10)
""",
    """\
f = bf.diagnostics.plot_sbc_ecdf(posterior_samples, test_sims["parameters"], difference=True)
""",
    """\
post_samples = amortizer.sample(test_sims, n_samples=1000)
""",
    """\
print("Shape of posterior samples array:", post_samples.shape)
""",
    """\
f = bf.diagnostics.plot_recovery(post_samples, test_sims["parameters"])
""",
    """\
f = bf.diagnostics.plot_z_score_contraction(post_samples, test_sims["parameters"])
""",
    """\
# Your code here
""",
]

# What the notebook prints, beside times and log lines: first words of a cell, and its output.
FORWARD_KEYS = (
    "['prior_non_batchable_context', 'prior_batchable_context', 'prior_draws', 'sim_non_batchable_context', 'sim_batchable_context', 'sim_data']"
)
PRINTED = {
    "print(list(out.keys()))": FORWARD_KEYS,
    'print("Shape of sim_data': "Shape of sim_data:  (3, 50, 4)",
    "test_inp =": "Shape of simulated data sets:  (3, 50, 4)\nShape of summary vectors:  (3, 10)",
    'print("Shape of latent': "Shape of latent variables: (3, 4)\nShape of log det Jacobian: (3,)",
    "# Simulate some": "Keys of simulated dict:  " + FORWARD_KEYS,
    'print("Keys of configured': "Keys of configured dict:  ['summary_conditions', 'direct_conditions', 'parameters']",
    "print(np.allclose(out": "True\nTrue",
    'print("Shape of posterior': "Shape of posterior samples array: (500, 1000, 4)",
}
PRIOR_DRAWS = [
    [0.60172129, 1.15161897, -1.35946236, 0.22205533],
    [-0.77586755, 0.8087058, -0.19862826, -1.57869386],
    [-0.6292893, -0.38775694, 0.05018619, -0.90704364],
    [0.13213809, 1.40490249, 0.40410205, -1.03741343],
    [-0.74180264, 1.26349944, -0.68932403, 0.70801477],
    [-0.03504752, -0.83781649, -0.73251795, 1.04738251],
    [-1.4238012, 1.35404102, -0.39509257, -0.92921568],
    [0.44406269, 0.14221762, 1.36874071, -0.49876242],
    [-0.0742687, 0.93937197, -0.62614275, -1.02895874],
    [-2.13303915, 0.90438789, -2.08440387, 0.28253568],
]

# Runs before the notebook; its cells are as they are. A twentieth of the steps.
FEWER_STEPS = """\
import bayesflow_cpp
_train = bayesflow_cpp.trainers.Trainer.train_online
bayesflow_cpp.trainers.Trainer.train_online = lambda self, epochs, iterations_per_epoch, **rest: _train(
    self, epochs, iterations_per_epoch // 20, **rest)
"""

# Runs before and after it: this process's peak so far, in kB. ru_maxrss would inherit that of the process that started the kernel.
PEAK = """\
with open("/proc/self/status") as _file:
    print(next(line.split()[1] for line in _file if line.startswith("VmHWM")))
"""
LOSSES = 'print(len(history["train_losses"]), len(history["val_losses"]), float(history["val_losses"].iloc[-1, 0]))'


def text(cell):
    """What a cell printed."""
    said = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")
    # In a notebook the package's messages and bars go to stdout as well, because stderr has the colour of errors.
    lines = re.split(r"[\r\n]+", said)
    return "\n".join(line for line in lines if not re.match(r"INFO:bayesflow_cpp:|Training epoch", line.strip("\x1b[A "))).strip()


def result(cell):
    """The text of its last line's value."""
    return "".join(o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result")


def log(cells):
    return "".join(o.text for cell in cells for o in cell.outputs if o.output_type == "stream")


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["fewer_steps", "full"])
def test_the_notebook_runs(full, record_property, monkeypatch):
    monkeypatch.delenv("MALLOC_PERTURB_", raising=False)  # it writes to memory that is freed, and so makes pages of it that users do not have
    idle, _, *cells, peak, losses = run_cells([PEAK, "" if full else FEWER_STEPS, *CELLS, PEAK, LOSSES])

    out = result(cells[4])  # the prior's dictionary, with its keys in their order
    assert re.findall(r"'(\w+)'", out) == ["prior_draws", "batchable_context", "non_batchable_context"]
    draws = ast.literal_eval(re.search(r"array\((.*?)\),\s*'batch", out, re.DOTALL).group(1))
    np.testing.assert_array_equal(draws, PRIOR_DRAWS)

    for start, expected in PRINTED.items():
        (cell,) = [c for c in cells if c.source.startswith(start)]
        assert text(cell) == expected
    assert sum(c.source.startswith("f = ") and any(o.output_type == "display_data" for o in c.outputs) for c in cells) == 6  # a figure each

    said = log(cells)
    for line in ("Performing 2 pilot runs with the anonymous model...", "Shape of parameter batch after 2 pilot simulations: (batch_size = 2, 4)",
                 "Shape of simulation batch after 2 pilot simulations: (batch_size = 2, 50, 4)",
                 "Performing a consistency check with provided components...", "Done.",
                 "Generated 200 simulations for validation.", "Validation, Epoch: 10, Loss: "):  # fmt: skip
        assert line in said, line
    assert "Warning" not in said and "Traceback" not in said

    steps, epochs, validation = text(losses).split()
    assert (int(steps), int(epochs)) == (10000 if full else 500, 10)
    if full:
        assert float(validation) < -1.9  # the exact posterior's: -2.19 on average, 0.1 of scatter between sets of 200
    idle, peak = int(text(idle)) / 1000, int(text(peak)) / 1000
    print(f"peak memory: {peak:.0f} MB, of which a kernel that has run nothing has {idle:.0f}; last validation loss {validation}")
    record_property("megabytes", peak)
    assert peak < 250
