/* Draws the figures that stand in this page. Money is whole cents and is only ever added, so
   that every sum is exact; where sums could pass 2^53 the cents come as text and are BigInts. */
"use strict";

const DAY = 86400;
const LINES = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5]];
const SHOWN_CATEGORIES = 20;
const SHOWN_RUNS = 10;
const SHOWN_LINES = 5;
// More days than these are drawn as weeks: the weekend's ups and downs would hide everything else.
const MOST_DAYS = 120;

const $ = (id) => document.getElementById(id);

/** Make an element; properties by name, attributes where an element has no such property. */
function el(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/* ---------- numbers ---------- */

const grouped = new Intl.NumberFormat("en-GB");
const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });
const oneDecimal = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** 123456 → "1,234.56", of a Number or a BigInt, without a float in between. */
function money(cents) {
  const digits = String(cents).padStart(3, "0");
  return `${grouped.format(BigInt(digits.slice(0, -2)))}.${digits.slice(-2)}`;
}

/** Hundredths of a per cent, rounded half up once, as the tables are. */
function rate(part, whole) {
  return whole ? Math.floor((20000 * part + whole) / (2 * whole)) : null;
}

const percent = (hundredths) => (hundredths === null ? "–" : `${money(hundredths)} %`);
const count = (value) => grouped.format(value);

const sum = (values, zero) => values.reduce((total, value) => total + value, zero);

/** What changed, in words that need no colour: "▲ 4.2 %". */
function change(now, before, good = 1) {
  if (before === null || !Number(before)) return null;
  const percents = (100 * Number(now - before)) / Number(before);
  return signed(percents, `${oneDecimal.format(Math.abs(percents))} %`, good);
}

function signed(difference, text, good) {
  const rounded = Math.round(difference * 10);
  if (!rounded) return el("span", {}, "unchanged");
  const tone = good === 0 ? "" : rounded > 0 === good > 0 ? "good" : "bad";
  const spoken = rounded > 0 ? "up" : "down";
  return el("span", { className: `nowrap ${tone}` }, el("span", { ariaHidden: "true" }, rounded > 0 ? "▲ " : "▼ "), el("span", { className: "off" }, `${spoken} `), text);
}

/* ---------- dates: ISO text, and days since 1970 for arithmetic ---------- */

const dayOf = (iso) => Date.parse(iso) / 1000 / DAY;
const isoOf = (day) => new Date(day * DAY * 1000).toISOString().slice(0, 10);
const utc = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const longDate = utc({ weekday: "short", day: "numeric", month: "long", year: "numeric" });
const shortDate = utc({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const dayDate = utc({ weekday: "short", day: "numeric", month: "short" });
const plainDate = utc({ day: "numeric", month: "long", year: "numeric" });
const axisDay = utc({ day: "numeric", month: "short" });
const axisMonth = utc({ month: "short", year: "numeric" });
const moment = utc({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const shown = (format, day) => format.format(new Date(day * DAY * 1000));

function ago(iso) {
  const minutes = Math.round((Date.now() - Date.parse(iso)) / 60000);
  const [amount, unit] = minutes < 90 ? [minutes, "minute"] : minutes < 60 * 36 ? [Math.round(minutes / 60), "hour"] : [Math.round(minutes / 1440), "day"];
  return new Intl.RelativeTimeFormat("en-GB", { numeric: "auto" }).format(-amount, unit);
}

/* ---------- the figures ---------- */

let data;
let placeOf; // day → its place in every column

async function read() {
  const bytes = Uint8Array.from(atob($("figures").textContent), (c) => c.charCodeAt(0));
  const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  data = JSON.parse(text);
  data.days = data.dates.map(dayOf);
  data.zero = data.big ? 0n : 0;
  if (data.big) {
    for (const name of ["total_revenue", "net_revenue"]) data.daily[name] = data.daily[name].map(BigInt);
    for (const name of ["daily_revenue", "avg_order_value"]) data.category[name] = data.category[name].map((column) => column.map(BigInt));
  }
  placeOf = new Map(data.days.map((day, place) => [day, place]));
}

/** Places of the dates from first to last that have orders. */
function places(first, last) {
  const found = [];
  for (let day = first; day <= last; day++) if (placeOf.has(day)) found.push(placeOf.get(day));
  return found;
}

const at = (column, among, zero = 0) => sum(among.map((place) => column[place]), zero);

/** The week that ends with the last day shown, and the one before if it is there as a whole. */
function weeks() {
  const last = state.to;
  const whole = data.days[0] <= last - 13;
  return { first: last - 6, now: places(last - 6, last), before: whole ? places(last - 13, last - 7) : null };
}

/* ---------- what is shown: kept in the address, so that a view can be shared ---------- */

const state = { from: 0, to: 0, category: null, sort: "revenue", descending: true, all: false, allRuns: false, find: "" };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const [first, last] = [data.days[0], data.days.at(-1)];
  const day = (name) => {
    const value = dayOf(given.get(name) ?? "");
    return Number.isFinite(value) ? Math.min(Math.max(value, first), last) : null;
  };
  state.to = day("to") ?? last;
  state.from = Math.min(day("from") ?? Math.max(first, state.to - 89), state.to);
  const name = given.get("category");
  state.category = data.categories.includes(name) ? name : null;
}

function writeAddress(push) {
  const [first, last] = [data.days[0], data.days.at(-1)];
  const next = new URLSearchParams();
  if (state.category !== null) next.set("category", state.category);
  if (state.from !== Math.max(first, last - 89) || state.to !== last) {
    next.set("from", isoOf(state.from));
    next.set("to", isoOf(state.to));
  }
  const address = `#${next}`;
  if (address === (location.hash || "#")) return;
  history[push ? "pushState" : "replaceState"](null, "", address);
}

/* ---------- charts ---------- */

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
  const tell = (next) => {
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
    hooks: { setCursor: [(u) => Number.isInteger(u.cursor.idx) && u.cursor.idx !== place && tell(u.cursor.idx)] },
  };
  const drawn = new uPlot(options, [points.map((point) => point.day * DAY), ...lines.map((line) => line.values)], plot);
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 7, PageDown: -7, Home: -points.length, End: points.length };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = Math.min(Math.max(place + steps[event.key], 0), points.length - 1);
    drawn.setCursor({ left: drawn.valToPos(points[next].day * DAY, "x"), top: 10 });
    tell(next);
  });
  tell(place);
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

/** The line of the days and that of a week before, or that of the weeks; null where nothing is. */
function withWeekBefore(drawn, value, text, toNumber) {
  const line = (label, places) => {
    const values = drawn.map((point) => (places(point).length ? value(places(point)) : null));
    return { label, values: values.map(toNumber), text: (n) => (values[n] === null ? "–" : text(values[n])) };
  };
  const now = { ...line("", (point) => point.among), line: "--line-1", fill: true };
  if (weekly()) return [now];
  return [now, { ...line("week before", (point) => point.before), line: "--before", dash: [4, 4], width: 1.5 }];
}

const inUnits = (cents) => (cents === null ? null : Number(cents) / 100);
const asIs = (value) => value;

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

/* ---------- the parts ---------- */

function showFreshness() {
  const last = data.days.at(-1);
  const delivered = data.runs.findLast((run) => run.rows !== null);
  $("freshness").replaceChildren(
    "Orders up to ", el("strong", {}, shown(longDate, last)), `. Computed ${moment.format(new Date(data.computed_at))} UTC (${ago(data.computed_at)}) by run `,
    el("a", { href: `../runs/${encodeURIComponent(data.run_id)}/published.json` }, data.run_id), ".",
  );
  if (delivered) $("freshness").append(" Latest delivery: ", ...rowsOf(delivered), delivered.rejected_files ? el("span", {}, ", ", el("a", { className: "bad", href: "#quality" }, files(delivered.rejected_files), " rejected")) : "", ".");
}

const files = (n) => `${count(n)} ${n === 1 ? "file" : "files"}`;
const rowsOf = (run) => [`${count(run.rows.accepted)} rows accepted, ${count(run.rows.quarantined)} quarantined, ${count(run.rows.held)} held back`];

function tile(name, value, changed, before) {
  const second = changed ? [changed, before] : [before ?? "no whole week before it"];
  return el("div", {}, el("dt", {}, name), el("dd", { className: "value" }, value), el("dd", { className: "change soft" }, ...second));
}

function showWeek() {
  const { first, now, before } = weeks();
  $("week-dates").textContent = `${shown(longDate, first)} to ${shown(longDate, state.to)}${before ? ", against the seven days before" : ""}`;
  const daily = data.daily;
  const totals = (name, zero) => [at(daily[name], now, zero), before && at(daily[name], before, zero)];
  const against = (value) => (before ? ` from ${value}` : null);
  const [revenue, revenueBefore] = totals("total_revenue", data.zero);
  const [net, netBefore] = totals("net_revenue", data.zero);
  const [orders, ordersBefore] = totals("total_orders");
  const [returned, returnedBefore] = totals("returned_orders");
  const [customers, customersBefore] = totals("unique_customers");
  const returnRate = rate(returned, orders);
  const returnRateBefore = before && rate(returnedBefore, ordersBefore);
  const perDay = (total) => oneDecimal.format(total / 7);
  const points = before && returnRate !== null && returnRateBefore !== null && signed((returnRate - returnRateBefore) / 100, `${oneDecimal.format(Math.abs(returnRate - returnRateBefore) / 100)} points`, -1);
  $("tiles").replaceChildren(
    tile("Revenue", money(revenue), change(revenue, revenueBefore), against(before && money(revenueBefore))),
    tile("Net revenue", money(net), change(net, netBefore), against(before && money(netBefore))),
    tile("Orders", count(orders), change(orders, ordersBefore), against(before && count(ordersBefore))),
    tile("Return rate", percent(returnRate), points, against(before && percent(returnRateBefore))),
    tile("Customers a day", perDay(customers), change(customers, customersBefore), against(before && perDay(customersBefore))),
  );
}

function dayLegend() {
  if (weekly()) return ["A point is the seven days up to it."];
  return [el("span", {}, stroke("--line-1"), "the day"), el("span", {}, stroke("--before", [4, 4], 1.5), "the same weekday a week before")];
}

function showDays() {
  const drawn = points();
  const { daily, zero } = data;
  const total = (name, none) => (among) => at(daily[name], among, none);
  const returnRate = (among) => rate(at(daily.returned_orders, among), at(daily.total_orders, among));
  const customers = (among) => at(daily.unique_customers, among) / among.length;
  const asMean = (value) => (weekly() ? oneDecimal : grouped).format(value);
  const options = { sync: "days", format: (v) => compact.format(v) };
  $("days-legend").replaceChildren(...dayLegend());
  putCharts($("day-charts"), [
    chart("Revenue", drawn, withWeekBefore(drawn, total("total_revenue", zero), money, inUnits), options),
    chart("Orders", drawn, withWeekBefore(drawn, total("total_orders", 0), count, asIs), options),
    chart("Return rate", drawn, withWeekBefore(drawn, returnRate, percent, inUnits), { ...options, format: (v) => `${compact.format(v)} %` }),
    chart(weekly() ? "Customers a day" : "Customers", drawn, withWeekBefore(drawn, customers, asMean, asIs), options),
  ]);
  onOpening($("day-table"), () => {
    const before = (n) => placeOf.get(data.days[n] - 7);
    return table("OrderKPIs, the latest date first", [
      { name: "Date", head: true, cell: (n) => data.dates[n] },
      { name: "Revenue", number: true, cell: (n) => money(daily.total_revenue[n]) },
      { name: "Week before", number: true, cell: (n) => (before(n) === undefined ? "–" : money(daily.total_revenue[before(n)])) },
      { name: "Net revenue", number: true, cell: (n) => money(daily.net_revenue[n]) },
      { name: "Orders", number: true, cell: (n) => count(daily.total_orders[n]) },
      { name: "Returned", number: true, cell: (n) => count(daily.returned_orders[n]) },
      { name: "Return rate", number: true, cell: (n) => percent(returnRate([n])) },
      { name: "Items sold", number: true, cell: (n) => count(daily.total_items_sold[n]) },
      { name: "Customers", number: true, cell: (n) => count(daily.unique_customers[n]) },
    ], places(state.from, state.to).reverse());
  });
}

/** Each category with its totals over the time shown. */
function ranked() {
  const shownPlaces = places(state.from, state.to);
  const { now, before } = weeks();
  const { category, zero } = data;
  return data.categories.map((name, n) => {
    const week = at(category.daily_revenue[n], now, zero);
    const weekBefore = before && at(category.daily_revenue[n], before, zero);
    const orders = at(category.order_count[n], shownPlaces);
    const returned = at(category.returned_orders[n], shownPlaces);
    return {
      name, n, week, weekBefore, orders, returned,
      revenue: at(category.daily_revenue[n], shownPlaces, zero),
      rate: rate(returned, orders),
      change: weekBefore && Number(weekBefore) ? Number(week - weekBefore) / Number(weekBefore) : null,
    };
  }).sort((a, b) => (a.revenue < b.revenue ? 1 : a.revenue > b.revenue ? -1 : a.name < b.name ? -1 : 1)).map((entry, place) => ({ ...entry, rank: place + 1 }));
}

const SORTS = { rank: "#", name: "Category", revenue: "Revenue", orders: "Orders", rate: "Return rate", change: "Week before" };

function sorted(entries) {
  const { sort, descending } = state;
  if (sort === "rank" || sort === "revenue") return sort === "revenue" && !descending ? entries.toReversed() : entries;
  const missing = (entry) => entry[sort] === null;
  return entries.toSorted((a, b) => missing(a) - missing(b) || (a[sort] < b[sort] ? -1 : a[sort] > b[sort] ? 1 : a.rank - b.rank) * (descending ? -1 : 1));
}

function showRanking(entries) {
  const largest = Number(entries.reduce((most, entry) => (entry.revenue > most ? entry.revenue : most), data.zero)) || 1;
  const wanted = state.find.trim().toLowerCase();
  const found = sorted(entries).filter((entry) => entry.name.toLowerCase().includes(wanted));
  const rows = state.all || wanted ? found : found.slice(0, SHOWN_CATEGORIES);
  $("ranking-note").textContent = `${count(entries.length)} categories by revenue, ${shown(plainDate, state.from)} to ${shown(plainDate, state.to)}. Choose one to see it day by day.`
    + (data.left_out_categories ? ` ${count(data.left_out_categories)} more, with less revenue, are in the table CategoryKPIs only.` : "");
  document.querySelector(".find").hidden = entries.length <= SHOWN_CATEGORIES;
  const bar = (entry) => {
    const made = el("span", { className: "bar", ariaHidden: "true" });
    made.style.width = `${(100 * Number(entry.revenue)) / largest}%`;
    return made;
  };
  const button = (entry) => el("button", { type: "button", className: "plain", ariaPressed: String(entry.name === state.category), onclick: () => choose(entry.name) }, entry.name === "" ? "(no name)" : entry.name);
  const columns = [
    { name: "rank", number: true, spare: true, cell: (entry) => count(entry.rank) },
    { name: "name", head: true, cell: (entry) => [button(entry), bar(entry)] },
    { name: "revenue", number: true, cell: (entry) => money(entry.revenue) },
    { name: "orders", number: true, spare: true, cell: (entry) => count(entry.orders) },
    { name: "rate", number: true, spare: true, cell: (entry) => percent(entry.rate) },
    { name: "change", number: true, cell: (entry) => change(entry.week, entry.weekBefore) ?? "–" },
  ];
  const made = table("Week before: the last seven days against the seven before them.", columns, rows, "ranking");
  made.querySelectorAll("thead th").forEach((heading, n) => {
    const { name } = columns[n];
    const current = name === state.sort;
    heading.replaceChildren(el("button", { type: "button", className: "plain", id: `sort-${name}`, onclick: () => sortBy(name) }, SORTS[name], el("span", { ariaHidden: "true" }, current ? (state.descending ? " ↓" : " ↑") : "")));
    if (current) heading.ariaSort = state.descending ? "descending" : "ascending";
  });
  rows.forEach((entry, n) => made.tBodies[0].rows[n].classList.toggle("chosen", entry.name === state.category));
  const more = found.length > rows.length ? el("p", {}, el("button", { type: "button", className: "on-screen", onclick: () => { state.all = true; showRanking(ranked()); } }, `Show all ${count(found.length)}`)) : null;
  $("ranking").replaceChildren(made, ...(more ? [more] : []));
  if (wanted && !rows.length) $("ranking").append(el("p", { role: "status" }, `No category has “${state.find.trim()}” in its name.`));
}

function sortBy(name) {
  if (state.sort === name) state.descending = !state.descending;
  else Object.assign(state, { sort: name, descending: !["name", "rank"].includes(name) });
  showRanking(ranked());
  $(`sort-${name}`).focus();
}

function choose(name) {
  state.category = name === state.category ? null : name;
  writeAddress(true);
  const focused = document.activeElement?.textContent;
  showCategories();
  // The table was made anew: whoever came by keyboard goes on where they were.
  [...document.querySelectorAll("#ranking tbody button")].find((button) => button.textContent === focused)?.focus({ preventScroll: true });
  if (matchMedia("(max-width: 56rem)").matches) $("category").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function showCategories() {
  const entries = ranked();
  showRanking(entries);
  const chosen = entries.find((entry) => entry.name === state.category);
  if (chosen) showCategory(chosen);
  else showLargest(entries.slice(0, SHOWN_LINES));
}

function panel(title, close, ...parts) {
  const body = el("div", { className: "panel" }, el("header", {}, el("h3", {}, title), close), ...parts);
  for (const old of charts.keys()) if (!document.contains(old) || $("category").contains(old)) putCharts(old, []);
  $("category").replaceChildren(body);
}

function showCategory({ name, n, revenue, orders, returned, rank, week, weekBefore }) {
  const drawn = points();
  const { category, zero } = data;
  const total = (column, none) => (among) => (at(category.order_count[n], among) ? at(category[column][n], among, none) : null);
  const returnRate = (among) => rate(at(category.returned_orders[n], among), at(category.order_count[n], among));
  const figures = el("div", { className: "charts" });
  const numbers = el("details", { className: "numbers" }, el("summary", {}, "These charts as a table"));
  const back = el("button", { type: "button", className: "on-screen", onclick: () => choose(name) }, "All categories");
  panel(
    name, back,
    el("dl", { className: "tiles" },
      tile("Revenue, time shown", money(revenue), null, `rank ${rank} of ${data.categories.length}`),
      tile("Orders", count(orders), null, `${count(returned)} returned`),
      tile("Return rate", percent(rate(returned, orders)), null, ""),
      tile("Revenue, last seven days", money(week), change(week, weekBefore), weekBefore === null ? null : ` from ${money(weekBefore)}`)),
    el("p", { className: "legend" }, ...dayLegend()),
    figures, numbers,
  );
  const options = { sync: "category", format: (v) => compact.format(v) };
  putCharts(figures, [
    chart(`Revenue of ${name}`, drawn, withWeekBefore(drawn, total("daily_revenue", zero), money, inUnits), options),
    chart(`Orders with ${name}`, drawn, withWeekBefore(drawn, total("order_count", 0), count, asIs), { ...options, height: 130 }),
    chart(`Return rate of ${name}`, drawn, withWeekBefore(drawn, returnRate, percent, inUnits), { ...options, height: 130, format: (v) => `${compact.format(v)} %` }),
  ]);
  onOpening(numbers, () => table(`CategoryKPIs of ${name}, the latest date first`, [
    { name: "Date", head: true, cell: (k) => data.dates[k] },
    { name: "Revenue", number: true, cell: (k) => money(category.daily_revenue[n][k]) },
    { name: "Average order value", number: true, cell: (k) => money(category.avg_order_value[n][k]) },
    { name: "Orders", number: true, cell: (k) => count(category.order_count[n][k]) },
    { name: "Returned", number: true, cell: (k) => count(category.returned_orders[n][k]) },
    { name: "Return rate", number: true, cell: (k) => percent(returnRate([k])) },
  ], places(state.from, state.to).filter((k) => category.order_count[n][k]).reverse()));
}

function showLargest(entries) {
  const drawn = points();
  const { category, zero } = data;
  const figures = el("div", { className: "charts" });
  const numbers = el("details", { className: "numbers" }, el("summary", {}, "This chart as a table"));
  const values = entries.map(() => el("span"));
  const legend = entries.map((entry, k) => el("span", {}, stroke(LINES[k], DASHES[k]), `${entry.name} `, values[k]));
  panel(entries.length > 1 ? `The ${entries.length} largest over time` : "Over time", null, figures, el("p", { className: "legend" }, ...legend), numbers);
  const lines = entries.map(({ name, n }, k) => {
    const sums = drawn.map(({ among }) => (at(category.order_count[n], among) ? at(category.daily_revenue[n], among, zero) : null));
    return { label: name, line: LINES[k], dash: DASHES[k], values: sums.map(inUnits), text: (place) => (sums[place] === null ? "–" : money(sums[place])) };
  });
  const made = chart("Revenue", drawn, lines, { format: (v) => compact.format(v), height: 280 });
  const tell = (place) => lines.forEach((line, k) => { values[k].textContent = line.text(place); });
  made.figure.addEventListener("point", (event) => tell(event.detail));
  tell(drawn.length - 1);
  putCharts(figures, [made]);
  onOpening(numbers, () => table("Revenue by category, the latest date first", [
    { name: "Date", head: true, cell: (k) => data.dates[k] },
    ...entries.map((entry) => ({ name: entry.name, number: true, cell: (k) => (category.order_count[entry.n][k] ? money(category.daily_revenue[entry.n][k]) : "–") })),
  ], places(state.from, state.to).reverse()));
}

const path = (...parts) => `../${parts.map((part) => part.split("/").map(encodeURIComponent).join("/")).join("/")}`;

function runCell(run) {
  const time = el("time", { dateTime: run.at, className: "soft" }, moment.format(new Date(run.at)));
  const name = run.rows === null ? run.run_id : el("a", { href: path("data_docs/runs", `${run.run_id}.html`) }, run.run_id);
  const task = run.task === "process" ? null : el("span", {}, ` · ${run.task}`);
  return [name, task, el("br"), time];
}

function stripCell(run) {
  if (run.rows === null) return "no delivery";
  const total = run.rows.accepted + run.rows.quarantined + run.rows.held;
  const strip = el("span", { className: "strip", ariaHidden: "true" });
  for (const kind of ["accepted", "quarantined", "held"]) {
    if (!run.rows[kind]) continue;
    const part = el("i", { className: `is-${kind}` });
    part.style.flex = `${run.rows[kind] / total} 1 0`;
    strip.append(part);
  }
  return strip;
}

function quarantineCell(run) {
  const reasons = Object.entries(run.reasons);
  if (!run.rejected_files && !reasons.length) return "";
  const parts = [];
  for (const file of run.rejected) {
    parts.push(el("li", {}, el("a", { href: path("quarantine", run.run_id, "files", file.name) }, file.name), ": ", el("strong", {}, file.reason), file.detail ? `, ${file.detail}` : ""));
  }
  const unnamed = run.rejected_files - run.rejected.length;
  if (unnamed) parts.push(el("li", {}, `and ${files(unnamed)} more, in the Data Docs`));
  for (const [reason, n] of reasons) parts.push(el("li", {}, `${reason}: ${count(n)} ${n === 1 ? "row" : "rows"}`));
  if (run.quarantined_rows) parts.push(el("li", {}, el("a", { href: path(run.quarantined_rows) }, "rows.csv"), ": every such row, with its file, line and reasons"));
  const what = [run.rejected_files ? `${files(run.rejected_files)} rejected` : null, reasons.length ? `${count(reasons.length)} ${reasons.length === 1 ? "reason" : "reasons"}` : null];
  return el("details", { open: run === data.runs.at(-1) }, el("summary", {}, what.filter(Boolean).join(", ")), el("ul", {}, ...parts));
}

function showRuns() {
  const runs = data.runs.toReversed();
  const rows = state.allRuns ? runs : runs.slice(0, SHOWN_RUNS);
  const key = (kind, text) => el("span", {}, el("span", { className: `key is-${kind}`, ariaHidden: "true" }), text);
  $("quality-note").replaceChildren(el("span", {}, "Rows of each delivery:"), key("accepted", "accepted"), key("quarantined", "quarantined"), key("held", "held back until their order or product arrives"));
  const number = (kind) => (run) => (run.rows === null ? "" : count(run.rows[kind]));
  const made = table("The latest run first; its name leads to its Data Docs.", [
    { name: "Run", head: true, cell: runCell },
    { name: "Rows", cell: stripCell },
    { name: "Accepted", number: true, cell: number("accepted") },
    { name: "Quarantined", number: true, cell: number("quarantined") },
    { name: "Held", number: true, cell: number("held") },
    { name: "Files", number: true, cell: (run) => (run.rows === null ? "" : `${count(run.files)}${run.rejected_files ? ` (${count(run.rejected_files)} rejected)` : ""}`) },
    { name: "Dates published", number: true, cell: (run) => (run.dates === null ? "none" : el("a", { href: path("runs", run.run_id, "published.json") }, count(run.dates))) },
    { name: "Quarantine and reasons", cell: quarantineCell },
  ], rows, "runs");
  const names = [...made.querySelectorAll("thead th")].map((heading) => heading.textContent);
  for (const row of made.tBodies[0].rows) [...row.cells].forEach((cell, n) => n > 1 && n < 7 && cell.setAttribute("data-label", names[n]));
  const more = runs.length > rows.length ? el("p", {}, el("button", { type: "button", className: "on-screen", onclick: () => { state.allRuns = true; showRuns(); } }, `Show all ${count(runs.length)} runs`)) : "";
  $("runs").replaceChildren(made, more);
}

function showRange() {
  const [first, last] = [data.days[0], data.days.at(-1)];
  for (const name of ["from", "to"]) Object.assign($(name), { min: isoOf(first), max: isoOf(last), value: isoOf(state[name]) });
  let pressed = false;
  for (const button of document.querySelectorAll(".presets button")) {
    const start = button.dataset.days === "all" ? first : Math.max(first, last - Number(button.dataset.days) + 1);
    const fits = button.dataset.days === "all" ? !pressed : last - first + 1 >= Number(button.dataset.days);
    const chosen = fits && state.to === last && state.from === start;
    pressed ||= chosen;
    button.ariaPressed = String(chosen);
  }
}

function show() {
  showRange();
  showWeek();
  showDays();
  showCategories();
}

function setRange(from, to) {
  const [first, last] = [data.days[0], data.days.at(-1)];
  Object.assign(state, { from: Math.max(first, Math.min(from, to)), to: Math.min(last, Math.max(from, to)) });
  writeAddress(false);
  show();
}

async function start() {
  await read();
  if (!data.dates.length) {
    $("freshness").textContent = "No KPIs yet: no delivery with orders has been published.";
    for (const part of document.querySelectorAll("main > form, main > section:not([aria-labelledby=quality])")) part.hidden = true;
    showRuns();
    return;
  }
  readAddress();
  showFreshness();
  show();
  showRuns();
  $("range").addEventListener("submit", (event) => event.preventDefault());
  document.querySelector(".presets").addEventListener("click", (event) => {
    const { days } = event.target.dataset;
    const last = data.days.at(-1);
    if (days) setRange(days === "all" ? data.days[0] : last - Number(days) + 1, last);
  });
  for (const name of ["from", "to"]) {
    $(name).addEventListener("change", () => {
      if ($("from").value && $("to").value) setRange(dayOf($("from").value), dayOf($("to").value));
    });
  }
  $("find").addEventListener("input", () => {
    state.find = $("find").value;
    showRanking(ranked());
  });
  addEventListener("popstate", () => {
    if (["#days", "#categories", "#quality", "#main"].includes(location.hash)) return;
    readAddress();
    show();
  });
  performance.mark("drawn");
}

start().catch((error) => {
  $("freshness").replaceChildren(el("strong", { className: "bad" }, "The figures can't be shown: "), `${error.message}. A browser of 2023 or later is needed; the tables OrderKPIs and CategoryKPIs hold the same values.`);
});
