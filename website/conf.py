"""Sphinx's settings for `make site`. `website/__main__.py` calls it; nothing is executed, nothing is fetched."""

import re
from functools import partial
from pathlib import Path

import plotly
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import ftlib
from website.prepare import ROOT

project, author, release = "The Fine-Tuning Lab", "The Fine-Tuning Lab", ftlib.__version__
copyright = "The Fine-Tuning Lab, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"  # the notebooks come executed
nb_render_markdown_format = "myst"  # so that links in outputs lead to pages
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"
autodoc_member_order = "bysource"
toc_object_entries = False  # each name has a heading
autodoc_typehints = "none"  # the docstrings say it
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "literal"  # one backtick is code, as in Markdown
suppress_warnings = ["ref.footnote", "ref.python"]  # a paper that no sentence names, and a word with two meanings
CODE = re.compile(r"(`+[^`]*`+_?|\]_)|\||(?<=\w)_(?!\w)")

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = [
    str(ROOT / "website" / "static"),
    str(Path(plotly.__file__).parent / "package_data" / "plotly.min.js"),
]
html_favicon = "static/favicon.svg"
html_css_files = ["site.css"]
html_js_files = ["figures.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # a page that was opened from a disk may not read other pages
html_context = {"default_mode": "auto"}
html_sidebars = {page: [] for page in ("board", "search", "genindex", "docs/[!l]*")}  # they have no pages below them
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def mathml(self, node: nodes.Element, as_block: bool = False) -> None:
    """A formula as MathML, which browsers draw themselves: no script, no fonts."""
    tex = re.sub(r"\\[bB]ig(?![a-zA-Z])", "", node.astext())  # a size of brackets that docutils doesn't know
    self.body.append(tex2mathml(tex, as_block=as_block))
    raise nodes.SkipNode


def as_rest(app, what, name, obj, options, lines) -> None:
    """A docstring as reStructuredText: |x| and names_ are no commands, and [1] is another paper on the next name."""
    label, prose = re.sub(r"\W+", "-", name), True
    for i, line in enumerate(lines):
        prose = prose and line.strip() != "Examples"  # what follows is code, shown as it is
        line = re.sub(r"\[(\d+)\](?=_)|(?<=^\.\. )\[(\d+)\]", lambda m: f"[#{label}-{m[1] or m[2]}]", line)
        lines[i] = CODE.sub(lambda m: m[0] if m[1] else "\\" + m[0], line) if prose else line


def setup(app) -> None:
    """Register what is ours."""
    app.connect("autodoc-process-docstring", as_rest, priority=100)  # before napoleon
    app.add_html_math_renderer("mathml", (mathml, None), (partial(mathml, as_block=True), None))
