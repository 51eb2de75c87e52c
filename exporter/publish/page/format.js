// Numbers and times as text. What is undefined never comes here: it is a dash, and somebody says why.

export const known = (x) => typeof x === "number" && Number.isFinite(x);
export const sum = (x) => (x === undefined || known(x) ? x : Object.values(x).reduce((a, b) => a + b, 0));
export const divide = (a, b) => (known(a) && b > 0 ? a / b : undefined);
export const million = (x) => (known(x) ? x * 1e6 : undefined);
// Labels that are keys, one below another: the first of each.
export function path(x) {
  const [key] = typeof x === "object" ? Object.keys(x) : [];
  return key === undefined ? [] : [key, ...path(x[key])];
}

const made = new Map();
function say(x, options = {}) {
  const key = JSON.stringify(options);
  if (!made.has(key)) made.set(key, new Intl.NumberFormat("en-US", options));
  return made.get(key).format(x);
}
const exactly = (places) => ({ minimumFractionDigits: places, maximumFractionDigits: places });
const upTo = (places) => ({ maximumFractionDigits: places });

// A format: `among` takes all numbers of a column and the context and gives how to write one of them, so that digits
// stand below digits; `exact` writes one by itself, with all that is known of it.
const format = (among, exact) => ({ among: () => among, exact });

const dollars = { style: "currency", currency: "USD" };
const exactUsd = (x) => say(x, { ...dollars, ...upTo(12) });
export const usd = { among: usdAmong, exact: exactUsd };
export const usdPerMillion = { among: usdAmong, exact: (x) => `${exactUsd(x)} per million tokens` };

// Two digits of the smallest; but no millionths beside hundreds.
function usdAmong(column) {
  const sizes = column.filter((x) => known(x) && x !== 0).map(Math.abs);
  const largest = Math.max(...sizes), most = largest >= 100 ? 2 : largest >= 0.01 ? 4 : 6;
  const wanted = sizes.length ? 1 - Math.floor(Math.log10(Math.min(...sizes))) : 2;
  const places = Math.max(2, Math.min(most, wanted)), least = 10 ** -places;
  const options = { ...dollars, ...exactly(places) };
  return (x) => (x > 0 && x < least / 2 ? `<${say(least, options)}` : say(x, options));
}

const compact = { notation: "compact", ...exactly(1) };
export const count = format((x) => say(x, x < 1000 ? upTo(2) : compact), (x) => say(x, upTo(6)));
export const percent = format(
  (x) => say(x, { style: "percent", ...exactly(1) }), (x) => say(x, { style: "percent", ...upTo(8) }));
export const times = format((x) => `${say(x, exactly(1))}×`, (x) => `${say(x, upTo(6))} times the plan`);
export const watts = format((x) => `${say(x, upTo(0))} W`, (x) => `${say(x, upTo(3))} W`);
export const celsius = format((x) => `${say(x, upTo(0))} °C`, (x) => `${say(x, upTo(3))} °C`);
export const bytes = format((x) => `${say(x / 2 ** 30, exactly(1))} GiB`, (x) => `${say(x)} bytes`);
export const joules = format((x) => `${say(x / 3.6e6, exactly(2))} kWh`, (x) => `${say(x, upTo(0))} J`);
export const seconds = format((x) => `${say(x * 1000, exactly(1))} ms`, (x) => `${say(x, upTo(9))} s`);

const SPANS = [[172800, 86400, "d"], [5400, 3600, "h"], [90, 60, "min"], [0, 1, "s"]];
export function span(x) {
  const [, unit, name] = SPANS.find(([from]) => Math.abs(x) >= from) ?? SPANS.at(-1);
  return `${Math.round(x / unit)} ${name}`;
}
// Unix seconds, against the context's now.
export const when = {
  among: (_, { now }) => (x) => (x > now ? `in ${span(x - now)}` : `${span(now - x)} ago`),
  exact: (x) => {
    const date = new Date(x * 1000);
    return Number.isNaN(date.valueOf()) ? String(x) : date.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
  },
};

const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
export function duration(text) {
  const [, number, unit] = /^([\d.]+)(ms|[smhd])$/.exec(text) ?? [];
  return number * UNITS[unit] || Infinity;
}
