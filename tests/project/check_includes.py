#!/usr/bin/env python3
"""The layers' rule: an include may only point down; public headers name no third-party library and stay below 300 lines."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
# Each layer may include itself and those listed. Kernels and core use each other, but only by files that do not include each other in a circle.
BELOW = {
    "kernels": {"core"},
    "core": {"kernels"},
    "io": {"core"},
    "autodiff": {"core"},
    "nn": {"core", "autodiff"},
    "distributed": {"core"},
    "data": {"core", "autodiff"},
    "adapter": {"core", "io", "data"},
    "simulation": {"core", "io", "data"},
    "networks": {"core", "autodiff", "nn"},
    "training": {"core", "io", "autodiff", "nn", "simulation", "data"},
    "amortizers": {"core", "io", "autodiff", "nn", "simulation", "data", "adapter", "networks", "training"},
    "diagnostics": {"core", "io", "autodiff", "nn", "simulation", "data", "networks", "amortizers", "training"},
    "mcmc": {"core", "data", "amortizers"},
    "benchmarks": {"core", "io", "simulation", "data", "amortizers", "diagnostics"},
    "figures": {"core", "io", "simulation", "training", "diagnostics"},
    "workflow": {"core", "io", "simulation", "data", "adapter", "networks", "amortizers", "training", "diagnostics"},
    "report": {"core", "io", "autodiff", "nn", "simulation", "data", "adapter", "networks", "amortizers", "training", "diagnostics", "figures"},
}
KERNEL_USERS = {"autodiff", "nn"}
THIRD_PARTY = re.compile(r'#include\s*[<"](dnnl|oneapi|hwy|hdf5|H5|nlohmann|fmt|CLI|Random123|mpi)')
problems, graph = [], {}
for path in sorted([*ROOT.glob("include/bayesflow/**/*.hpp"), *ROOT.glob("src/**/*.?pp")]):
    text = path.read_text()
    relative = path.relative_to(ROOT)
    public = relative.parts[0] == "include"
    layer = relative.parts[2] if public else relative.parts[1]
    if public and len(text.splitlines()) > 300:
        problems.append(f"{relative}: public headers have at most 300 lines")
    quoted = re.findall(r'#include\s*"([^"]+)"', text)
    graph[str(relative).split("/", 1)[1]] = quoted
    if public and not all(name.startswith("bayesflow/") for name in quoted):
        problems.append(f"{relative}: public headers include public headers only")
    if public and THIRD_PARTY.search(text):
        problems.append(f"{relative}: public headers name no third-party library")
    if not public and re.search(r"#include\s*[<\"](dnnl|hwy)", text) and layer != "kernels":
        problems.append(f"{relative}: only kernels include Highway or oneDNN")
    if layer not in BELOW:
        if len(relative.parts) > 3:
            problems.append(f"{relative}: the layer {layer} is not in the table of this test")
        continue  # the umbrella headers
    for included in re.findall(r'#include\s*"(?:bayesflow/)?(\w+)/', text):
        if (ROOT / "src" / included).is_dir() and included not in BELOW[layer] | {layer} | ({"kernels"} if layer in KERNEL_USERS else set()):
            problems.append(f"{relative}: {layer} must not include {included}")


def find_circle(file, above):
    """Reports the first circle of includes that `file` leads into."""
    if file in above:
        problems.append("circle of includes: " + " -> ".join([*above[above.index(file) :], file]))
    elif file not in done:
        for included in graph.get(file, []):
            find_circle(included, [*above, file])
    done.add(file)


done = set()
for file in graph:
    find_circle(file, [])
print("\n".join(problems) or "includes point down")
sys.exit(bool(problems))
