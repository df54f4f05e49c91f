"""A small training with checkpoints, to be killed and run again: test_kills.py.

    train.py <mode> <folder> <result>

The script of a user: it says nothing about resuming. `folder` keeps the checkpoints and the simulations; weights, losses and draws are written to `result`, which
appears at the end and whole. "started" on standard output says that imports are over.
"""

import os
import sys

import numpy as np

import bayesflow_cpp as bf


def prior_fun(rng):
    return rng.normal(size=2)


def simulator_fun(theta, n_obs, rng):
    return rng.normal(theta, size=(n_obs, 2))


def observations(rng):
    return int(rng.integers(5, 15))


def main(mode, folder, result):
    print("started", flush=True)
    contexts = bf.simulation.ContextGenerator(non_batchable_context_fun=observations)
    prior, simulator = bf.simulation.Prior(prior_fun=prior_fun), bf.simulation.Simulator(simulator_fun=simulator_fun, context_generator=contexts)
    model = bf.simulation.GenerativeModel(prior, simulator)
    dense = dict(units=16, activation="relu")
    coupling = {"dense_args": dict(units=16, kernel_regularizer=None), "dropout": True}  # dropout: its noise has to go on where it was, too
    amortizer = bf.amortizers.AmortizedPosterior(
        bf.networks.InvertibleNetwork(2, 2, coupling_settings=coupling), bf.networks.DeepSet(4, dense_s1_args=dense, dense_s2_args=dense, dense_s3_args=dense)
    )
    # A checkpoint every 30 ms, so that kills meet writes.
    trainer = bf.trainers.Trainer(
        amortizer, model, checkpoint_path=os.path.join(folder, "checkpoints"), checkpoint_minutes=0.0005, seed=5, progress=False
    )
    common = dict(batch_size=16, validation_sims=50)
    if mode == "online":
        trainer.train_online(epochs=4, iterations_per_epoch=300, **common)
        trainer.train_online(epochs=2, iterations_per_epoch=300, reuse_optimizer=True, **common)
    elif mode == "rounds":
        trainer.train_rounds(rounds=3, sim_per_round=1600, epochs=3, **common)
    elif mode == "replay":
        trainer.train_experience_replay(epochs=6, iterations_per_epoch=300, buffer_capacity=40, **common)
    elif mode == "offline":
        simulations = os.path.join(folder, "simulations.h5")
        model.presimulate(simulations, 8000, seed=9, batch_size=16, progress=False)
        trainer.train_offline(simulations, epochs=4, **common)
    else:
        raise SystemExit(f"unknown mode {mode}")
    data = np.random.default_rng(1).normal(size=(5, 8, 2))
    draws = amortizer.sample(trainer.configurator({"obs_data": data, "sim_non_batchable_context": 8}), 50, seed=3)
    numbers = {**amortizer.weights(), "draws": draws, "losses": trainer.loss_history.total_loss, "validation": trainer.loss_history.total_val_loss}
    with open(result + ".tmp", "wb") as file:
        np.savez(file, **numbers)
    os.replace(result + ".tmp", result)


if __name__ == "__main__":
    main(*sys.argv[1:])
