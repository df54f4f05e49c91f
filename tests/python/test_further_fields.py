"""Fields of a forward dictionary beyond v1's six."""

import numpy as np
import pytest

import bayesflow_cpp as bf
from bayesflow_cpp.exceptions import ConfigurationError
from bayesflow_cpp.simulation import Shared

DRAWS = np.random.default_rng(0).normal(size=(40, 2))
MASK = (np.arange(6) < np.random.default_rng(1).integers(2, 7, size=(40, 1))).astype(float)
DATA = np.where(MASK[..., None] > 0, np.random.default_rng(2).normal(DRAWS[:, None], size=(40, 6, 2)), 0)
FORWARD = {"prior_draws": DRAWS, "sim_data": DATA, "sim_data_mask": MASK}


def test_files_keep_them(tmp_path):
    path = tmp_path / "simulations.h5"
    bf.simulation.save_simulations({**FORWARD, "design": Shared([0.5, 1.0])}, path)
    back = bf.simulation.SimulationStore(path).read()
    np.testing.assert_array_equal(back["sim_data_mask"], MASK)
    assert isinstance(back["design"], Shared)
    np.testing.assert_array_equal(back["design"].values, [0.5, 1.0])
    bf.simulation.save_simulations(back, tmp_path / "again.h5")
    np.testing.assert_array_equal(bf.simulation.SimulationStore(tmp_path / "again.h5").read()["design"].values, [0.5, 1.0])


@pytest.mark.parametrize("name", ["a b", "a/b", "ä", "x" * 32])
def test_names_are_checked(tmp_path, name):
    with pytest.raises(bf.exceptions.ArgumentError, match="letters, digits and underscores"):
        bf.simulation.save_simulations({**FORWARD, name: MASK}, tmp_path / "simulations.h5")


def test_the_default_configurator_hands_a_mask_on_and_refuses_what_it_does_not_know():
    inputs = bf.configuration.DefaultPosteriorConfigurator()({**FORWARD, "sim_data_times": MASK})
    np.testing.assert_array_equal(inputs["summary_mask"], MASK)
    np.testing.assert_array_equal(inputs["summary_times"], MASK)
    assert "summary_mask" not in bf.configuration.DefaultPosteriorConfigurator()({"prior_draws": DRAWS, "sim_data": DATA})
    with pytest.raises(bf.exceptions.ConfigurationError, match="does not read design"):
        bf.configuration.DefaultPosteriorConfigurator()({**FORWARD, "design": MASK})


def test_training_offline_with_a_mask_is_training_on_the_shorter_sets():
    """What stands at masked places changes nothing."""
    losses = []
    for filler in (0.0, 1e3):
        amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 2), bf.networks.DeepSet(summary_dim=4))
        trainer = bf.trainers.Trainer(amortizer, seed=3)
        data = np.where(MASK[..., None] > 0, DATA, filler)
        losses.append(trainer.train_offline({**FORWARD, "sim_data": data}, epochs=2, batch_size=8))
    np.testing.assert_allclose(losses[0].to_numpy(), losses[1].to_numpy(), rtol=1e-5)


def test_an_own_configurator_is_given_them():
    seen = []

    def configurator(forward):
        seen.append(sorted(forward))
        return {"parameters": forward["prior_draws"], "direct_conditions": forward["design_row"], "summary_conditions": forward["sim_data"]}

    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 2), bf.networks.DeepSet(summary_dim=4))
    trainer = bf.trainers.Trainer(amortizer, configurator=configurator, seed=3)
    trainer.train_offline({"prior_draws": DRAWS, "sim_data": DATA, "design_row": MASK[:, :1]}, epochs=1, batch_size=8)
    assert seen and all("design_row" in keys for keys in seen)


def test_a_shared_field_needs_values():
    with pytest.raises(ConfigurationError, match="Shared: values must be an array or a number; got None: leave the field out"):
        bf.simulation.Shared(None)
