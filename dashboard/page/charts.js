/* Line charts and tables. */
"use strict";

// More days than these are drawn as weeks: the weekend's ups and downs would hide everything else.
const MOST_DAYS = 120;

const charts = new Map(); // the element that holds them → its charts
let printing = false;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** What a chart has a point for: each day shown, or each whole week, with its places in the columns. */
function points() {
  const { from, to } = state;
  const size = weekly() ? 7 : 1;
  const made = [];
  for (let last = to; last - size + 1 >= from; last -= size) {
    made.unshift({ day: last, among: places(last - size + 1, last), before: places(last - 7, last - 7) });
  }
  return made;
}

const weekly = () => state.to - state.from >= MOST_DAYS;
const nameOf = (point) => (weekly() ? `week to ${shown(shortDate, point.day)}` : shown(dayDate, point.day));

/**
 * A line chart that arrow keys read out, as a slider over its points does.
 * lines: [{label, line, dash, fill, values: [Number|null], text: (place in points) => String}]
 */
function chart(title, points, lines, { format, height = 170, sync = null }) {
  const readout = el("span", { className: "readout" });
  const plot = el("div", { className: "plot", tabIndex: 0, role: "slider" });
  plot.style.minHeight = `${height}px`;
  plot.setAttribute("aria-label", `${title}, ${weekly() ? "by week" : "by day"}`);
  plot.setAttribute("aria-valuemin", 0);
  plot.setAttribute("aria-valuemax", points.length - 1);
  const figure = el("figure", {}, el("figcaption", {}, el("span", { className: "title" }, title), readout), plot);

  let place = points.length - 1;
  const select = (next) => {
    place = next;
    const values = lines.map((line) => (line.label ? `${line.label} ` : "") + line.text(place));
    const text = `${nameOf(points[place])}: ${values.join(", ")}`;
    plot.setAttribute("aria-valuenow", place);
    plot.setAttribute("aria-valuetext", text);
    readout.textContent = lines.length > 2 ? nameOf(points[place]) : text;
    figure.dispatchEvent(new CustomEvent("point", { detail: place }));
  };

  const few = points.length <= 45;
  const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const options = {
    width: 320,
    height,
    legend: { show: false },
    padding: [8, 12, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 }, ...(sync && { sync: { key: sync, scales: ["x", null] } }) },
    scales: {
      x: { range: (_, min, max) => (min === max ? [min - DAY, max + DAY] : [min, max]) },
      y: { range: (_, _min, max) => [0, max > 0 ? max * 1.08 : 1] },
    },
    axes: [
      { ...axis, size: 28, space: 64, incrs: [1, 2, 7, 14, 30, 60, 90, 180, 365, 730].map((n) => n * DAY), grid: { show: false }, values: (_, splits) => splits.map((seconds) => shown(weekly() ? axisMonth : axisDay, Math.round(seconds / DAY))) },
      { ...axis, size: 54, space: 34, values: (_, splits) => splits.map(format) },
    ],
    series: [
      {},
      ...lines.map((line) => ({ label: line.label, stroke: () => colour(line.line), fill: line.fill ? () => colour("--fill") : undefined, width: line.width ?? 2, dash: line.dash, points: { show: few && !line.dash?.length, size: 5 } })),
    ],
    hooks: { setCursor: [(u) => Number.isInteger(u.cursor.idx) && u.cursor.idx !== place && select(u.cursor.idx)] },
  };
  const drawn = new uPlot(options, [points.map((point) => point.day * DAY), ...lines.map((line) => line.values)], plot);
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 7, PageDown: -7, Home: -points.length, End: points.length };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = Math.min(Math.max(place + steps[event.key], 0), points.length - 1);
    drawn.setCursor({ left: drawn.valToPos(points[next].day * DAY, "x"), top: 10 });
    select(next);
  });
  select(place);
  return { figure, plot, drawn, height };
}

/** Put charts into an element, in place of those that were there. */
function putCharts(host, made) {
  for (const old of charts.get(host) ?? []) {
    widths.unobserve(old.plot);
    old.drawn.destroy();
  }
  charts.set(host, made);
  host.replaceChildren(...made.map((one) => one.figure));
  for (const one of made) {
    byPlot.set(one.plot, one);
    fit(one);
    widths.observe(one.plot);
  }
}

const byPlot = new WeakMap();
const widths = new ResizeObserver((entries) => entries.forEach((entry) => fit(byPlot.get(entry.target))));

function fit({ plot, drawn, height }) {
  // Half of an A4 page: what is printed is laid out after the charts are drawn.
  const width = printing ? 330 : Math.floor(plot.clientWidth);
  if (width > 0 && width !== drawn.width) drawn.setSize({ width, height });
}

function redrawAll() {
  for (const made of charts.values()) {
    for (const one of made) {
      fit(one);
      one.drawn.redraw(false, true);
    }
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
matchMedia("print").addEventListener("change", (event) => {
  printing = event.matches;
  redrawAll();
});

function stroke(name, dash = [], width = 2) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", 28);
  svg.setAttribute("height", 8);
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [key, value] of Object.entries({ x1: 0, x2: 28, y1: 4, y2: 4, stroke: `var(${name})`, "stroke-width": width, "stroke-dasharray": dash.join(" ") })) line.setAttribute(key, value);
  svg.append(line);
  return svg;
}

/** A chart of one column: each day and the same day a week before, or each week. */
function columnChart(column, title, drawn, series, options) {
  const line = (label, placesOf) => {
    const values = drawn.map((point) => (placesOf(point).length ? shownValue(column, series, placesOf(point)) : null));
    return { label, values: values.map((value) => onAxis(column, value)), text: (n) => (weekly() ? textOverDates : textOf)(column, values[n]) };
  };
  const now = { ...line("", (point) => point.among), line: "--line-1", fill: true };
  const before = { ...line("week before", (point) => point.before), line: "--before", dash: [4, 4], width: 1.5 };
  const name = weekly() && column.over === "mean" ? `${title} a day` : title;
  return chart(name, drawn, weekly() ? [now] : [now, before], { ...options, format: axisText(column) });
}

/* ---------- tables ---------- */

/** columns: [{name, number, cell: (row) => String|Node, head: bool, spare: bool}] */
function table(caption, columns, rows, className = "") {
  const cell = (column, row) => {
    const made = el(column.head ? "th" : "td", { className: `${column.number ? "number" : ""} ${column.spare ? "spare" : ""}` });
    if (column.head) made.scope = "row";
    made.append(...[column.cell(row)].flat().filter((part) => part !== null));
    return made;
  };
  const heading = (column) => el("th", { scope: "col", className: `${column.number ? "number" : ""} ${column.spare ? "spare" : ""}` }, column.name);
  return el(
    "table",
    { className },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...columns.map(heading))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...columns.map((column) => cell(column, row))))),
  );
}

/** Fill a <details> with a table when it is opened: three years are a thousand rows. */
function onOpening(details, make) {
  details.querySelector(".wide")?.remove();
  details.ontoggle = () => {
    if (details.open && !details.querySelector(".wide")) {
      const made = make();
      details.append(el("div", { className: "wide", tabIndex: 0, role: "region", ariaLabel: made.caption.textContent }, made));
    }
  };
  details.ontoggle();
}
