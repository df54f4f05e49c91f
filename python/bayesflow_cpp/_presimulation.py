"""v1's `presimulate_and_save` on files of simulations."""

import math
import os

import numpy as np

from ._log import logger
from .exceptions import ConfigurationError


def _counts(total, per_epoch, epochs):
    """Iterations per epoch and epochs; the third of the three counts follows from any two, rounded up."""
    given = {"total_iterations": total, "iterations_per_epoch": per_epoch, "epochs": epochs}
    for name, value in given.items():
        if value is not None and (not isinstance(value, (int, np.integer)) or value < 1):
            raise ConfigurationError(f"presimulate_and_save: {name} must be a positive integer; got {value!r}")
    known = {name: int(value) for name, value in given.items() if value is not None}
    if len(known) < 2:
        raise ConfigurationError(f"presimulate_and_save: at least two of {', '.join(given)} are required; got {', '.join(known) or 'none'}")
    if len(known) == 3 and per_epoch * epochs != total:
        raise ConfigurationError(f"presimulate_and_save: total_iterations must be iterations_per_epoch x epochs; got {total} and {per_epoch} x {epochs}. Leave one out")
    if per_epoch is None:
        per_epoch = math.ceil(total / epochs)
    if epochs is None:
        epochs = math.ceil(total / per_epoch)
    if total is not None and per_epoch * epochs > total:
        logger.info("%d epochs of %d iterations are %d iterations, some more than the %d that were asked for.", epochs, per_epoch, per_epoch * epochs, total)
    return int(per_epoch), int(epochs)


def presimulate_and_save(model, batch_size, folder_path, total_iterations, memory_limit, iterations_per_epoch, epochs, extend_from):
    per_epoch, epochs = _counts(total_iterations, iterations_per_epoch, epochs)
    if extend_from < 0:
        raise ConfigurationError(f"presimulate_and_save: extend_from must be the number of files that are there; got {extend_from}")
    batches = per_epoch
    if memory_limit is not None:
        forward = model(batch_size)
        megabytes = 1e-6 * sum(8 * np.size(value) for value in forward.values() if value is not None)
        batches = min(per_epoch, int(memory_limit / megabytes))
        if batches < 1:
            raise ConfigurationError(f"presimulate_and_save: memory_limit = {memory_limit} MB has no room for a batch of {batch_size}, which takes {megabytes:.3g} MB")
    os.makedirs(folder_path, exist_ok=True)
    left, number, done = per_epoch * epochs, extend_from, []
    while left > 0:
        number += 1
        # Each file has a stream of its own, which depends on its number only: one that is made later is the same.
        seed = int(np.random.SeedSequence((model.seed, number)).generate_state(1, np.uint64)[0])
        path = os.path.join(folder_path, f"presim_file_{number}.h5")
        model.presimulate(path, min(batches, left) * batch_size, seed=seed, batch_size=batch_size)
        left -= batches
        done.append(path)
    logger.info("%d simulations are in %d files of %s.", per_epoch * epochs * batch_size, len(done), folder_path)
    return done
