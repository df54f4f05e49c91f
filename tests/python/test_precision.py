"""bfloat16 as an option of trainers and of draws."""

import numpy as np
import pytest

import bayesflow_cpp as bf


def _posterior(units, **options):
    flow = bf.networks.InvertibleNetwork(num_params=4, num_coupling_layers=2, coupling_settings={"dense_args": {"units": units}})
    return bf.amortizers.AmortizedPosterior(flow, bf.networks.DeepSet(summary_dim=4), threads=1, **options)


def _trained(gaussian_model, precision, units=40, threads=1):
    trainer = bf.trainers.Trainer(_posterior(units), gaussian_model(), seed=1, threads=threads, progress=False, precision=precision)
    losses = trainer.train_online(epochs=1, iterations_per_epoch=8, batch_size=16)
    return trainer, np.asarray(losses, float).ravel() if not hasattr(losses, "to_numpy") else losses.to_numpy(float).ravel()


def test_training(gaussian_model):
    plain, half, again = (_trained(gaussian_model, p, threads=t)[1] for p, t in (("float32", 1), ("bfloat16", 1), ("bfloat16", 2)))
    np.testing.assert_array_equal(half, again)
    assert not np.array_equal(plain, half)
    np.testing.assert_allclose(plain, half, atol=0.05)


def test_draws(gaussian_model):
    trainer, _ = _trained(gaussian_model, "float32")
    inputs = trainer.configurator(gaussian_model()(3))
    plain, half, same = (trainer.amortizer.sample(inputs, 200, seed=3, precision=p) for p in (None, "bfloat16", "float32"))
    np.testing.assert_array_equal(plain, same)
    assert not np.array_equal(plain, half)
    np.testing.assert_allclose(plain, half, atol=0.2)
    np.testing.assert_array_equal(half, trainer.amortizer.sample(inputs, 200, seed=3, precision="bfloat16"))


def test_refusals(gaussian_model):
    with pytest.raises(bf.exceptions.ConfigurationError, match="Trainer: precision must be one of 'float32', 'bfloat16'; got 'half'"):
        bf.trainers.Trainer(_posterior(40), gaussian_model(), progress=False, precision="half")
    trainer, _ = _trained(gaussian_model, "float32")
    inputs = trainer.configurator(gaussian_model()(3))
    with pytest.raises(bf.exceptions.ConfigurationError, match="AmortizedPosterior.sample: precision must be one of"):
        trainer.amortizer.sample(inputs, 5, precision="float64")
    narrow = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(num_params=4, num_coupling_layers=2, coupling_settings={"dense_args": {"units": 16}}))
    direct = lambda sims: {"parameters": sims["prior_draws"], "direct_conditions": sims["sim_data"].mean(1)}  # noqa: E731
    trainer = bf.trainers.Trainer(narrow, gaussian_model(), direct, progress=False, precision="bfloat16")
    with pytest.raises(bf.exceptions.ConfigurationError, match="multiply nothing in it: that takes a dense layer with 32 inputs"):
        trainer.train_online(epochs=1, iterations_per_epoch=2, batch_size=4)
    with pytest.raises(bf.exceptions.ArgumentError, match="multiply nothing in it"):
        narrow.sample(direct(gaussian_model()(3)), 5, precision="bfloat16")
