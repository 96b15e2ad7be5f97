"""Settings of the documentation: ``sphinx-build -W -n docs site``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import dnncore

project = "dnncore"
author = "dnncore developers"
copyright = author
version = release = dnncore.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference"]
exclude_patterns = ["_ext"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"dnncore {version}"
html_show_sourcelink = False
html_show_copyright = False
html_copy_source = False

default_role = "literal"  # `name` in docstrings is an argument or a piece of code
add_function_parentheses = False
maximum_signature_line_length = 120
smartquotes_action = "D"  # dashes only: quotes are code
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

autodoc_inherit_docstrings = False  # else every layer repeats the methods of Module
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_param = False  # types are prose ("Tensor of shape (N, C)"), not names to look up
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
