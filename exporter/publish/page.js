"use strict";
// Polls the snapshot and shows it. Every text goes in by textContent: names come from engines and are not trusted.
const DASH = "—", EVERY_MS = 5000, TOP = 20;
const at = (id) => document.getElementById(id);
const known = (x) => typeof x === "number" && Number.isFinite(x);
const say = (x, options, unit = "") => (known(x) ? new Intl.NumberFormat("en", options).format(x) + unit : DASH);
const usd = (x) => say(x, { style: "currency", currency: "USD", maximumFractionDigits: Math.abs(x) < 1 ? 4 : 2 });
const count = (x) => say(x, { notation: "compact", maximumFractionDigits: 1 });
const share = (part, whole) => (known(part) && whole > 0 ? say(part / whole, { style: "percent", maximumFractionDigits: 1 }) : DASH);
const sum = (x) => (x === undefined ? undefined : known(x) ? x : Object.values(x).reduce((a, b) => a + b, 0));
const million = (x) => usd(known(x) ? x * 1e6 : undefined);
const ago = (s) => (!known(s) ? DASH : s < 90 ? `${Math.max(0, Math.round(s))} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`);
const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };

function seconds(window) {
  const [, number, unit] = /^([\d.]+)(ms|[smhd])$/.exec(window) || [];
  return number * UNITS[unit] || Infinity;
}

let last = null, received = 0, failed = "";

function element(tag, text, kind) {
  const node = document.createElement(tag);
  node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

function fill(id, rows) {
  if (!rows.length) rows = [[DASH]];
  at(id).replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => (cell instanceof Node ? cell : element("td", cell))));
    return row;
  }));
}

function show(s) {
  const rates = s.live_spend_usd_per_hour || {};
  const windows = new Set([...Object.keys(rates), ...s.models.flatMap((m) => Object.keys(m.live_cost_usd_per_token || {}))]);
  const now = [...windows].sort((a, b) => seconds(a) - seconds(b))[0];
  const live = (row, key) => (row[key] || {})[now];
  at("window").textContent = now ? `last ${now}` : DASH;
  const totals = [["Spend now, per hour", usd(live(s, "live_spend_usd_per_hour"))], ["Attributed in all", usd(s.spend_usd)],
    ["Paid in all", usd(sum(s.cost_usd))], ["Idle share", share(s.idle_cost_usd, sum(s.cost_usd))]];
  at("totals").replaceChildren(...totals.map(([name, value]) => {
    const box = document.createElement("div");
    box.append(element("dt", name), element("dd", value));
    return box;
  }));
  fill("models", s.models.map((m) => [m.pool, m.model_name, million(live(m, "live_cost_usd_per_token")),
    million(live(m, "live_cost_usd_per_output_token")), usd(sum(m.spend_usd))]));
  fill("pools", s.pools.map((p) => [p.pool, say(p.gpus), usd(sum(p.cost_usd)), usd(p.spend_usd),
    share(p.idle_cost_usd, sum(p.cost_usd))]));
  const tenants = s.tenants.sort((a, b) => (b.spend_usd || 0) - (a.spend_usd || 0));
  fill("tenants", tenants.slice(0, TOP).map((t) => [t.tenant, usd(t.spend_usd), usd(live(t, "live_spend_usd_per_hour")),
    count(sum(t.tokens))]));
  fill("targets", s.targets.map((t) => [t.target, t.pool, t.up ? "up" : element("td", `down: ${t.reason}. ${t.detail}`, "down"),
    known(t.last_success) ? `${ago(s.time - t.last_success)} before` : DASH]));
}

function age() {
  // The server's age at the answer plus our own seconds since: the two clocks need not agree.
  const since = last && (Date.now() - received) / 1000 + last.behind;
  at("age").textContent = (last ? `data ${ago(since)} old` : "no data yet") + (failed && ` — ${failed}`);
  at("age").classList.toggle("stale", Boolean(failed) || since > 60);
}

async function poll() {
  try {
    const answer = await fetch("api/v1/snapshot", { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const snapshot = await answer.json();
    const behind = (Date.parse(answer.headers.get("Date")) || snapshot.time * 1000) / 1000 - snapshot.time;
    show(snapshot);
    last = { behind: Math.max(0, behind) }, received = Date.now(), failed = "";
  } catch (error) {
    failed = error instanceof TypeError ? "the exporter does not answer" : error.message;
  }
  age();
  setTimeout(poll, document.hidden ? 6 * EVERY_MS : EVERY_MS);
}

setInterval(age, 1000);
poll();
