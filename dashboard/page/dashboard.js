/* The parts of the page. Labels, units and formats of KPIs come with the figures. */
"use strict";

const LINES = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5]];
const SHOWN_CATEGORIES = 20;
const SHOWN_RUNS = 10;
const SHOWN_LINES = 5;

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

const from = (text) => el("span", { className: "nowrap" }, `from ${text}`);

function tile(name, value, changed, before) {
  const second = changed ? [changed, " ", before] : [before ?? "no whole week before it"];
  return el("div", {}, el("dt", {}, name), el("dd", { className: "value" }, value), el("dd", { className: "change soft" }, ...second));
}

function showWeek() {
  const { first, now, before } = weeks();
  $("week-dates").textContent = `${shown(longDate, first)} to ${shown(longDate, state.to)}${before ? ", against the seven days before" : ""}`;
  $("tiles").replaceChildren(...columnsOf("daily", data.views.daily.tiles).map((column) => {
    const value = over(column, daily, now, 7);
    const earlier = before && over(column, daily, before, 7);
    const name = column.over === "mean" ? `${column.label} a day` : column.label;
    return tile(name, textOverDates(column, value), change(column, value, earlier), before && from(textOverDates(column, earlier)));
  }));
}

function dayLegend() {
  if (weekly()) return ["A point is the seven days up to it."];
  return [el("span", {}, stroke("--line-1"), "the day"), el("span", {}, stroke("--before", [4, 4], 1.5), "the same weekday a week before")];
}

function showDays() {
  const drawn = points();
  $("days-legend").replaceChildren(...dayLegend());
  putCharts($("day-charts"), columnsOf("daily", data.views.daily.charts).map((column) => columnChart(column, column.label, drawn, daily, { sync: "days" })));
  onOpening($("day-table"), () => {
    const revenue = columnOf("daily", data.names.daily.revenue);
    const before = (k) => placeOf.get(data.days[k] - 7);
    const weekBefore = { name: "Week before", number: true, cell: (k) => (before(k) === undefined ? "–" : textOf(revenue, over(revenue, daily, [before(k)]))) };
    const columns = dateColumns("daily", daily);
    return table("OrderKPIs, the latest date first", columns.toSpliced(2, 0, weekBefore), places(state.from, state.to).reverse());
  });
}

/** The columns of a table of dates: the date, then every column of the view. */
function dateColumns(view, series) {
  return [
    { name: "Date", head: true, cell: (k) => data.dates[k] },
    ...data.views[view].columns.map((column) => ({ name: column.label, number: true, cell: (k) => textOf(column, over(column, series, [k])) })),
  ];
}

/** Each category with its values over the time shown, by the names of their columns. */
function ranked() {
  const shownPlaces = places(state.from, state.to);
  const { now, before } = weeks();
  const { revenue, orders, returned } = data.names.category;
  const columns = columnsOf("category", data.views.category.charts);
  return data.categories.map((name, n) => {
    const series = ofCategory(n);
    const week = total(revenue, series, now);
    const weekBefore = before && total(revenue, series, before);
    return {
      name, n, week, weekBefore,
      ...Object.fromEntries(columns.map((column) => [column.name, over(column, series, shownPlaces)])),
      [returned]: total(returned, series, shownPlaces),
      change: weekBefore && Number(weekBefore) ? Number(week - weekBefore) / Number(weekBefore) : null,
    };
  }).sort((a, b) => (a[revenue] < b[revenue] ? 1 : a[revenue] > b[revenue] ? -1 : a.name < b.name ? -1 : 1)).map((entry, place) => ({ ...entry, rank: place + 1 }));
}

function sorted(entries) {
  const { sort, descending } = state;
  const { revenue } = data.names.category;
  if (sort === "rank" || sort === revenue) return sort === revenue && !descending ? entries.toReversed() : entries;
  const missing = (entry) => entry[sort] === null;
  return entries.toSorted((a, b) => missing(a) - missing(b) || (a[sort] < b[sort] ? -1 : a[sort] > b[sort] ? 1 : a.rank - b.rank) * (descending ? -1 : 1));
}

function showRanking(entries) {
  const revenue = columnOf("category", data.names.category.revenue);
  const largest = Math.max(...entries.map((entry) => Number(entry[revenue.name]))) || 1;
  const wanted = state.find.trim().toLowerCase();
  const found = sorted(entries).filter((entry) => entry.name.toLowerCase().includes(wanted));
  const rows = state.all || wanted ? found : found.slice(0, SHOWN_CATEGORIES);
  $("ranking-note").textContent = `${count(entries.length)} categories by revenue, ${shown(plainDate, state.from)} to ${shown(plainDate, state.to)}. Choose one to see it day by day.`
    + (data.left_out_categories ? ` ${count(data.left_out_categories)} more, with less revenue, are in the table CategoryKPIs only.` : "");
  document.querySelector(".find").hidden = entries.length <= SHOWN_CATEGORIES;
  const bar = (entry) => {
    const made = el("span", { className: "bar", ariaHidden: "true" });
    made.style.width = `${(100 * Number(entry[revenue.name])) / largest}%`;
    return made;
  };
  const button = (entry) => el("button", { type: "button", className: "plain", ariaPressed: String(entry.name === state.category), onclick: () => choose(entry.name) }, entry.name === "" ? "(no name)" : entry.name);
  const columns = [
    { sort: "rank", name: "#", number: true, spare: true, cell: (entry) => count(entry.rank) },
    { sort: "name", name: "Category", head: true, cell: (entry) => [button(entry), bar(entry)] },
    ...columnsOf("category", data.views.category.charts).map((column) => ({ sort: column.name, name: column.label, number: true, spare: column !== revenue, cell: (entry) => textOf(column, entry[column.name]) })),
    { sort: "change", name: "Week before", number: true, cell: (entry) => change(revenue, entry.week, entry.weekBefore) ?? "–" },
  ];
  const made = table("Week before: the last seven days against the seven before them.", columns, rows, "ranking");
  made.querySelectorAll("thead th").forEach((heading, n) => {
    const { sort, name } = columns[n];
    const current = sort === state.sort;
    heading.replaceChildren(el("button", { type: "button", className: "plain", id: `sort-${sort}`, onclick: () => sortBy(sort) }, name, el("span", { ariaHidden: "true" }, current ? (state.descending ? " ↓" : " ↑") : "")));
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
  // The table was replaced: the focus of the keyboard returns to the same button.
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

function showCategory(entry) {
  const { name, n, rank, week, weekBefore } = entry;
  const drawn = points();
  const series = ofCategory(n);
  const names = data.names.category;
  const revenue = columnOf("category", names.revenue);
  const columns = columnsOf("category", data.views.category.charts);
  const figures = el("div", { className: "charts" });
  const numbers = el("details", { className: "numbers" }, el("summary", {}, "These charts as a table"));
  const back = el("button", { type: "button", className: "on-screen", onclick: () => choose(name) }, "All categories");
  const notes = { [names.revenue]: `rank ${rank} of ${data.categories.length}`, [names.orders]: `${count(entry[names.returned])} returned` };
  panel(
    name, back,
    el("dl", { className: "tiles" },
      ...columns.map((column) => tile(column === revenue ? `${column.label}, time shown` : column.label, textOf(column, entry[column.name]), null, notes[column.name] ?? "")),
      tile(`${revenue.label}, last seven days`, textOf(revenue, week), change(revenue, week, weekBefore), weekBefore === null ? null : from(textOf(revenue, weekBefore)))),
    el("p", { className: "legend" }, ...dayLegend()),
    figures, numbers,
  );
  putCharts(figures, columns.map((column) => columnChart(column, `${column.label} of ${name}`, drawn, series, { sync: "category", height: column === revenue ? 170 : 130 })));
  onOpening(numbers, () => table(`CategoryKPIs of ${name}, the latest date first`, dateColumns("category", series), places(state.from, state.to).filter((k) => series(names.orders)[k]).reverse()));
}

function showLargest(entries) {
  const drawn = points();
  const names = data.names.category;
  const revenue = columnOf("category", names.revenue);
  const figures = el("div", { className: "charts" });
  const numbers = el("details", { className: "numbers" }, el("summary", {}, "This chart as a table"));
  const values = entries.map(() => el("span"));
  const legend = entries.map((entry, k) => el("span", {}, stroke(LINES[k], DASHES[k]), `${entry.name} `, values[k]));
  panel(entries.length > 1 ? `The ${entries.length} largest over time` : "Over time", null, figures, el("p", { className: "legend" }, ...legend), numbers);
  const lines = entries.map(({ name, n }, k) => {
    const sums = drawn.map(({ among }) => shownValue(revenue, ofCategory(n), among));
    return { label: name, line: LINES[k], dash: DASHES[k], values: sums.map((value) => onAxis(revenue, value)), text: (place) => textOf(revenue, sums[place]) };
  });
  const made = chart(revenue.label, drawn, lines, { format: axisText(revenue), height: 280 });
  const write = (place) => lines.forEach((line, k) => { values[k].textContent = line.text(place); });
  made.figure.addEventListener("point", (event) => write(event.detail));
  write(drawn.length - 1);
  putCharts(figures, [made]);
  onOpening(numbers, () => table("Revenue by category, the latest date first", [
    { name: "Date", head: true, cell: (k) => data.dates[k] },
    ...entries.map((entry) => ({ name: entry.name, number: true, cell: (k) => textOf(revenue, shownValue(revenue, ofCategory(entry.n), [k])) })),
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
  $("freshness").replaceChildren(el("strong", { className: "bad" }, "The figures can't be shown: "), `${error.message}. A browser of 2023 or later is needed; the tables OrderKPIs and CategoryKPIs have the same values.`);
});
