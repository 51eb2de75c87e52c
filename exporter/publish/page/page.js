// Polls the snapshot and the last hour and draws them. Every text goes in as text: names come from engines and gateways
// and are not trusted.
import { drawAct } from "./act.js";
import { budgets } from "./budgets.js";
import { at, element, put } from "./dom.js";
import { gpus, pools, targets } from "./fleet.js";
import { duration, known, span, sum, usd } from "./format.js";
import { books, models, tenants } from "./money.js";
import { listen } from "./query.js";
import { Table } from "./table.js";
import { drawTiles } from "./tiles.js";

const EVERY = 5, PATIENCE = 15, STALE = 30; // seconds: between polls, for an answer, that data may be old

const TABLES = [models, tenants, budgets, pools, books, gpus, targets];
const tables = TABLES.map((table) => new Table(table));
const state = {
  snapshot: null, history: null, // what is shown
  window: "", acts: 0, problem: null, timer: 0, polling: false,
  received: 0, behind: 0, gap: 0, // when it came by our clock, how old it was then, seconds from tick to tick
};

// One path's last answer; asked for again, the server says when nothing is new.
class Source {
  constructor(path) {
    Object.assign(this, { path, tag: "", value: null });
  }

  // True when there is a new value. Error with `status` when the server says something else.
  async load() {
    const headers = this.tag ? { "If-None-Match": this.tag } : {};
    const answer = await fetch(this.path, { cache: "no-store", headers, signal: AbortSignal.timeout(PATIENCE * 1000) });
    this.date = Date.parse(answer.headers.get("Date")) / 1000;
    if (answer.status === 304) return false;
    if (!answer.ok) {
      Object.assign(this, { tag: "", value: null });
      throw Object.assign(new Error((await answer.text()).trim()), { status: answer.status });
    }
    this.value = await answer.json();
    this.tag = answer.headers.get("ETag");
    return true;
  }
}

const snapshot = new Source("api/v1/snapshot"), history = new Source("api/v1/history");

async function poll() {
  state.timer = 0;
  state.polling = true;
  try {
    if (await ask()) draw();
  } finally {
    state.polling = false;
    tell();
    if (!document.hidden) state.timer = setTimeout(poll, EVERY * 1000);
  }
}

// True when there is something new to draw.
async function ask() {
  const hour = history.load().catch(() => false); // without it there are no trends, and the rest goes on
  const before = state.snapshot?.time, steady = performance.now() - state.received < 3000 * EVERY;
  try {
    const fresh = await snapshot.load(), trends = await hour;
    Object.assign(state, { snapshot: snapshot.value, history: history.value, problem: null });
    if (fresh && before && steady) state.gap = state.snapshot.time - before;
    // The server's age at the answer, and our own seconds since: the two clocks need not agree.
    state.behind = Math.max(0, (snapshot.date || state.snapshot.time) - state.snapshot.time);
    state.received = performance.now();
    return fresh || trends;
  } catch (error) {
    state.problem = error;
    return false;
  }
}

function windows(s) {
  const rows = s.models.flatMap((row) => Object.keys(row.live_cost_usd_per_token ?? {}));
  const all = new Set([...Object.keys(s.live_spend_usd_per_hour ?? {}), ...rows]);
  return [...all].sort((a, b) => duration(a) - duration(b));
}

function draw() {
  const s = state.snapshot, found = windows(s);
  if (!found.includes(state.window)) state.window = found[0] ?? "";
  choose(found);
  const c = context(s);
  put(at("covered"), `the last ${c.words}`);
  guard("totals", () => drawTiles(at("totals"), s, c));
  guard("act", () => (state.acts = drawAct(at("act"), s)));
  TABLES.forEach(({ id, rows }, place) => guard(id, () => tables[place].update(s[rows ?? id] ?? [], c)));
}

// What columns and tiles need besides their row: the moment, the window, the last hour of all and of a pool, and how
// long that is in words and in PromQL.
function context(s) {
  const { seconds: steps, total, pools } = state.history ?? { seconds: [] };
  const covered = steps.reduce((a, b) => a + b, 0), minutes = Math.max(1, Math.round(covered / 60));
  return {
    now: s.time, window: state.window, spend: s.spend_usd, steps, span: `${minutes}m`,
    words: !covered || minutes >= 60 ? "hour" : span(covered), total: steps.length ? total : undefined,
    unpriced: new Set(s.models.filter((row) => sum(row.unpriced_tokens) > 0).map((row) => row.pool)),
    of: ({ pool }) => (steps.length && Object.hasOwn(pools, pool) ? pools[pool] : undefined),
    unknown: steps.length ? "It is not among the pools whose last hour is kept." : "Watching has just begun.",
  };
}

// One section that cannot be drawn costs no other.
function guard(id, work) {
  try {
    work();
    at(id).classList.remove("broken");
  } catch (error) {
    console.error(error);
    at(id).classList.add("broken");
  }
}

function choose(found) {
  const box = at("window");
  box.hidden = found.length < 2;
  if (box.dataset.windows === String(found)) return;
  box.dataset.windows = found;
  while (box.children.length > 1) box.lastChild.remove();
  for (const name of found) {
    const onchange = () => {
      state.window = name;
      draw();
    };
    const radio = { type: "radio", name: "window", checked: name === state.window, onchange };
    box.append(element("label", {}, element("input", radio), name));
  }
}

// How old the data is, and whether anything is wrong with getting it.
function tell() {
  const { snapshot: s, problem } = state;
  const old = s ? (performance.now() - state.received) / 1000 + state.behind : Infinity;
  const stale = s && old > Math.max(STALE, 4 * (state.gap || (state.history?.seconds.at(-1) || 0)));
  const up = s?.targets.filter((row) => row.up).length;
  put(at("age"), s ? `data ${span(old)} old, ${up} of ${s.targets.length} targets up` : "");
  const time = s ? new Date(s.time * 1000).toLocaleString() : "", then = s ? `The numbers below are of ${time}.` : "";
  const [kind, words] =
    problem?.status === 503 ? ["waiting", problem.message]
    : problem?.status ? ["lost", `The exporter answers with HTTP status ${problem.status}. ${then}`]
    : problem ? ["lost", `The exporter does not answer. ${then}`]
    : stale ? ["stale", `The exporter answers, but has counted nothing since ${time}.`]
    : s ? ["live", ""] : ["loading", "Loading…"];
  document.body.dataset.state = kind;
  put(at("state"), words);
  const now = s?.live_spend_usd_per_hour?.[state.window];
  const mark = kind === "lost" || kind === "stale" ? "stale: " : state.acts ? `(${state.acts}) ` : "";
  document.title = known(now) ? `${mark}${usd.among([now])(now)}/h tokencost` : "tokencost";
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !state.timer && !state.polling) poll();
});
listen();
setInterval(tell, 1000);
poll();
