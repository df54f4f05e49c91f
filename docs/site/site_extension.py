"""What the site needs beyond Sphinx' own extensions: a directive for whatever a public name stands for, docstrings as they are written here, and formulas as MathML."""

import importlib
import inspect
import re

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from latex2mathml.converter import convert
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

logger = logging.getLogger(__name__)
FOREIGN_BASES = "Exception, Warning, tuple, dict, list, ABC"


class AutoObject(Directive):
    """.. autoobject:: module.name -- a class with its members, inherited ones included, a function, or a value with the comment above it."""

    required_arguments = 1

    def run(self):
        full = self.arguments[0]
        module, _, name = full.rpartition(".")
        value = getattr(importlib.import_module(module), name)
        if inspect.isclass(value) and issubclass(value, BaseException):
            lines = [f".. autoexception:: {full}", "   :show-inheritance:"]
        elif inspect.isclass(value):
            lines = [f".. autoclass:: {full}", "   :members:", "   :undoc-members:", f"   :inherited-members: {FOREIGN_BASES}"]
        elif inspect.isroutine(value):
            lines = [f".. autofunction:: {full}"]
        else:
            comment = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
            if not comment:
                logger.warning("%s is a value without a comment (#: ...) above it", full)
            shown = [f"   :value: {value!r}"] if isinstance(value, (bool, int, float, str, list, tuple, dict)) else []
            lines = [f".. py:data:: {full}", *shown, "", *(f"   {escaped(line)}" for line in comment or [])]
        node = nodes.Element()
        self.state.nested_parse(StringList([*lines, ""], source=full), self.content_offset, node)
        return node.children


class Results(Directive):
    """.. results:: module -- the classes of the compiled module, which functions return and whose names users need not write, with their members."""

    required_arguments = 1

    def run(self):
        module, lines = importlib.import_module(self.arguments[0]), []
        for name in sorted(name for name in dir(module) if name[0].isupper()):
            members = vars(getattr(module, name)._cls)
            lines += [f".. py:class:: {name}", "", *self.text(getattr(module, name).__doc__, "   ")]
            for key, member in members.items():
                if key.startswith("_"):
                    continue
                if isinstance(member, property):
                    lines += [f"   .. py:attribute:: {key}", "      :no-index:", "", *self.text(member.__doc__, "      ")]
                elif callable(member) or type(member).__name__.startswith("nb_"):
                    signatures = re.findall(rf"^{key}\(.*\).*$", member.__doc__ or "", flags=re.M)
                    words = [part for part in re.split(r"\n\s*\n", member.__doc__ or "") if not re.match(rf"{key}\(|Overloaded function|\d+\. ", part)]
                    lines += [f"   .. py:method:: {signatures[0] if signatures else key + '()'}"]
                    lines += [" " * 18 + other for other in signatures[1:]] + ["      :no-index:", "", *self.text("\n\n".join(dict.fromkeys(words)), "      ")]
        node = nodes.Element()
        self.state.nested_parse(StringList([*lines, ""], source=self.arguments[0]), self.content_offset, node)
        return node.children

    @staticmethod
    def text(words, indent):
        return [indent + escaped(line.strip()) if line.strip() else "" for line in (words or "").splitlines()] + [""]


def escaped(line):
    """The docstrings' text is plain: outside of `code`, the characters that reStructuredText takes for markup mean themselves."""
    parts = re.split(r"(`+[^`]*`+)", line)
    return "".join(part if part.startswith("`") else re.sub(r"\*|\||(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts)


def docstring(app, what, name, subject, options, lines):
    """Examples, indented after an empty line, become blocks of code; the rest of the text is `escaped`. A section, as Parameters, ends before a paragraph that is
    not indented: napoleon is told so by a second empty line."""
    if not lines and what in ("class", "function", "method", "property"):
        if not name.rpartition(".")[2].startswith("_"):
            logger.warning("%s %s has no docstring", what, name)
    # Where nothing but an example follows the first line, Sphinx takes its indentation for that of the docstring.
    below = [len(line) - len(line.lstrip()) for line in (getattr(subject, "__doc__", None) or "").splitlines()[1:] if line.strip()]
    depth = 0 if what == "module" else 4 * (getattr(subject, "__qualname__", "").count(".") + 1)
    if what in ("module", "class", "function", "method") and below and min(below) > depth:
        lines[1:] = [" " * (min(below) - depth) + line if line.strip() else line for line in lines[1:]]
    underlined = [k + 1 < len(lines) and lines[k + 1].startswith("---") for k in range(len(lines))]
    out, in_code, in_section, last = [], False, False, ""  # last: the last line that is not empty
    for k, line in enumerate(lines):
        if underlined[k]:
            in_section = True
        elif in_section and line and not line.startswith(" ") and not lines[k - 1].strip():
            out.append("")
            in_section = False
        indented = line.startswith("    ")
        if in_code and line and not indented:
            in_code = False
        if indented and not in_code and k and not lines[k - 1].strip() and last and not last.startswith(" "):
            in_code = True
            out += [".. code-block:: python", ""]
        out.append(line if in_code else escaped(line))
        last = line if line.strip() else last
    lines[:] = out
    if what == "property":
        properties[name] = out


properties = {}


def property_docstring(app, what, name, subject, options, lines):
    """napoleon takes what stands before a colon for the type of a property; here it is the beginning of a sentence."""
    if what == "property":
        lines[:] = properties[name]


def without_progress(app, doctree):
    """Of the states of a notebook's progress bars the last is shown."""
    for block in doctree.findall(nodes.literal_block):
        if re.search(r"\d+%\|", block.astext()):
            lines = block.astext().split("\n")
            last = {line.partition(":")[0]: k for k, line in enumerate(lines) if "%|" in line}
            text = "\n".join(line for k, line in enumerate(lines) if "%|" not in line or last[line.partition(":")[0]] == k)
            block.children = [nodes.Text(text)]
            block.rawsource = text


def visit_math(translator, node):
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_math_block(translator, node):
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_directive("autoobject", AutoObject)
    app.add_directive("results", Results)
    app.connect("autodoc-process-docstring", docstring, priority=100)  # before napoleon, which makes markup of the sections
    app.connect("autodoc-process-docstring", property_docstring, priority=900)
    app.connect("doctree-read", without_progress)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
