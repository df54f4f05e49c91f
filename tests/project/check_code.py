#!/usr/bin/env python3
"""check_code.py ROOT COMPILER: the C++ code of README and docs compiles. Pieces that are no programs stand in a function whose arguments are the objects that pages speak of.
(Pages with <!-- code: FILE --> show a program that is built anyway: check_docs.py.)"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT, COMPILER = pathlib.Path(sys.argv[1]), sys.argv[2]
CONTEXT = """#include <cstdio>
#include <memory>
#define main example_main
#include "examples/own_network.cpp"
#undef main
"""
ARGUMENTS = (
    "[[maybe_unused]] bf::GenerativeModel& model, [[maybe_unused]] bf::Trainer& trainer, [[maybe_unused]] bf::AmortizedPosterior& amortizer, "
    "[[maybe_unused]] bf::InvertibleNetwork& inference_net"
)

programs, pieces = [], [CONTEXT]
for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "HACKING.md", *sorted(ROOT.glob("docs/**/*.md"))]:
    text, name = page.read_text(), page.relative_to(ROOT)
    if "<!-- code: " in text:
        continue
    for block in re.finditer(r"```cpp\n(.*?)```", text, re.S):
        where = f'#line {text[: block.start()].count(chr(10)) + 2} "{name}"\n'
        if "int main(" in block.group(1):
            programs.append(where + block.group(1))
        else:
            pieces.append(f"namespace piece{len(pieces)} {{\nvoid run({ARGUMENTS}) {{\n{{\n{where}{block.group(1)}}}\n}}\n}}\n")

failed = False
with tempfile.TemporaryDirectory() as folder:
    for i, code in enumerate([*programs, "".join(pieces)]):
        path = pathlib.Path(folder) / f"{i}.cpp"
        path.write_text(code)
        warnings = ["-Wall", "-Wextra", "-Wno-unused-variable", "-Wno-unused-but-set-variable", "-Werror", "-Wno-unknown-warning-option"]
        run = subprocess.run([COMPILER, "-std=c++20", *warnings, "-fsyntax-only", f"-I{ROOT / 'include'}", f"-I{ROOT}", path], capture_output=True, text=True)
        failed |= run.returncode != 0
        sys.stderr.write(run.stderr)
if not programs or len(pieces) < 5:
    sys.exit(f"only {len(programs)} programs and {len(pieces) - 1} pieces of code found")
print(f"{len(programs)} programs and {len(pieces) - 1} pieces of code compile" if not failed else "code in documentation does not compile")
sys.exit(failed)
