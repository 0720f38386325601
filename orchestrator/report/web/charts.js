"use strict";
// Draws charts from their data, by uPlot, so that they answer to the hand; what a chart is, report/blocks.py says.
// Pixels: of a panel, from a point within which it is told, and between fingers that enlarge along an axis.
const HEIGHT = 250, LEAST_WIDTH = 100, NEAR = 60, PINCH = 40;
const DASHES = { solid: [], dashed: [7, 3], dotted: [2, 3], dashdot: [9, 3, 2, 3] };
const AXIS = "#545d68", GRID = "#dfe3e8", FONT = "12px system-ui, sans-serif";
const views = new Map(); // what a reader has chosen, by figure: it outlives a chart that is drawn anew

const element = (tag, more = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(more)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};
const drawn = (tag, more, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(more)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
const written = (value) => {
  if (value === null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e7) ? value.toExponential(5) : String(Number(value.toPrecision(7)));
};

const decoded = ([bytes, text]) => {
  const buffer = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  return bytes === 4 ? new Float32Array(buffer) : new Float64Array(buffer);
};
// Exponential moving average, each point's by the points before it (with the correction of Adam for the first ones).
const smoothed = (values, weight) => {
  let mean = 0, share = 0;
  return Array.from(values, (value) => {
    if (Number.isNaN(value)) return NaN;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
};

// Reads a chart's JSON: each line with its numbers, in panels, in rows.
const read = (text) => {
  const chart = JSON.parse(text);
  const arrays = chart.arrays.map(decoded);
  const array = (one) => (one === null ? null : arrays[one]);
  let place = 0;
  for (const row of chart.rows) {
    for (const panel of row.panels) {
      panel.row = row;
      panel.place = place++;
      for (const line of panel.series) {
        for (const name of ["x", "y", "low", "high"]) line[name] = array(line[name]);
        for (const name of Object.keys(line.over)) line.over[name] = array(line.over[name]);
      }
    }
  }
  chart.panels = chart.rows.flatMap((row) => row.panels);
  chart.lines = chart.panels.flatMap((panel) => panel.series);
  const over = chart.lines.map((line) => Object.keys(line.over));
  chart.over = (over[0] ?? []).filter((name) => over.every((names) => names.includes(name)));
  return chart;
};

const shape = (marker, x, y, r) => {
  const path = new Path2D();
  const through = (...points) => {
    points.forEach(([a, b], place) => path[place ? "lineTo" : "moveTo"](x + a * r, y + b * r));
    path.closePath();
  };
  if (marker === "v") through([-1, -0.9], [1, -0.9], [0, 1]);
  else if (marker === "D") through([0, -1.2], [1, 0], [0, 1.2], [-1, 0]);
  else if (marker === "s") through([-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]);
  else if (marker === "X") {
    through([-1, -0.6], [-0.6, -1], [0, -0.4], [0.6, -1], [1, -0.6], [0.4, 0], [1, 0.6], [0.6, 1], [0, 0.4], [-0.6, 1], [-1, 0.6], [-0.4, 0]);
  } else if (marker === "|") path.rect(x - r / 4, y - r, r / 2, 2 * r);
  else path.arc(x, y, r, 0, 2 * Math.PI);
  return path;
};
const swatch = ({ colour, look, dashes, hollow }) => {
  const image = drawn("svg", { width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" });
  if (look === "line") {
    image.append(drawn("line", { x1: 1, x2: 25, y1: 6, y2: 6, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": DASHES[dashes].join(" ") }));
  } else if (look === "patch" || look === "s") {
    image.append(drawn("rect", { x: 8, y: 1, width: 10, height: 10, fill: hollow ? "none" : colour, stroke: colour }));
  } else {
    const outline = { v: "8,2 18,2 13,11", D: "13,0 18,6 13,12 8,6", X: "8,2 10,0 13,4 16,0 18,2 15,6 18,10 16,12 13,8 10,12 8,10 11,6" }[look];
    image.append(outline ? drawn("polygon", { points: outline, fill: colour })
      : drawn("circle", { cx: 13, cy: 6, r: 4, fill: hollow ? "none" : colour, stroke: colour }));
  }
  return image;
};

// The ends of an axis a little beyond the values.
const padded = (low, high, log, share) => {
  if (log) low = Math.max(low, Number.MIN_VALUE);
  if (!(low <= high)) return log ? [1, 10] : [0, 1];
  if (low === high) return log ? [low / 10, high * 10] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const more = log ? (high / low) ** share : (high - low) * share;
  return log ? [low / more, high * more] : [low - more, high + more];
};
// The values at the ends of an axis on which two values are at two places.
const endsAt = (values, places, ends, log) => {
  const [to, from] = log ? [Math.log, Math.exp] : [(value) => value, (value) => value];
  const [one, other] = values.map(to);
  const distance = places[1] - places[0];
  const each = (other - one) / (Math.sign(distance) * Math.max(Math.abs(distance), 1));
  return ends.map((end) => from(one + (end - places[0]) * each));
};
// Round numbers between the ends of a logarithmic axis: powers of ten, and within few of these 2 and 5 times them.
const roundOf = (low, high) => {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const stride = Math.max(1, Math.ceil((last - first) / 8));
  const powers = Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => first + place);
  const of = (factors) => powers.filter((power) => power % stride === 0).flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
    .filter((value) => value >= low && value <= high);
  const step = 10 ** Math.floor(Math.log10(high - low));
  const evenly = (size) => Array.from({ length: Math.floor(high / size) - Math.ceil(low / size) + 1 }, (_, place) => Number(((Math.ceil(low / size) + place) * size).toPrecision(12)));
  return [[1], [1, 2, 5]].map(of).find((found) => found.length > 2) ?? [step, step / 2, step / 5].map(evenly).find((found) => found.length > 2) ?? [];
};
const short = (value) => {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential().replace("e+", "e") : String(Number(value.toPrecision(6)));
};
const tinted = (colour, opacity) => colour + Math.round(255 * opacity).toString(16).padStart(2, "0");
const gaps = (values) => values && Array.from(values, (value) => (Number.isNaN(value) ? null : value));

// The least and the greatest number, or those of them whose abscissas are within the ends.
const least = (values, at = null, [from, to] = []) => {
  let [low, high] = [Infinity, -Infinity];
  values.forEach((value, place) => {
    if (at && !(at[place] >= from && at[place] <= to)) return;
    if (value < low) low = value;
    if (value > high) high = value;
  });
  return [low, high];
};
const union = (ends) => [Math.min(...ends.map(([low]) => low)), Math.max(...ends.map(([, high]) => high))];
// Where a point stands: a bar has edges.
const middle = (line, place) => (line.look === "bars" ? (line.at[place] + line.at[place + 1]) / 2 : line.at[place]);

// Where a step of an event stands on the axis that is shown, by the line of its colour.
const overOf = (panel, step, colour) => {
  const line = panel.series.find((one) => one.colour === colour && one.at !== one.x);
  if (!line) return step;
  const place = line.x.findIndex((x) => x >= step);
  return line.at.at(place);
};

// What is told of a point, line by line.
const wordsOf = (panel, line, place, smooth) => {
  const words = [`${panel.up || "value"}: ${written(line.y[place])}`];
  if (smooth && line.look === "line") words.push(`smoothed: ${written(line.drawn[place])}`);
  if (line.low && line.high) words.push(`from ${written(line.low[place])} to ${written(line.high[place])}`);
  const name = Object.keys(line.over).length ? "step" : panel.across || "at";
  const edge = line.look === "bars" ? ` to ${written(line.x[place + 1])}` : "";
  words.push(`${name}: ${new Map(panel.ticks).get(line.x[place]) ?? written(line.x[place])}${edge}`);
  for (const [over, values] of Object.entries(line.over)) words.push(`${over}: ${written(values[place])}`);
  return words;
};

const painted = (plot, paint) => {
  const { left, top, width, height } = plot.bbox;
  plot.ctx.save();
  plot.ctx.beginPath();
  plot.ctx.rect(left, top, width, height);
  plot.ctx.clip();
  paint(plot.ctx, { left, top, right: left + width, bottom: top + height, unit: uPlot.pxRatio });
  plot.ctx.restore();
};
const lineTo = (ctx, dashes, colour, ...points) => {
  ctx.setLineDash(dashes);
  ctx.strokeStyle = colour;
  ctx.beginPath();
  points.forEach(([x, y], place) => ctx[place ? "lineTo" : "moveTo"](x, y));
  ctx.stroke();
};
// What stands behind the lines: the shaded side of a rule.
const paintUnder = (plot, panel) => painted(plot, (ctx, box) => {
  if (panel.rule === null || !panel.shaded) return;
  const at = (value) => plot.valToPos(value, "x", true);
  const [from, to] = { above: [at(panel.rule), box.right], below: [box.left, at(panel.rule)], within: [at(-panel.rule), at(panel.rule)] }[panel.shaded];
  ctx.fillStyle = tinted(GRID, 0.6);
  ctx.fillRect(from, box.top, to - from, box.bottom - box.top);
});
// What stands on them: rules, targets, events and markers.
const paintOver = (plot, panel, isBright) => painted(plot, (ctx, box) => {
  const [across, up] = ["x", "y"].map((scale) => (value) => plot.valToPos(value, scale, true));
  const bright = new Set(panel.series.filter(isBright).map((line) => line.colour));
  const fade = (colour) => { ctx.globalAlpha = bright.has(colour) ? 1 : 0.1; };
  ctx.lineWidth = 1.3 * box.unit;
  const rules = panel.rule === null ? [] : panel.shaded === "within" ? [-panel.rule, panel.rule] : [panel.rule];
  for (const rule of rules) lineTo(ctx, [4 * box.unit, 3 * box.unit], AXIS, [across(rule), box.top], [across(rule), box.bottom]);
  for (const [value, colour] of panel.targets) {
    fade(colour);
    lineTo(ctx, [2 * box.unit, 3 * box.unit], colour, [box.left, up(value)], [box.right, up(value)]);
  }
  ctx.setLineDash([]);
  const top = box.bottom - 22 * box.unit;
  for (const [step, marker, colour] of panel.marks) {
    const x = across(overOf(panel, step, colour));
    fade(colour);
    lineTo(ctx, [], colour, [x, box.bottom], [x, top]);
    ctx.fillStyle = colour;
    ctx.fill(shape(marker, x, top, 4 * box.unit));
  }
  for (const line of panel.series) {
    if (!line.marker && line.look !== "points") continue;
    ctx.globalAlpha = isBright(line) ? line.opacity : 0.1;
    [ctx.fillStyle, ctx.strokeStyle] = [line.hollow ? "#ffffff" : line.colour, line.colour];
    line.drawn.forEach((value, place) => {
      if (Number.isNaN(value)) return;
      const path = shape(line.marker || "o", across(line.at[place]), up(value), line.size * 0.65 * box.unit);
      ctx.fill(path);
      if (line.hollow) ctx.stroke(path);
    });
  }
  ctx.globalAlpha = 1;
  if (panel.message) {
    [ctx.fillStyle, ctx.font, ctx.textAlign] = [AXIS, `${12 * box.unit}px system-ui, sans-serif`, "center"];
    ctx.fillText(panel.message, (box.left + box.right) / 2, (box.top + box.bottom) / 2);
  }
});

// A line a row, for those who would rather read: made when it is opened.
const valuesOf = ({ chart, figure }) => {
  const fold = element("details", { className: "values" }, element("summary", { textContent: "Values as a table" }));
  const make = () => {
    const heads = ["panel", "line", "points", "first", "least", "greatest", "last"];
    const rows = chart.panels.flatMap((panel) => panel.series.filter((line) => line.y.length).map((line) => {
      const known = Array.from(line.y).filter((value) => !Number.isNaN(value));
      return [[panel.title, panel.up].filter(Boolean).join(": "), line.label, known.length, ...[known[0], ...least(known), known.at(-1)].map((value) => written(value ?? null))];
    }));
    const cell = (text, place) => element(place ? "td" : "th", { className: place > 1 ? "num" : "", textContent: text });
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads.map((head, place) => element("th", { scope: "col", className: place > 1 ? "num" : "", textContent: head })))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell)))));
    const region = element("div", { className: "scroll", tabIndex: 0 }, table);
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", `${figure.querySelector("h3").textContent}, values`);
    fold.append(region);
  };
  fold.addEventListener("toggle", make, { once: true });
  return fold;
};
