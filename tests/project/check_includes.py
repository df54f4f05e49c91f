#!/usr/bin/env python3
"""The layers' rule: an include may only point down; public headers name no third-party library and stay below 300 lines."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
# Each layer may include itself and those listed.
BELOW = {
    "core": set(),
    "io": {"core"},
    "autodiff": {"core"},
    "nn": {"core", "autodiff"},
    "simulation": {"core", "io"},
    "configuration": {"core", "simulation"},
    "networks": {"core", "autodiff", "nn"},
    "training": {"core", "io", "autodiff", "nn", "simulation", "configuration"},
    "amortizers": {"core", "io", "autodiff", "nn", "simulation", "configuration", "networks", "training"},
    "diagnostics": {"core", "io", "autodiff", "nn", "simulation", "configuration", "networks", "amortizers", "training"},
    "benchmarks": {"core", "io", "simulation", "configuration", "amortizers", "diagnostics"},
    "figures": {"core", "io", "simulation", "training", "diagnostics"},
    "report": {"core", "io", "autodiff", "nn", "simulation", "configuration", "networks", "amortizers", "training", "diagnostics", "figures"},
}
THIRD_PARTY = re.compile(r'#include\s*[<"](dnnl|oneapi|hwy|hdf5|H5|nlohmann|fmt|CLI|Random123|mpi)')
problems = []
for path in sorted([*ROOT.glob("include/bayesflow/**/*.hpp"), *ROOT.glob("src/**/*.?pp")]):
    text = path.read_text()
    relative = path.relative_to(ROOT)
    public = relative.parts[0] == "include"
    layer = relative.parts[2] if public else relative.parts[1]
    if public and len(text.splitlines()) > 300:
        problems.append(f"{relative}: public headers have at most 300 lines")
    if public and THIRD_PARTY.search(text):
        problems.append(f"{relative}: public headers name no third-party library")
    if not public and re.search(r"#include\s*[<\"](dnnl|hwy)", text) and layer != "kernels":
        problems.append(f"{relative}: only kernels include Highway or oneDNN")
    if layer not in BELOW:
        continue  # the umbrella header and the kernels
    for included in re.findall(r'#include\s*"(?:bayesflow/)?(\w+)/', text):
        if public and included == "kernels":
            problems.append(f"{relative}: public headers do not show kernels")
        if included in BELOW and included != layer and included not in BELOW[layer]:
            problems.append(f"{relative}: {layer} must not include {included}")
print("\n".join(problems) or "includes point down")
sys.exit(bool(problems))
