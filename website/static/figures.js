// A figure of a lesson comes alive when its button is pressed. plotly.js is large: it is loaded once, when it is needed.
"use strict";

const withPlotly = (() => {
  const folder = document.currentScript.src.replace(/[^/]*$/, "");
  let plotly = null;

  // A promise of plotly.js.
  function load() {
    plotly ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = `${folder}plotly.min.js`;
      script.onload = () => done(window.Plotly);
      script.onerror = failed;
      document.head.append(script);
    });
    return plotly;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest(".ft-live");
    if (!button) return;
    const figure = button.closest("figure"), picture = figure.querySelector("img");
    const plotly = await load();
    const { data, layout, config } = JSON.parse(figure.querySelector("script").textContent);
    const live = document.createElement("div");
    live.setAttribute("role", "figure");
    live.setAttribute("aria-label", picture.alt);
    live.tabIndex = -1;
    figure.prepend(live);
    await plotly.newPlot(live, data, layout, { ...config, responsive: true });
    picture.hidden = true;
    button.remove();
    live.focus();
  });

  return load;
})();
