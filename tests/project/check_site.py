#!/usr/bin/env python3
"""The documentation site is complete, by the sources alone, without Sphinx: every page of docs/, notebook, program and module is in its contents once, with a title; every public
name of the Python package is in the reference, and has a doc comment; every public header has its page;
files that the bibliography names are there."""
import ast
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1]).resolve()
sys.path.insert(0, str(ROOT / "docs" / "site"))
sys.dont_write_bytecode = True
import layout  # noqa: E402
import stage  # noqa: E402

problems = []

# The contents, as the front page lists them.
with tempfile.TemporaryDirectory() as folder:
    site = pathlib.Path(folder) / "site"
    stage.Stage(ROOT, site)()
    front = (site / "index.md").read_text(encoding="utf-8")
    listed = [line for tree in re.findall(r"```\{toctree\}\n(.*?)```", front, flags=re.S) for line in tree.splitlines() if line and not line.startswith(":")]
    reference = {path.stem: path.read_text(encoding="utf-8") for path in site.glob("reference/python/*.rst")}
    overview = (site / "reference" / "cpp" / "index.rst").read_text(encoding="utf-8")
    for path in (ROOT / "include").rglob("*.hpp"):
        header = path.relative_to(ROOT / "include").as_posix()
        if f"\n   {header}\n" not in overview or not (site / "reference" / "cpp" / f"{header}.rst").is_file():
            problems.append(f"include/{header} is not in the C++ reference")
    for name in listed:
        if not (site / name).is_file():
            problems.append(f"the contents list {name}, which is not there")
wanted = {path.relative_to(ROOT).as_posix() for pattern in ("docs/**/*.md", "examples/*.ipynb", "examples/*.cpp", "*.md") for path in ROOT.glob(pattern)} - {"README.md"}
wanted = {f"{name}.md" if name.endswith(".cpp") else name for name in wanted}
for name in sorted(wanted - set(listed)):
    problems.append(f"{name} is not on the site: give it a pattern in docs/site/layout.py")
for name in sorted({name for name in listed if listed.count(name) > 1}):
    problems.append(f"{name} is in the contents more than once")
for name in sorted(wanted):
    path = ROOT / name
    if name.endswith(".md") and not name.endswith(".cpp.md") and not re.match(r"(<!--.*?-->\s*)*# \S", path.read_text(encoding="utf-8"), flags=re.S):
        problems.append(f"{name} does not begin with a title, which the contents show")

# The Python reference, held against what the package itself says is public: the modules that it imports, and their __all__, or what a module without one defines.
package = ROOT / "python" / "bayesflow_cpp"
tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
exported = next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__")
described = 0
for name in exported:
    path = next((p for p in (package / f"{name}.py", package / name / "__init__.py") if p.exists()), None)
    if path and f"bayesflow_cpp.{name}" not in reference:
        problems.append(f"bayesflow_cpp.{name} is a public module without a page in the reference")
    if not path and not re.search(rf"\b{name}\b", reference["bayesflow_cpp"]):
        problems.append(f"bayesflow_cpp.{name} is not in the reference")
for module, path in layout.modules(ROOT).items():
    body = ast.parse(path.read_text(encoding="utf-8")).body
    listed_here = next((node.value for node in body if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"), None)
    defined = {node.name: node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    names = [e.value for e in listed_here.elts if isinstance(e, ast.Constant)] if listed_here else [name for name in defined if not name.startswith("_")]
    for name in names:
        if f"{module}.{name}" in reference:
            continue  # a module
        described += 1
        if not re.search(rf"(\.\. autoobject:: {re.escape(module)}\.{name}\n|   \* - ``{name}``\n)", reference.get(module, "")):
            problems.append(f"{module}.{name} is not in the reference")

# Doc comments of whatever is public in any file of the package: functions, classes and their methods that do not begin with an underscore.
everything = {name for names in layout.python_names(ROOT).values() for name in names}
for path in sorted(package.rglob("*.py")):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name not in everything:
            continue
        inside = [m for m in node.body if isinstance(m, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else []
        for one in [node, *inside]:
            if not one.name.startswith("_") and not ast.get_docstring(one) and not any(getattr(d, "attr", "") == "setter" for d in one.decorator_list):
                problems.append(f"{path.relative_to(ROOT)}:{one.lineno}: {one.name} has no docstring")

# The bibliography names files that are there.
for name in re.findall(r"`([\w/]+\.(?:hpp|py))`", (ROOT / "docs" / "bibliography.md").read_text(encoding="utf-8")):
    if not (ROOT / "include" / "bayesflow" / name).is_file() and not (package / name).is_file():
        problems.append(f"docs/bibliography.md: there is no {name}")

if len(listed) < 50 or described < 200 or not front.startswith("# "):
    problems.append(f"only {len(listed)} pages and {described} names were found; has the layout of the sources changed?")
print("\n".join(problems) or f"{len(listed)} pages, {len(reference)} modules and {described} names of the Python package are on the site")
sys.exit(bool(problems))
