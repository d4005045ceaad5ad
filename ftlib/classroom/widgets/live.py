"""A figure that a widget changes in place.

plotly's own widget carries 5 MB of JavaScript, and sends and parses them once per figure. On a slow computer that takes
longer than the two seconds which anywidget allows, and the figure stays deaf. Here the code goes to a page once, and
every figure waits for it. Changes from Python that come before it are kept and made afterwards.
"""

from copy import deepcopy
from functools import cache

import anywidget
import plotly.graph_objects as go
import traitlets

from ftlib import plots

SHARED = """
const shared = globalThis.ftlibPlotly ??= (() => {
  let found;
  const widget = new Promise(resolve => { found = resolve; });
  return { widget, found, taken: false };
})();
"""


class Code(anywidget.AnyWidget):
    """plotly's JavaScript, on its way to the page. The first one that arrives there is used."""

    _esm = (
        SHARED
        + """
export default { initialize({ model }) {
  if (shared.taken) return;
  shared.taken = true;
  const url = URL.createObjectURL(new Blob([model.get("code")], { type: "text/javascript" }));
  import(url).then(code => shared.found(code.default));  // not awaited: the model is ready now
} };
"""
    )
    code = traitlets.Unicode().tag(sync=True)


@cache
def send_code() -> Code:
    """Send plotly's JavaScript, once per kernel."""
    return Code(code=str(go.FigureWidget._esm))


class Live(go.FigureWidget):
    """plotly's figure widget, with the toolbar of all figures and without its own copy of the code."""

    _esm = (
        SHARED
        + """
const NAMES = ["addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate",
  "removeLayoutProps", "removeTraceProps"].map(name => `_py2js_${name}`);
export default () => {
  let figure;
  return {
    initialize({ model }) {
      const missed = [], listeners = {};
      let replayed = {};
      const keep = NAMES.map(name => [`change:${name}`, () => missed.push([name, model.get(name)])]);
      keep.push(["change:_widget_data", () => { missed.length = 0; }]);  // displayed: Python sent all of it anew
      keep.forEach(([event, listener]) => model.on(event, listener));
      const seen = {
        get: name => name in replayed ? replayed[name] : model.get(name),
        set: (name, value) => model.set(name, value),
        save_changes: () => model.save_changes(),
        on: (event, listener) => { (listeners[event] ??= []).push(listener); model.on(event, listener); },
      };
      figure = shared.widget.then(make => {
        const made = make();
        keep.forEach(([event, listener]) => model.off(event, listener));
        made.initialize({ model: seen });
        for (const [name, value] of missed) {
          replayed = { [name]: value };
          listeners[`change:${name}`].forEach(listener => listener());
        }
        replayed = {};
        return made;
      });
    },
    async render(context) { return (await figure).render(context); },
  };
};
"""
    )

    def __init__(self, figure: go.Figure):
        send_code()
        super().__init__(figure)
        self._config = plots.TOOLBAR
        self._drawn = True

    def get_state(self, key=None, drop_defaults=False):
        """Give a page that asks for all of it, after a reload or in voila, the figure as it is now."""
        if key is None and "_drawn" in vars(self):  # plotly's own constructor asks, too, before there is a figure
            now = {"_widget_data": deepcopy(self._data), "_widget_layout": deepcopy(self._layout_obj._props)}
            self._trait_values.update(now)  # no message to the pages that are open: they have it
        return super().get_state(key, drop_defaults)


def live(figure: go.Figure) -> Live:
    """A figure that a widget changes in place, with the toolbar of all figures."""
    return Live(figure)
