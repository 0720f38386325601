"use strict";
// The words of ticks, but for those that would stand on the words before.
const withRoom = (plot, ticks) => {
  let free = -Infinity;
  return ticks.map(([value, words]) => {
    const [at, half] = [plot.valToPos(value, "x"), 3.5 * words.length];
    if (at - half < free) return "";
    free = at + half + 4;
    return words;
  });
};

// A panel's lines, bands and axes as uPlot takes them; all else is painted over and under them.
const plotOf = (panel, { across, up, hooks, reset }) => {
  const tables = [], series = [{}], bands = [];
  for (const line of panel.series) {
    line.plotted = [];
    if (line.look === "points") continue;
    const bars = line.look === "bars";
    const look = { points: { show: false }, stroke: line.colour, width: line.width, dash: DASHES[line.dashes], alpha: line.opacity };
    const add = (more) => line.plotted.push(series.push({ ...look, ...more }) - 1);
    if (line.under && line.above) {
      bands.push({ series: [series.length, series.length + 1], fill: tinted(line.colour, line.band_opacity) });
      add({ width: 0, stroke: "transparent" });
      add({ width: 0, stroke: "transparent" });
      tables.push([line.at, gaps(line.above), gaps(line.under), gaps(line.drawn)]);
    } else {
      tables.push([line.at, bars ? [...gaps(line.drawn), line.drawn.at(-1)] : gaps(line.drawn)]);
    }
    add(bars ? { fill: line.colour, width: 0, paths: uPlot.paths.stepped({ align: 1 }) } : {});
  }
  const data = !tables.length ? [across] : tables.every(([x]) => x === tables[0][0])
    ? [tables[0][0], ...tables.flatMap((table) => table.slice(1))] : uPlot.join(tables);
  const axis = { stroke: AXIS, font: FONT, grid: { stroke: GRID, width: 1 }, ticks: { stroke: GRID, width: 1, size: 4 }, gap: 3 };
  const words = (plot, splits) => splits.map((value) => (value === null ? "" : short(value)));
  const named = new Map(panel.ticks);
  const below = named.size ? { splits: () => [...named.keys()], filter: (plot, splits) => splits, values: (plot, splits) => withRoom(plot, splits.map((value) => [value, named.get(value)])) } : { values: words };
  const decades = (log) => (log ? { splits: (plot, place, low, high) => roundOf(low, high), filter: (plot, splits) => splits } : {});
  const scale = (log, [min, max]) => ({ time: false, auto: false, distr: log ? 3 : 1, min, max });
  return new uPlot({
    width: Math.max(panel.box.clientWidth, LEAST_WIDTH), height: HEIGHT, series, bands, hooks,
    scales: { x: scale(panel.log_x, across), y: scale(panel.log, up) },
    axes: [
      { ...axis, ...decades(panel.log_x), ...below, label: panel.shown, labelFont: FONT, labelSize: 16, size: 26 },
      { ...axis, ...decades(panel.log), values: words, size: (plot, texts) => 12 + 7 * Math.max(2, ...(texts ?? []).map((text) => text.length)) },
    ],
    legend: { show: false },
    cursor: {
      x: false, y: false, points: { show: false }, drag: { x: true, y: true, uni: 25, setScale: false },
      bind: { dblclick: () => () => { reset(); return null; } },
    },
    padding: [8, 10, 0, 0],
  }, data, panel.box);
};

class LiveChart {
  constructor(figure) {
    this.figure = figure;
    this.place = figure.querySelector(".live");
    this.chart = read(figure.querySelector("script").textContent);
    this.view = views.get(figure.id) ?? { drawn: null, log: null, over: "", smooth: 0, single: new Set(), x: new Map(), y: new Map() };
    views.set(figure.id, this.view);
    this.view.drawn?.leave();
    this.view.drawn = this;
    const { panels, lines } = this.chart;
    this.steps = lines.some((line) => Object.keys(line.over).length) || panels.every((panel) => panel.across === "step");
    this.place.replaceChildren(this.controls(), this.legend(), ...this.chart.rows.map((row) => this.rowOf(row)), valuesOf(this));
    this.place.hidden = false;
    for (const still of figure.querySelectorAll(":scope > .wide")) still.hidden = true;
    this.draw();
    this.watch = new ResizeObserver(() => {
      for (const { box, plot } of panels) if (box.clientWidth && box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height: HEIGHT });
      this.tell(this.told);
    });
    this.watch.observe(this.place);
  }

  // Another is drawn in its place, from later results.
  leave() {
    this.watch.disconnect();
    for (const { plot } of this.chart.panels) plot.destroy();
  }

  controls() {
    const { view, chart, figure } = this;
    const button = (words, title, act) => element("button", { type: "button", textContent: words, title, onclick: act });
    const select = (words, options, value, act) => element("label", {}, words, element("select", { onchange: (event) => { act(event.target.value); this.draw(); } },
      ...options.map(([key, name]) => element("option", { value: key, textContent: name, selected: key === value }))));
    const parts = [];
    if (chart.over.length && this.steps) {
      const names = [["", "step"], ...chart.over.map((one) => [one, one])];
      parts.push(select("Over ", names, view.over, (value) => { view.over = value; view.x.clear(); }));
    }
    const scales = [["", "as reported"], ["linear", "linear"], ["log", "logarithmic"]];
    parts.push(select("Scale ", scales, { null: "", true: "log", false: "linear" }[view.log], (value) => {
      view.log = { log: true, linear: false }[value] ?? null;
      view.y.clear();
    }));
    if (this.steps) {
      const range = element("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: view.smooth });
      range.addEventListener("input", () => { view.smooth = Number(range.value); this.draw(); });
      parts.push(element("label", {}, "Smoothing ", range));
    }
    const buttons = [
      button("+", "Enlarge what is around the point told, or the middle", () => this.enlarge(0.5)),
      button("−", "Show more", () => this.enlarge(2)),
      button("Reset", "Show everything again", () => this.reset()),
    ];
    const image = figure.querySelector("img");
    if (image) buttons.push(element("a", { href: image.src, download: `${figure.id.replace("figure-", "")}.png`, textContent: "PNG" }));
    return element("div", { className: "controls" }, ...parts, element("span", {}, ...buttons));
  }

  legend() {
    const { view, chart } = this;
    return element("ul", { className: "legend" }, ...chart.entries.map((entry, place) => {
      const parts = [swatch(entry), element("span", { textContent: entry.words })];
      if (!entry.by) return element("li", {}, ...parts);
      const button = element("button", { type: "button", title: "Single out" }, ...parts);
      button.setAttribute("aria-pressed", view.single.has(place));
      button.addEventListener("click", () => {
        view.single[view.single.has(place) ? "delete" : "add"](place);
        button.setAttribute("aria-pressed", view.single.has(place));
        this.tell(null);
        this.fade();
      });
      return element("li", {}, button);
    }));
  }

  rowOf(row) {
    return element("div", { className: "plots" }, ...row.panels.map((panel) => {
      panel.box = element("div", { className: "plot", tabIndex: 0, role: "application" });
      panel.box.setAttribute("aria-roledescription", "chart");
      panel.box.setAttribute("aria-label", `${[panel.title, panel.up].filter(Boolean).join(": ")}. Arrow keys tell its points.`);
      panel.tip = element("div", { className: "tip", hidden: true });
      panel.dot = element("div", { className: "dot", hidden: true });
      panel.says = element("p", { className: "aside" });
      panel.says.setAttribute("aria-live", "polite");
      panel.box.addEventListener("keydown", (event) => { if (this.key(panel, event)) event.preventDefault(); });
      panel.box.addEventListener("blur", () => this.tell(null));
      this.pinch(panel);
      const head = element("p", { className: "plot-head" }, element("strong", { textContent: panel.title }), panel.title && panel.up ? " " : "", panel.up);
      return element("div", {}, head, panel.box, panel.says);
    }));
  }

  // Draws each panel anew: with other numbers, or over another axis.
  draw() {
    const { panels, floor } = this.chart;
    this.told = null;
    for (const panel of panels) this.prepare(panel, floor);
    for (const panel of panels) {
      panel.plot?.destroy();
      panel.plot = plotOf(panel, {
        across: this.across(panel), up: this.up(panel), reset: () => this.reset(),
        hooks: {
          drawClear: [(plot) => paintUnder(plot, panel)], draw: [(plot) => paintOver(plot, panel, (line) => this.isBright(line))],
          setSelect: [(plot) => this.select(panel, plot)], setCursor: [(plot) => this.point(panel, plot)],
        },
      });
      panel.plot.over.append(panel.tip, panel.dot);
    }
    this.fade();
  }

  // What is drawn of each line: its abscissas, and its numbers after smoothing.
  prepare(panel, floor) {
    const { view } = this;
    panel.log = view.log ?? panel.log_y;
    panel.shown = view.over || panel.across || (panel.series.some((line) => Object.keys(line.over).length) ? "step" : "");
    const place = (value) => (!panel.log || value >= floor ? value : panel.log_y ? floor : NaN);
    for (const line of panel.series) {
      line.at = (this.steps && line.over[view.over]) || line.x;
      const smooth = view.smooth && line.look === "line" ? (values) => smoothed(values, view.smooth) : Array.from;
      [line.drawn, line.under, line.above] = [line.y, line.low, line.high].map((values) => values && smooth(values).map(place));
    }
  }

  // Panels over the same steps are enlarged together.
  group(panel) {
    return this.steps ? "all" : panel.place;
  }

  across(panel) {
    const zoom = this.view.x.get(this.group(panel));
    if (zoom) return zoom;
    if (panel.x_limits && !this.view.over) return panel.x_limits;
    const panels = this.steps ? this.chart.panels : [panel];
    const ends = panels.flatMap((one) => [...one.series.map((line) => least(line.at)), ...one.ticks.map(([value]) => [value, value])]);
    return padded(...union(ends), panel.log_x, panel.ticks.length ? 0.06 : 0.01);
  }

  up(panel) {
    const zoom = this.view.y.get(panel.place);
    if (zoom) return zoom;
    if (panel.limits && !panel.log) return panel.limits;
    const panels = panel.row.shared ? panel.row.panels.filter((one) => one.log === panel.log) : [panel];
    const ends = panels.flatMap((one) => [
      ...one.series.flatMap((line) => [line.drawn, line.under, line.above].filter(Boolean).map((values) => least(values, line.at, this.across(one)))),
      ...one.series.filter((line) => line.look === "bars").map(() => [0, 0]),
      ...one.targets.map(([value]) => [value, value]),
    ]);
    return padded(...union(ends), panel.log, 0.05);
  }

  rescale() {
    for (const panel of this.chart.panels) {
      const [[left, right], [low, high]] = [this.across(panel), this.up(panel)];
      panel.plot.batch(() => {
        panel.plot.setScale("x", { min: left, max: right });
        panel.plot.setScale("y", { min: low, max: high });
      });
    }
    this.tell(this.told);
  }

  select(panel, plot) {
    const { left, top, width, height } = plot.select;
    if (width < 5 && height < 5) return;
    const [wide, high] = [plot.over.clientWidth, plot.over.clientHeight];
    if (width < wide - 1) this.view.x.set(this.group(panel), [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
    if (height < high - 1) this.view.y.set(panel.place, [plot.posToVal(top + height, "y"), plot.posToVal(top, "y")]);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.rescale();
  }

  // Two fingers enlarge: what was under them when both came down stays under them.
  pinch(panel) {
    const fingers = new Map();
    let held = null;
    const places = () => {
      const { left, top } = panel.plot.over.getBoundingClientRect();
      const all = [...fingers.values()];
      return [all.map(({ x }) => x - left), all.map(({ y }) => y - top)];
    };
    const follow = (event) => fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const leave = (event) => { held = fingers.delete(event.pointerId) ? null : held; };
    const move = () => {
      const { over } = panel.plot;
      const [across, up] = places();
      if (held.x) this.view.x.set(this.group(panel), endsAt(held.x, across, [0, over.clientWidth], panel.log_x));
      if (held.y) this.view.y.set(panel.place, endsAt(held.y, up, [over.clientHeight, 0], panel.log));
      this.rescale();
    };
    panel.box.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "touch") return;
      follow(event);
      const [across, up] = fingers.size === 2 ? places() : [];
      const apart = ([one, other]) => Math.abs(one - other) > PINCH;
      const under = (both, scale) => (apart(both) ? both.map((place) => panel.plot.posToVal(place, scale)) : null);
      held = across ? { x: under(across, "x"), y: under(up, "y") } : null;
    });
    panel.box.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) return;
      follow(event);
      if (held) move();
    });
    for (const type of ["pointerup", "pointercancel"]) panel.box.addEventListener(type, leave);
  }

  enlarge(factor) {
    const ratio = (low, high, log, middle) => {
      const [to, from] = log ? [Math.log, Math.exp] : [(value) => value, (value) => value];
      const centre = middle === undefined ? (to(low) + to(high)) / 2 : to(middle);
      const half = factor * (to(high) - to(low)) / 2;
      return [from(centre - half), from(centre + half)];
    };
    for (const panel of this.steps ? this.chart.panels.slice(0, 1) : this.chart.panels) {
      const told = this.told && this.group(this.told.panel) === this.group(panel) ? this.told.line.at[this.told.place] : undefined;
      this.view.x.set(this.group(panel), ratio(...this.across(panel), panel.log_x, told));
    }
    this.rescale();
  }

  reset() {
    this.view.x.clear();
    this.view.y.clear();
    this.rescale();
  }

  // A line is bright where it is what is singled out, in each respect in which something is.
  isBright(line) {
    const wanted = new Map();
    for (const place of this.view.single) {
      const { by } = this.chart.entries[place];
      wanted.set(by, wanted.get(by) || line.entries.includes(place));
    }
    return [...wanted.values()].every(Boolean);
  }

  fade() {
    for (const { plot, series } of this.chart.panels) {
      for (const line of series) for (const place of line.plotted) plot.series[place].alpha = this.isBright(line) ? line.opacity : 0.1;
      plot.redraw(false);
    }
  }

  point(panel, plot) {
    const { left, top } = plot.cursor;
    if (left < 0) {
      if (document.activeElement !== panel.box) this.tell(null);
      return;
    }
    let [best, nearest] = [NEAR * NEAR, null];
    for (const line of panel.series) {
      if (!this.isBright(line)) continue;
      line.drawn.forEach((value, place) => {
        const distance = (plot.valToPos(middle(line, place), "x") - left) ** 2 + (plot.valToPos(value, "y") - top) ** 2;
        if (distance < best) [best, nearest] = [distance, { panel, line, place }];
      });
    }
    this.tell(nearest);
  }

  key(panel, event) {
    const lines = panel.series.filter((line) => line.y.length && this.isBright(line));
    if (event.key === "Escape") this.reset();
    else if (event.key === "+" || event.key === "-") this.enlarge(event.key === "+" ? 0.5 : 2);
    else if (!lines.length) return false;
    else {
      const told = this.told?.panel === panel ? this.told : null;
      const line = told?.line ?? lines[0];
      const last = line.y.length - 1;
      const [place, at] = [told?.place ?? -1, lines.indexOf(line)];
      const move = { ArrowRight: Math.min(place + 1, last), ArrowLeft: Math.max(place - 1, 0), Home: 0, End: last }[event.key];
      const turn = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (move !== undefined) this.tell({ panel, line, place: move }, true);
      else if (turn) {
        const other = lines[(at + turn + lines.length) % lines.length];
        const x = line.at[Math.max(place, 0)];
        const nearest = other.y.reduce((best, _, one) => (Math.abs(other.at[one] - x) < Math.abs(other.at[best] - x) ? one : best), 0);
        this.tell({ panel, line: other, place: nearest }, true);
      } else return false;
    }
    return true;
  }

  // Shows which point it is, and says so to those who listen.
  tell(told, aloud = false) {
    this.told = told;
    for (const { tip, dot } of this.chart.panels) tip.hidden = dot.hidden = true;
    if (!told) return;
    const { panel, line, place } = told;
    const { plot, tip, dot } = panel;
    const [left, top] = [plot.valToPos(middle(line, place), "x"), plot.valToPos(line.drawn[place], "y")];
    const words = wordsOf(panel, line, place, this.view.smooth);
    const of = [line.label, line.each?.[place]].filter(Boolean).join("; ");
    if (aloud) panel.says.textContent = [...words, of].join("; ");
    if (!(left >= 0 && left <= plot.over.clientWidth && top >= 0 && top <= plot.over.clientHeight)) return;
    tip.replaceChildren(...words.map((text) => element("div", { textContent: text })), element("div", { className: "of", textContent: of }));
    tip.hidden = dot.hidden = false;
    dot.style.translate = `${left}px ${top}px`;
    dot.style.background = line.colour;
    const room = plot.over.clientWidth - tip.offsetWidth;
    tip.style.translate = `${Math.max(Math.min(left + 12, room), -40)}px ${top > HEIGHT / 2 ? top - tip.offsetHeight - 12 : top + 12}px`;
  }
}

// Draws a figure when it comes near to what is seen, as most of a page never does; one that was drawn before at once.
const nearby = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    nearby.unobserve(target);
    new LiveChart(target);
  }
}, { rootMargin: "400px" });
const dressCharts = (root) => {
  for (const { parentElement: figure } of root.querySelectorAll("figure.chart > .live")) {
    if (views.has(figure.id)) new LiveChart(figure);
    else nearby.observe(figure);
  }
};
