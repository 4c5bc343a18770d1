/* The figures in this page, their values over several dates, and what of them is shown. */
"use strict";

let data;
let placeOf; // day → its place in every column
let bigNames; // names of the columns that hold BigInts

async function read() {
  const bytes = Uint8Array.from(atob($("figures").textContent), (c) => c.charCodeAt(0));
  const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  data = JSON.parse(text);
  data.days = data.dates.map(dayOf);
  placeOf = new Map(data.days.map((day, place) => [day, place]));
  const columns = Object.values(data.views).flatMap((view) => view.columns);
  bigNames = new Set(columns.filter((column) => data.big && column.decimal).map((column) => column.name));
  const toBig = (values) => values.map((value) => (value === null ? null : BigInt(value)));
  for (const name of bigNames) {
    if (name in data.daily) data.daily[name] = toBig(data.daily[name]);
    if (name in data.category) data.category[name] = data.category[name].map(toBig);
  }
  state.sort = data.names.category.revenue;
}

/* A series gives the values of a column by its name: those of all orders, or those of a category. */
const daily = (name) => data.daily[name];
const ofCategory = (n) => (name) => data.category[name]?.[n];

const columnsOf = (view, names) => names.map((name) => columnOf(view, name));
const columnOf = (view, name) => data.views[view].columns.find((column) => column.name === name);

/** The sum of a column over some places; null where a value is missing. */
function total(name, series, among) {
  let result = bigNames.has(name) ? 0n : 0;
  for (const place of among) {
    const value = series(name)[place];
    if (value === null) return null;
    result += value;
  }
  return result;
}

/** A column's value over some places: a sum, a mean of so many days, or the quotient of two sums. */
function over(column, series, among, days = among.length) {
  if (column.quotient) return quotient(column, series, among);
  const result = total(column.name, series, among);
  if (column.over !== "mean" || result === null) return result;
  return days ? result / days : null;
}

/** The same, but null where the series has no orders: a category on dates without it. */
function shownValue(column, series, among) {
  const orders = series(data.names.category.orders);
  return orders && !among.some((place) => orders[place]) ? null : over(column, series, among);
}

/** Two sums divided, in hundredths, rounded half up once as the tables are. */
function quotient({ name, quotient: { dividend, divisor, factor } }, series, among) {
  const [part, whole] = [total(dividend, series, among), total(divisor, series, among)];
  if (part === null || !whole) return null;
  // A date's own value is in the table, which divides money before it is rounded.
  if (among.length === 1 && series(name)) return series(name)[among[0]];
  const result = (2n * BigInt(factor) * BigInt(part) + BigInt(whole)) / (2n * BigInt(whole));
  return bigNames.has(name) ? result : Number(result);
}

/** Places of the dates from first to last that have orders. */
function places(first, last) {
  const found = [];
  for (let day = first; day <= last; day++) if (placeOf.has(day)) found.push(placeOf.get(day));
  return found;
}

/** The week that ends with the last day shown, and the one before if it is there as a whole. */
function weeks() {
  const last = state.to;
  const whole = data.days[0] <= last - 13;
  return { first: last - 6, now: places(last - 6, last), before: whole ? places(last - 13, last - 7) : null };
}

/* ---------- what is shown: kept in the address, so that a view can be shared ---------- */

const state = { from: 0, to: 0, category: null, sort: "", descending: true, all: false, allRuns: false, find: "" };

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
