// The board: reads BOARD (board-data.js), fills the controls and draws three figures with their words.
"use strict";

(() => {
  const element = (id) => document.getElementById(id);
  const controls = Object.fromEntries(
    ["lesson", "setting", "measure", "cost", "baseline", "one", "other"].map((id) => [id, element(id)]),
  );
  const FIRST_LESSON = "01_full"; // the one before has nothing to compare
  const CONFIG = { displayModeBar: false, responsive: true };
  const LAYOUT = { paper_bgcolor: "#fff", plot_bgcolor: "#fff", font: { color: "#222", size: 13 },
                   margin: { l: 70, r: 20, t: 20, b: 60 }, hovermode: "closest" };
  const GRID = { gridcolor: "#e5e5e5", zerolinecolor: "#888", linecolor: "#888", automargin: true };

  // -- numbers as words ---------------------------------------------------------------------------------------
  const metric = () => BOARD.metrics[controls.measure.value];
  const unit = () => (metric().points ? " points" : "");
  const scale = () => (metric().points ? 100 : 1);

  function number(value, signed = false) {
    const size = Math.abs(value);
    const text = size >= 100 ? Math.round(size).toLocaleString("en") : size.toFixed(metric().points || size >= 10 ? 1 : 3);
    return (value < 0 ? "−" : signed ? "+" : "") + text;
  }

  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  function amount(value) {
    if (value === 0 || !isFinite(value)) return String(value);
    for (const [size, name] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]])
      if (Math.abs(value) >= size) return Number((value / size).toPrecision(3)) + name;
    return String(Number(value.toPrecision(3)));
  }

  function range(found, signed) {
    const [mean, low, high] = [found.mean, found.low, found.high].map((value) => number(scale() * value, signed));
    return found.seeds > 1 ? `${mean} [${low}, ${high}]` : `${mean} (one seed)`;
  }

  function name(setting) {
    const { n, size, ...more } = setting.options;
    const others = Object.entries(more).map(([key, value]) => `${key.replace("_", " ")} ${value}`);
    const parts = [setting.label === setting.task ? setting.task : `${setting.label} (${setting.task})`,
                   n === undefined ? "all examples" : `${n} examples`, size && `${size} pixels`, ...others,
                   setting.model, `grid ${setting.grid}`];
    return parts.filter(Boolean).join(", ");
  }

  // -- controls -----------------------------------------------------------------------------------------------
  function fill(control, options, wanted) {
    const before = wanted ?? control.value;
    control.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
    if (options.some(([value]) => String(value) === before)) control.value = before;
  }

  const setting = () => BOARD.settings[controls.setting.value];
  const hasNumber = (column) => (setting().runs[column] || []).some((value) => value !== null);

  function choose(changed) {
    const wanted = changed ? {} : Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    if (!changed) fill(controls.lesson, Object.entries(BOARD.lessons), wanted.lesson ?? FIRST_LESSON);
    if (!changed || changed === "lesson") {
      const own = BOARD.settings.map((one, i) => [i, name(one), one]).filter(([, , one]) => one.lesson === controls.lesson.value);
      fill(controls.setting, own, wanted.setting);
    }
    if (!changed || ["lesson", "setting"].includes(changed)) {
      fill(controls.measure, Object.keys(BOARD.metrics).filter(hasNumber).map((key) => [key, BOARD.metrics[key].label]), wanted.measure);
      fill(controls.cost, Object.entries(BOARD.costs).filter(([key]) => hasNumber(key)), wanted.cost);
      const arms = setting().arms.map((arm) => [arm, arm]);
      fill(controls.baseline, arms, wanted.baseline);
      fill(controls.one, arms, wanted.one);
      fill(controls.other, arms, wanted.other);
      if (controls.one.value === controls.other.value && arms.length > 1)
        controls.other.value = arms.find(([arm]) => arm !== controls.one.value)[0];
    }
    const state = Object.entries(controls).map(([key, control]) => [key, control.value]);
    if (changed) history.replaceState(null, "", `#${new URLSearchParams(state)}`);
    draw();
  }

  // -- figures ------------------------------------------------------------------------------------------------
  const look = (arm) => BOARD.looks[setting().arms.indexOf(arm) % BOARD.looks.length];
  const marker = (arm) => ({ color: look(arm)[0], symbol: look(arm)[1], size: 10 });
  const bars = (found) => ({ array: [scale() * (found.high - found.mean)], arrayminus: [scale() * (found.mean - found.low)],
                             type: "data", symmetric: false, thickness: 2 });
  const finite = (found) => isFinite(found.low);
  const measureTitle = () => metric().label + (metric().points ? " in %" : "") + (metric().lower ? " (lower is better)" : "");
  const axis = (title, more) => ({ ...GRID, title: { text: title }, ...more });

  // Words and tables are there at once; a figure follows when plotly.js is loaded, in the state that is then the last.
  const waiting = new Map();
  function plot(id, traces, layout) {
    waiting.set(id, [traces, layout]);
    withPlotly().then((plotly) => {
      const last = waiting.get(id);
      if (last) plotly.react(id, ...last, CONFIG);
      waiting.delete(id);
    });
  }

  function spread(values) {
    const least = Math.min(...values);
    return least > 0 && Math.max(...values) / least > 20 ? "log" : "linear";
  }

  function drawCosts(rows) {
    const costs = rows.map((row) => row.cost.mean);
    const traces = rows.map((row) => ({
      name: row.arm, mode: "markers", x: [row.cost.mean], y: [scale() * row.mean], marker: marker(row.arm),
      error_y: { ...bars(row), visible: finite(row), color: look(row.arm)[0] },
      hovertemplate: `${row.arm}: ${range(row)}, ${amount(row.cost.mean)}<extra></extra>`,
    }));
    plot("cost-figure", traces, {
      ...LAYOUT, height: Math.max(420, 100 + 20 * rows.length), showlegend: true,
      xaxis: axis(BOARD.costs[controls.cost.value], { type: spread(costs) }), yaxis: axis(measureTitle()),
    });
    const cost = BOARD.costs[controls.cost.value];
    const told = (row) => `${row.arm}, ${range(row)} at ${amount(row.cost.mean)}`;
    const least = (value) => rows.reduce((best, row) => (value(row) < value(best) ? row : best));
    const best = least((row) => (metric().lower ? row.mean : -row.mean));
    element("cost-words").textContent = `${capital(measureTitle())}, mean and 95 % interval over seeds, at the mean ${cost}. `
      + `Least ${cost}: ${told(least((row) => row.cost.mean))}. ${metric().lower ? "Lowest" : "Highest"} mean: ${told(best)}. `
      + "Whether means differ is said below, where seeds are paired.";
  }

  function drawDifferences(rows) {
    const others = rows.filter((row) => row.difference);
    const traces = others.map((row) => ({
      name: row.arm, mode: "markers", x: [scale() * row.difference.mean], y: [row.arm], marker: marker(row.arm),
      error_x: { ...bars(row.difference), visible: finite(row.difference), color: look(row.arm)[0] },
      hovertemplate: `${row.arm}: ${range(row.difference, true)}<extra></extra>`,
    }));
    const base = controls.baseline.value;
    element("differences-figure").hidden = !others.length;
    plot("differences-figure", traces, {
      ...LAYOUT, height: 130 + 28 * Math.max(2, others.length), showlegend: false,
      xaxis: axis(`${metric().label}: difference from ${base}${metric().points ? ", points" : ""}`, { zeroline: true, zerolinewidth: 2 }),
      yaxis: axis("", { type: "category", autorange: "reversed" }),
      shapes: [{ type: "line", x0: 0, x1: 0, y0: 0, y1: 1, yref: "paper", line: { color: "#444", width: 2 } }],
    });
    element("differences-words").textContent = others.length
      ? differenceWords(others, base)
      : "There is nothing to compare here: this setting has one method.";
  }

  function differenceWords(others, base) {
    const corrected = others.length > 1 ? `, intervals corrected for ${others.length} comparisons` : "";
    const groups = new Map();
    for (const row of others) groups.set(row.words, [...(groups.get(row.words) ?? []), row]);
    const said = [...groups].map(([words, rows]) => {
      const told = rows.map((row) => (row.words in { higher: 1, lower: 1 } ? `${row.arm} ${range(row.difference, true)}${unit()}` : row.arm));
      return `${capital(words)}: ${told.join("; ")}.`;
    });
    const lower = metric().lower ? " Lower is better here." : "";
    return `Against ${base}, paired by seed${corrected}. ${said.join(" ")}${lower} All numbers are in the table.`;
  }

  function cells(row) {
    const texts = [row.seeds, range(row), row.difference ? range(row.difference, true) + unit() : "–",
                   row.difference ? row.difference.seeds : "–", row.words ?? "the baseline", amount(row.cost.mean)];
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = row.arm;
    const line = document.createElement("tr");
    line.append(head, ...texts.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return line;
  }

  function drawPairs() {
    const [one, other, column] = [controls.one.value, controls.other.value, controls.measure.value];
    const found = Stats.pairs(setting(), column, one, other);
    const seeds = found.map(([seed]) => `seed ${seed}`);
    const lines = { mode: "lines", x: found.flatMap(([, a, b]) => [scale() * a, scale() * b, null]),
                    y: seeds.flatMap((seed) => [seed, seed, null]), line: { color: "#888", width: 2 }, showlegend: false, hoverinfo: "skip" };
    const dots = [one, other].map((arm, i) => ({
      name: arm, mode: "markers", x: found.map((row) => scale() * row[i + 1]), y: seeds, marker: marker(arm), hovertemplate: "%{x:.4g}",
    }));
    plot("pairs-figure", [lines, ...dots], {
      ...LAYOUT, height: 140 + 22 * Math.max(3, found.length), showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      xaxis: axis(measureTitle()), yaxis: axis("", { type: "category", autorange: "reversed" }),
    });
    element("pairs-figure").hidden = one === other || !found.length;
    element("pairs-words").textContent = pairWords(found, one, other, column);
  }

  function pairWords(found, one, other, column) {
    if (one === other) return "Choose two different methods.";
    if (!found.length) return `No seed has a number of both ${one} and ${other}.`;
    const difference = Stats.paired(setting(), column, one, other);
    const more = found.filter(([, a, b]) => a > b).length, same = found.filter(([, a, b]) => a === b).length;
    const verdict = { higher: `${one} is higher`, lower: `${one} is lower` }[Stats.words(difference)] ?? Stats.words(difference);
    const better = metric().lower && difference.seeds >= 6 ? " Lower is better here." : "";
    return `${one} is higher in ${more} of ${found.length} seeds${same ? `, and equal in ${same}` : ""}. The mean difference, `
      + `${one} − ${other}, is ${range(difference, true)}${unit()}, with its 95 % interval over ${difference.seeds} seeds: ${verdict}.${better}`;
  }

  function draw() {
    const cost = (arm) => Stats.interval([...Stats.bySeed(setting(), arm, controls.cost.value).values()]);
    const rows = Stats.table(setting(), controls.measure.value, controls.baseline.value)
      .map((row) => ({ ...row, cost: cost(row.arm) }));
    element("cost-column").textContent = BOARD.costs[controls.cost.value];
    element("rows").replaceChildren(...rows.map(cells));
    drawCosts(rows);
    drawDifferences(rows);
    drawPairs();
  }

  for (const [id, control] of Object.entries(controls)) control.addEventListener("change", () => choose(id));
  choose();
})();
