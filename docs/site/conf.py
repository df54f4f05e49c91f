"""Sphinx' settings of the site; build.py runs it."""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).parent))

project = "bayesflow.cpp"
author = "the authors of bayesflow.cpp"
release = ".".join(re.findall(r"#define BAYESFLOW_VERSION_\w+ (\d+)", (ROOT / "include/bayesflow/core/version.hpp").read_text()))
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_extension"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
nitpicky = False

# Pages. Math becomes MathML, which browsers show by themselves: nothing is loaded from elsewhere.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]

# Notebooks are executed, and again when their code changes.
nb_execution_mode = "cache"
nb_execution_cache_path = os.environ["BAYESFLOW_DOCS_NOTEBOOKS"]
nb_execution_timeout = 3600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# Docstrings: NumPy's sections; words between single backticks are code.
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"

# C++
cpp_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"bayesflow.cpp {release}"
html_static_path = [str(pathlib.Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
