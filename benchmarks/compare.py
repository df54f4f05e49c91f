"""Two builds by turns: compare.py BASE [--turns N]. BASE is a commit; the other build is this tree's build/release.

Builds BASE in build/compare and runs the same fixed work of both programs one after the other, N turns, so that whatever else the machine does falls on
both. Ratios are BASE's seconds by this tree's: above 1, this tree is faster.
"""

import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = {"train-affine": 600, "train-spline": 300, "train-series": 60, "sample-1x1000": 300, "sample-500x1000": 2}  # units of work, about a second each


def build(commit):
    tree = ROOT / "build" / "compare"
    if not tree.exists():
        subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
        subprocess.run(["git", "worktree", "add", "--detach", tree, commit], cwd=ROOT, check=True)
    subprocess.run(["git", "checkout", "--quiet", "--detach", commit], cwd=tree, check=True)
    if not (tree / "benchmarks" / "fixed.cpp").exists():
        sys.exit(f"{commit} has no benchmarks/fixed.cpp, the program that both builds run; take a later commit")
    launcher = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={shutil.which('ccache')}"] if shutil.which("ccache") else []
    subprocess.run(["cmake", "--preset", "release", *launcher], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", "build/release", "--target", "bench_fixed"], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    return tree / "build/release/benchmarks/bench_fixed"


def seconds(program, case, units):
    run = subprocess.run([program, case, str(units), "--threads", "0"], capture_output=True, text=True)
    found = re.search(r"^seconds=([0-9.]+)$", run.stdout, re.MULTILINE)
    return float(found.group(1)) if found else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--share", type=float, default=1.0, help="of the work, for a quick look")
    args = parser.parse_args()
    programs = build(args.base), ROOT / "build/release/benchmarks/bench_fixed"
    print(f"{'':16} {'base s':>9} {'now s':>9} {'median':>8} {'best':>8}   ratios by turn")
    for case, units in CASES.items():
        units = max(1, round(units * args.share))
        turns = [[seconds(program, case, units) for program in programs] for _ in range(args.turns)]
        if any(None in turn for turn in turns):
            print(f"{case:16} {'not in both':>9}")
            continue
        base, now = zip(*turns)
        ratios = [b / n for b, n in turns]
        print(f"{case:16} {statistics.median(base):9.3f} {statistics.median(now):9.3f} {statistics.median(ratios):8.3f} {min(base) / min(now):8.3f}   "
              + " ".join(f"{r:.3f}" for r in ratios), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
