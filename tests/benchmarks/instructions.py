"""Instructions of warm training steps and sampling calls, counted by callgrind, against those that are stored:
instructions.py PROGRAM COMPILER [--update].

Counting is free of a machine's noise. The kernels run as compiled for every x86-64 machine, so that the numbers depend on the compiler and the system's
libraries alone; wider vectors run the same loops. Exits with 77 (skipped) where nothing is stored for the compiler.
"""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STORED = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.02
UNITS = {"train-affine": 3, "train-spline": 3, "train-series": 1, "sample-1x1000": 1, "sample-20x100": 1}  # case -> steps or calls that are counted


def instructions(program, case):
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null", program, case, str(UNITS[case]), "--plain"]
    run = subprocess.run(command, capture_output=True, text=True)
    counted = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not counted or counted.group(1) == "0":
        sys.exit(f"{' '.join(command)}: status {run.returncode}\n{run.stdout}{run.stderr}")
    return round(int(counted.group(1)) / UNITS[case] / 1e3)


def main():
    program, compiler = sys.argv[1], sys.argv[2]
    update = sys.argv[3:] == ["--update"]
    stored = json.loads(STORED.read_text())
    if compiler not in stored and not update:
        print(f"no numbers are stored for {compiler}")
        return 77
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(UNITS, pool.map(lambda case: instructions(program, case), UNITS)))
    wanted = stored.get(compiler, {})
    wrong = []
    for case, count in found.items():
        ratio = count / wanted[case] if case in wanted else float("nan")
        print(f"{case:16} {count:>12,} thousand instructions, {ratio:.4f} of what is stored")
        if not abs(ratio - 1) <= TOLERANCE:
            wrong.append(case)
    if update:
        STORED.write_text(json.dumps({**stored, compiler: found}, indent=2) + "\n")
    elif wrong:
        print(f"{', '.join(wrong)}: more than {TOLERANCE:.0%} away. If that is meant, store the new numbers by\n  python3 {' '.join(sys.argv)} --update\nand say why in the commit")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
