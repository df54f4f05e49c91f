#!/usr/bin/env python3
"""Files of this library, read by h5py alone: what docs/files.md promises to users of other languages."""
import json
import pathlib
import sys

try:
    import h5py
    import numpy
except ImportError:
    print("h5py is not installed (Debian: python3-h5py); skipped")
    sys.exit(77)

data = pathlib.Path(sys.argv[1])


def text(value):
    return value.decode() if isinstance(value, bytes) else value


with h5py.File(data / "simulations_format_1.h5", "r") as f:
    done, batches = f["done"][()]
    assert (done, batches) == (20, 3)
    theta, x = f["prior_draws"][:done], f["sim_data"][:done]
    assert theta.shape == (20, 4) and x.shape == (20, 50, 4) and theta.dtype == "f8"
    assert [text(n) for n in f.attrs["param_names"]] == ["a", "b", "c", "d"]
    assert text(f.attrs["model_name"]) == "means" and f.attrs["seed"] == 4
    assert theta[0, 0] == 1.3942070296603997 and x[19, 49, 3] == -0.2338836218434175
    assert abs(x.mean(axis=1) - theta).max() < 1  # 50 observations around theta: 1 is seven standard errors
    table = f["batches"][:batches]
    assert table[:, 0].tolist() == [0, 8, 16] and table[:, 1].tolist() == [8, 8, 4]

with h5py.File(data / "simulations_varying_format_1.h5", "r") as f:
    done, batches = f["done"][()]
    assert (done, batches) == (40, 5)
    for b in range(batches):
        shape = f["sim_data_shape"][b]
        first = f["sim_data_offset"][b]
        x = f["sim_data"][first:first + shape.prod()].reshape(shape)
        assert x.shape == (8, int(f["sim_non_batchable_context"][b, 0]), 2)

with h5py.File(data / "model_format_1.h5", "r") as f:
    assert text(f.attrs["bayesflow_format"]) == "model" and f.attrs["bayesflow_format_version"] == 1
    assert '"class": "InvertibleNetwork"' in text(f.attrs["architecture"])
    weights = {name: f["weights"][name][()] for name in f["weights"]}
    assert weights["summary_net.output.kernel"].shape == (8, 6) and weights["summary_net.output.kernel"].dtype == "f4"
    assert sorted(f["integer_buffers/inference_net.coupling.0.permutation"][()].tolist()) == [0, 1, 2, 3]
    assert f["constants/means"][()].tolist() == [0.5, -0.5]
    assert f["probes/draws"].shape == (2, 10, 4)
with h5py.File(data / "checkpoint_format_1.h5", "r") as f:
    state = json.loads(bytes(f["state"][()]))
    weights = f["weights"][()]
    for row in state["table"]:
        assert row["offset"] + numpy.prod(row["shape"], dtype=int) <= len(weights), row
    assert f["unfinished/steps"].shape == (8, 5) and f["unfinished/steps"][7, 0] == 2.5985088348388672
    assert json.loads(bytes(f["unfinished/position"][()]))["step"] == 3
    assert f["optimizer/first_moments"].shape == weights.shape and f["replay/values"].shape == (3 * 4 * (2 + 3 * 2),)
print("h5py", h5py.__version__, "reads all four files")
