"""Brings the pages, notebooks and programs of the tree, and pages of the two references, to a folder from which Sphinx makes the site."""

from __future__ import annotations

import pathlib
import re
import shutil

import layout

PROGRAM = """# {title}

{text}

```{{literalinclude}} {name}
:language: c++
:linenos:
```
"""

RESULTS = """Results
=======

What the functions of ``diagnostics`` return: numbers behind figures, each with ``tables()`` as pandas DataFrames, and writers of files. They can be pickled.

.. results:: bayesflow_cpp._core.diagnostics
"""


def title_of(name):
    return pathlib.PurePosixPath(name).name


def contents(caption, names, titles=()):
    """A toctree: it makes the sidebar, the order of pages, and fails on a page that is not there."""
    lines = [f"{titles[name]} <{name}>" if name in titles else name for name in names]
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *lines, "```", ""])


class Stage:
    """`cpp_pages`: {header: its page}, of cpp_reference; where Doxygen is not there, pages of titles stand for them."""

    def __init__(self, root, folder, cpp_pages=None):
        self.root, self.folder = root, folder
        self.headers = layout.headers(root)
        self.cpp_pages = cpp_pages or {header: f"{header}\n{'=' * len(header)}\n" for header in self.headers}
        self.groups = layout.pages(root)
        self.on_site = {name for names in self.groups.values() for name in names}

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def copy(self, name):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.root / name, path)

    def target(self, page, link):
        """Where a link of a page leads on the site: links to programs, headers and folders lead to their pages, those to other files of the tree to a copy."""
        path = ((self.root / page).parent / link).resolve()
        try:
            name = path.relative_to(self.root).as_posix()
        except ValueError:
            return link
        depth = "../" * page.count("/")
        if name == "README.md":
            return depth + "index.md"
        if name == "examples":
            return depth + self.groups["Examples"][0]
        if name in self.on_site:
            return f"{depth}{name}.md" if name.endswith(".cpp") else depth + name
        if name.startswith("include/") and name[len("include/") :] in self.headers:
            return f"{depth}reference/cpp/{name[len('include/') :]}.rst"
        if path.is_file():
            self.copy(name)
        return depth + name

    def rewritten(self, page, text):
        """The page's text with its links led to the site's places; blocks of code stay as they are."""
        parts = re.split(r"(```.*?```)", text, flags=re.S)
        for k in range(0, len(parts), 2):
            parts[k] = re.sub(r"(\]\()([^)#:\s]+)((?:#[^)]*)?\))", lambda m: m[1] + self.target(page, m[2]) + m[3], parts[k])
        return "".join(parts)

    def page(self, name):
        text = (self.root / name).read_text(encoding="utf-8")
        if name.endswith(".cpp"):
            self.copy(name)
            comment = re.match(r"((?://[^\n]*\n)*)", text).group(1)
            self.write(f"{name}.md", PROGRAM.format(title=title_of(name), text=re.sub(r"^//+ ?", "", comment, flags=re.M).strip(), name=title_of(name)))
        elif name.endswith(".ipynb"):
            self.copy(name)
        else:
            self.write(name, self.rewritten(name, text))

    def python_reference(self):
        names = layout.python_names(self.root)
        overview = ["Python reference", "================", "", "Every public class and function, by module, from its own docstring. Arrays are NumPy's; B is the number of data sets, S that of draws, P that of parameters.", ""]
        overview += [".. list-table::", "   :widths: 30 70", "   :header-rows: 1", "", "   * - module", "     - what is there"]
        for module, own in names.items():
            self.write(f"reference/python/{module}.rst", self.python_module(module, own))
            overview += [f"   * - :doc:`{module} <{module}>`", f"     - {', '.join(f'``{name}``' for name in own)}"]
        self.write("reference/python/results.rst", RESULTS)
        overview += ["   * - :doc:`results <results>`", "     - what the functions of ``diagnostics`` return"]
        overview += ["", ".. toctree::", "   :hidden:", "", *(f"   {module}" for module in (*names, "results")), ""]
        self.write("reference/python/index.rst", "\n".join(overview))

    def python_module(self, module, names):
        title = module.partition(".")[2] or module
        lines = [title, "=" * len(title), "", f".. automodule:: {module}", "   :no-members:", ""]
        below = [other for other in layout.modules(self.root) if other.startswith(f"{module}.") and module != "bayesflow_cpp"]
        if below:
            lines += ["Modules: " + ", ".join(f":doc:`{other}`" for other in below) + ".", ""]
        elsewhere = {name: layout.origin(self.root, module, name) for name in names}
        taken = [name for name in names if elsewhere[name]]
        if taken:
            lines += [".. list-table::", "   :widths: 35 65", "   :header-rows: 1", "", "   * - name", "     - described as"]
            for name in taken:
                lines += [f"   * - ``{name}``", f"     - :py:obj:`{elsewhere[name]}`"]
            lines += [""]
        for name in names:
            if not elsewhere[name]:
                lines += [f".. autoobject:: {module}.{name}", ""]  # of conf.py: a class with its members, a function, or a value
        return "\n".join(lines)

    def cpp_reference(self):
        words = "Every public header, with what it declares, from its own doc comments. ``bayesflow/bayesflow.hpp`` has what users of networks need, ``bayesflow/engine.hpp`` what their authors need beside it."
        overview, folders = ["C++ reference", "=============", "", words, ""], {}
        for header in self.headers:
            folders.setdefault(pathlib.PurePosixPath(header).parent.as_posix(), []).append(header)
            self.write(f"reference/cpp/{header}.rst", self.cpp_pages[header])
        for folder, inside in folders.items():
            overview += [folder, "-" * len(folder), "", ".. toctree::", "   :maxdepth: 1", "", *(f"   {header}" for header in inside), ""]
        self.write("reference/cpp/index.rst", "\n".join(overview))

    def front_page(self):
        text = self.rewritten("README.md", (self.root / "README.md").read_text(encoding="utf-8"))
        trees = []
        for group, names in self.groups.items():
            names = [f"{name}.md" if name.endswith(".cpp") else name for name in names]
            if group == "Reference":
                names = ["reference/python/index.rst", "reference/cpp/index.rst", *names]
            trees.append(contents(group, names))
        self.write("index.md", text + "\n" + "\n".join(trees))

    def __call__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        for names in self.groups.values():
            for name in names:
                self.page(name)
        self.python_reference()
        self.cpp_reference()
        self.front_page()
