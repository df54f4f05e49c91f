#!/usr/bin/env python3
"""Runs the benchmark at its smallest size and looks at what it writes: all keys are there, and the figures fit each other."""
import json
import pathlib
import subprocess
import sys

program, path = sys.argv[1], pathlib.Path(sys.argv[2])
path.unlink(missing_ok=True)
subprocess.run([program, str(path), "--quick"], check=True, stdout=subprocess.DEVNULL)
results = json.loads(path.read_text())
problems = []

KEYS = ["gemm_peak_gflops", "train_it_per_s", "train_it_per_s_1_thread", "train_flop_per_it", "train_fraction_of_peak", "train_spline_it_per_s",
        "sample_500x1000_s", "sample_fraction_of_peak", "sample_1x1000_ms", "start_to_first_iteration_ms", "peak_rss_mb"]
for key in KEYS:
    if not isinstance(results.get(key), (int, float)) or not results[key] > 0:
        problems.append(f"{key} must be a positive number; got {results.get(key)}")
if not problems:
    expected = results["train_it_per_s"] * results["train_flop_per_it"] / (results["gemm_peak_gflops"] * 1e9)
    if abs(results["train_fraction_of_peak"] / expected - 1) > 1e-9:
        problems.append(f"train_fraction_of_peak is {results['train_fraction_of_peak']}, but it/s, operations and peak make {expected}")
    best = max(case["gflops_best"] for case in results["gemm"] if case["threads"] == results["machine"]["threads"])
    if results["gemm_peak_gflops"] != best:
        problems.append(f"gemm_peak_gflops is {results['gemm_peak_gflops']}, but the best case has {best}")
    # Known to three digits without the engine: the layers' shapes on paper.
    for key, flop in [("train_flop_per_it", 380e6), ("sample_500x1000_flop", 272e9)]:
        if abs(results[key] / flop - 1) > 0.01:
            problems.append(f"{key} is {results[key]}; by the shapes of the layers it is about {flop}")
    # The quickstart holds tens of MiB; less than a few, or the benchmark's own hundreds, would mean that the wrong process was watched.
    if not 5 < results["peak_rss_mb"] < 1000:
        problems.append(f"peak_rss_mb is {results['peak_rss_mb']}")
for field in ["cpu", "hardware_threads", "threads", "instruction_set", "version"]:
    if field not in results.get("machine", {}):
        problems.append(f"machine.{field} is missing")
axes = {point["axis"] for point in results.get("scaling", [])}
if axes != {"observations", "batch size", "coupling layers"}:
    problems.append(f"the scaling table has the axes {sorted(axes)}")
print("\n".join(problems) or "all keys are there")
sys.exit(bool(problems))
