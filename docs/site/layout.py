"""What is on the site, and where: found in the sources, so that a new page, notebook, module or header is there without being listed by hand.

Standard library only; imports neither Sphinx nor the package, so that tests/project/check_site.py can hold it against the sources."""

from __future__ import annotations

import ast
import pathlib
import re

# The groups of the site's contents, in their order; a page belongs to the first group that has a pattern of its path. Patterns are those of pathlib.
GROUPS = {
    "Tutorial": ["examples/quickstart.ipynb", "examples/quickstart.cpp"],
    "Concepts": ["docs/concepts.md", "docs/diagnostics.md"],
    "Coming from": ["docs/coming_from_*.md"],
    "Reference": ["docs/bibliography.md", "docs/reference/*.md"],
    "Diagnostics": ["docs/diagnostics/*.md"],
    "Development": ["HACKING.md", "CONTRIBUTING.md", "docs/measuring.md", "docs/design/*.md", "CHANGELOG.md"],
    "Examples": ["examples/*.ipynb", "examples/*.cpp"],
    "How to": ["docs/*.md"],
}
# The order on the site: from what a reader starts with to what is looked up. "Reference" also has the two generated ones.
ORDER = ["Tutorial", "Concepts", "How to", "Examples", "Diagnostics", "Coming from", "Reference", "Development"]


def pages(root: pathlib.Path) -> dict[str, list[str]]:
    """{group: paths of its pages, relative to `root`}. README.md is the front page and in no group."""
    found, taken = {}, set()
    for group, patterns in GROUPS.items():
        names = [path.relative_to(root).as_posix() for pattern in patterns for path in sorted(root.glob(pattern))]
        found[group] = [name for name in dict.fromkeys(names) if name not in taken]
        taken.update(found[group])
    return {group: found[group] for group in ORDER}


def headers(root: pathlib.Path) -> list[str]:
    """Every public header, relative to include/."""
    include = root / "include"
    return [path.relative_to(include).as_posix() for path in sorted(include.rglob("*.hpp"))]


def modules(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """{name: file} of every public module of the Python package. What packages other than these two split over files has its public names in the package itself."""
    package = root / "python" / "bayesflow_cpp"
    found = {"bayesflow_cpp": package / "__init__.py"}
    for path in sorted([*package.glob("*.py"), *package.glob("*/__init__.py"), *package.glob("benchmarks/*.py"), *package.glob("experimental/*.py")]):
        parts = path.relative_to(package).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts and not any(part.startswith("_") for part in parts):
            found[".".join(("bayesflow_cpp", *parts))] = path
    return found


def _all(tree):
    """The literal of `__all__`, and names of lists that it takes up by a star (`*_blocks`); None where there is none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            elements = node.value.elts
            names = [element.value for element in elements if isinstance(element, ast.Constant)]
            return names, [element.value.id for element in elements if isinstance(element, ast.Starred)]
    return None


def _names(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    listed = _all(tree)
    imported = [(node, alias) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    if listed:
        names, stars = listed
        for node, alias in imported:
            if alias.name == "__all__" and alias.asname in stars:
                names = names + _names(path.parent / f"{node.module}.py")
        return sorted(set(names))
    own = [node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")]
    own += [target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name) and re.match("[A-Z]", target.id)]
    if own or path.parent.name == "benchmarks":
        return sorted(set(own))
    # A module that only gives names of others.
    return sorted(alias.asname or alias.name for node, alias in imported if node.level and not (alias.asname or alias.name).startswith("_"))


def python_names(root: pathlib.Path) -> dict[str, list[str]]:
    """{module: its public names}: those of `__all__`; without one, the classes, functions and capitalized constants that it defines, or else what it re-exports."""
    found = modules(root)
    names = {module: _names(path) for module, path in found.items()}
    # A former place of a module takes all of it (*), and has no names of its own.
    return {module: [name for name in own if f"{module}.{name}" not in found] for module, own in names.items() if "*" not in own}


def origin(root: pathlib.Path, module: str, name: str) -> str | None:
    """The full name under which the reference describes what `module` only takes from another public module; None for what it defines."""
    known, path = modules(root), modules(root)[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                if (alias.asname or alias.name) == name and source in known and source != module:
                    return origin(root, source, alias.name) or f"{source}.{alias.name}"
    return None
