"""Outputs of a notebook as a page shows them: a picture with its words, and a plotly figure that comes alive if asked.

The figure itself stands beside its picture as JSON, and plotly.js, which all pages share, is loaded by the first click.
"""

import html
import json

LIVE, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
BUTTON = '<button type="button" class="ft-live">Make this figure interactive</button>'
NOTE = '<p class="ft-note">%s It works in the notebook, see <a href="../docs/install.html">how to install</a>.</p>'


def text_of(data: dict, mime: str) -> str:
    """An entry as one string: notebooks also keep lists of lines."""
    found = data.get(mime, "")
    return found if isinstance(found, str) else "".join(found)


def without_kernel(data: dict) -> dict:
    """The entries of an output, as something that needs no kernel."""
    if "image/png" in data:
        return {"text/html": picture(data)}
    if WIDGET in data:
        words = f'<div class="ft-asked">{html.escape(text_of(data, "text/plain"))}</div>'
        return {"text/html": f'<div class="ft-question">{words}{NOTE % "A question to answer."}</div>'}
    if "text/html" in data:
        return {"text/html": text_of(data, "text/html")}
    return data


def picture(data: dict) -> str:
    """The stored picture, described; below it a button, where the figure can come alive."""
    words = html.escape(text_of(data, "text/plain"))
    source = "data:image/png;base64," + text_of(data, "image/png").replace("\n", "")
    inside = f'<img src="{source}" alt="{words}">'
    if LIVE in data:
        found = {name: data[LIVE][name] for name in ("data", "layout", "config") if name in data[LIVE]}
        written = json.dumps(found, separators=(",", ":")).replace("</", "<\\/")
        inside += f'<script type="application/json">{written}</script>{BUTTON}'
    if WIDGET in data:
        inside += NOTE % "This is the first state of a panel with controls."
    return f'<figure class="ft-figure">{inside}</figure>'
