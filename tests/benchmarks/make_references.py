#!/usr/bin/env python3
"""Writes data/two_moons: two observations with exact posterior draws, in the layout of the package sbibm. make_references.py FOLDER"""
import bz2
import pathlib
import sys

import numpy as np

rng = np.random.default_rng(1)


def simulate(theta):
    a, r = rng.uniform(-np.pi / 2, np.pi / 2, len(theta)), rng.normal(0.1, 0.01, len(theta))
    s, d = theta.sum(1) / np.sqrt(2), (theta[:, 1] - theta[:, 0]) / np.sqrt(2)
    return np.stack([r * np.cos(a) + 0.25 - np.abs(s), r * np.sin(a) + d], 1)


def posterior(x, count):
    noise = simulate(np.zeros((40 * count, 2)))  # of the posterior too: |s| and d are what x leaves beside it
    s, d = noise[:, 0] - x[0], x[1] - noise[:, 1]
    s, d = s[s > 0], d[s > 0]
    s = s * rng.choice([-1, 1], len(s))
    theta = np.stack([s - d, s + d], 1) / np.sqrt(2)
    return theta[np.abs(theta).max(1) <= 1][:count]


def csv(names, rows):
    return ",".join(names) + "\n" + "".join(",".join(f"{v:.6g}" for v in row) + "\n" for row in rows)


for k in (1, 2):
    folder = pathlib.Path(sys.argv[1]) / "two_moons" / "files" / f"num_observation_{k}"
    folder.mkdir(parents=True, exist_ok=True)
    theta = rng.uniform(-1, 1, (1, 2))
    x = simulate(theta)
    parameters = ["parameter_1", "parameter_2"]
    (folder / "observation.csv").write_text(csv(["data_1", "data_2"], x))
    (folder / "true_parameters.csv").write_text(csv(parameters, theta))
    (folder / "reference_posterior_samples.csv.bz2").write_bytes(bz2.compress(csv(parameters, posterior(x[0], 500)).encode()))
