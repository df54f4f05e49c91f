#!/usr/bin/env python3
"""Pages of documentation that name a program, <!-- code: examples/x.cpp -->, show only code of it, which the tests compile and run; relative links lead somewhere;
the files that CONTRIBUTING.md names are there; CITATION.cff has the version of version.hpp."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


problems, compared = [], 0
for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "HACKING.md", *sorted(ROOT.glob("docs/**/*.md"))]:
    text, name = page.read_text(), page.relative_to(ROOT)
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        if not (page.parent / link).exists():
            problems.append(f"{name}: the link to {link} leads nowhere")
    source = re.search(r"<!-- code: (\S+) -->", text)
    if not source:
        continue
    program = lines((ROOT / source.group(1)).read_text())
    for block in re.findall(r"```cpp\n(.*?)```", text, re.S):
        wanted = lines(block)
        compared += 1
        if not any(program[i : i + len(wanted)] == wanted for i in range(len(program))):
            problems.append(f"{name}: this code is not in {source.group(1)}:\n{block}")
for name in re.findall(r"`([\w.-]+/[\w./*-]*)`", (ROOT / "CONTRIBUTING.md").read_text()):
    if not name.startswith("build/") and not any(ROOT.glob(name)):
        problems.append(f"CONTRIBUTING.md: there is no {name}")
version = ".".join(re.findall(r"#define BAYESFLOW_VERSION_\w+ (\d+)", (ROOT / "include/bayesflow/core/version.hpp").read_text()))
if f"\nversion: {version}\n" not in (ROOT / "CITATION.cff").read_text():
    problems.append(f"CITATION.cff: its version is not {version}")
if not compared:
    problems.append("no page names a program; has the mark changed?")
print("\n".join(problems) or f"links lead somewhere, {compared} pieces of code are compiled")
sys.exit(bool(problems))
