/* Numbers, changes and dates as text. Money and other decimals are whole hundredths, so that they
   are exact; they are Numbers, or BigInts where a sum can pass 2^53. */
"use strict";

const DAY = 86400;

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
function hundredths(value) {
  const digits = String(value).padStart(3, "0");
  return `${grouped.format(BigInt(digits.slice(0, -2)))}.${digits.slice(-2)}`;
}

const count = (value) => grouped.format(value);
const unit = (column) => (column.unit === "%" ? " %" : "");

/** A column's value as text: "1,234.56", "1,234", "7.14 %", or "–" where there is none. */
function textOf(column, value) {
  if (value === null) return "–";
  return `${column.decimal ? hundredths(value) : count(value)}${unit(column)}`;
}

/** A column's value over several dates: a mean has one decimal. */
const textOverDates = (column, value) => (column.over === "mean" && value !== null ? oneDecimal.format(value) : textOf(column, value));

/** A column's value as a number on a chart's axis. */
const onAxis = (column, value) => (value === null || !column.decimal ? value : Number(value) / 100);
const axisText = (column) => (value) => `${compact.format(value)}${unit(column)}`;

/** What changed, in words that need no colour: "▲ 4.2 %", or in points between two percentages. */
function change(column, now, before) {
  if (now === null || before === null) return null;
  if (column.unit === "%") {
    const points = Number(now - before) / 100;
    return signed(points, `${oneDecimal.format(Math.abs(points))} points`, column.good);
  }
  if (!Number(before)) return null;
  const percents = (100 * Number(now - before)) / Number(before);
  return signed(percents, `${oneDecimal.format(Math.abs(percents))} %`, column.good);
}

function signed(difference, text, good) {
  const rounded = Math.round(difference * 10);
  if (!rounded) return el("span", {}, "unchanged");
  const tone = rounded > 0 === good > 0 ? "good" : "bad";
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
