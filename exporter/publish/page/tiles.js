// The big numbers: what the whole fleet costs, with the last hour of each and a smaller number below.
import { scope } from "./budgets.js";
import { element, put } from "./dom.js";
import { count, known, million, percent, sum, usd, usdPerMillion } from "./format.js";
import { hourly, metric, moved, priced, total } from "./promql.js";
import { numberButton, setNumber } from "./query.js";
import { drawing, drawSpark } from "./spark.js";

// Month to date is known to a budget over all spend whose period is the month; else the books know since they began.
const month = ({ budgets }) => budgets.find((row) => {
  const { tenant, model_name, pool, period } = scope(row);
  return period === "month" && !tenant && !model_name && !pool && known(row.budget_spent_usd);
});
function all(rows, name) {
  const values = rows.map((row) => row[name]).filter(known);
  return values.length ? sum(values) : undefined;
}
const ofHour = (name) => (_, c) => c.total?.[name]?.value;

// s: the snapshot; c: see context in page.js; figure: of the history, see history.py.
const TILES = [
  {
    name: "Spend now, per hour", format: usd, figure: "spend_usd_per_hour",
    value: (s, c) => s.live_spend_usd_per_hour?.[c.window],
    query: (_, c) => `sum(${metric("live_spend_usd_per_hour", { window: c.window })})`,
    why: () => "Watching has just begun.", note: () => "Attributed to use; idle time is not in it.",
    below: {
      words: (c) => `paid per hour, last ${c.words}`, name: "Paid per hour, idle included", format: usd,
      value: ofHour("cost_usd_per_hour"), query: (_, c) => hourly("cost_usd", c), why: (c) => c.unknown,
    },
  },
  {
    name: (s) => (month(s) ? "Spent, month to date" : "Spent in all"), format: usd,
    value: (s) => (month(s) ? month(s).budget_spent_usd : s.spend_usd),
    query: (s) => (month(s) ? metric("budget_spent_usd", { budget: month(s).budget }) : total("spend_usd")),
    why: () => "Nothing has been attributed to anybody yet.",
    note: (s) => month(s) ? `By the budget ${month(s).budget}.`
      : "Since the ledger began. Month to date needs a budget over all spend with the period month; there is none.",
    below: {
      words: () => "paid since the ledger began", name: "Paid since the ledger began, idle included",
      format: usd, value: (s) => sum(s.cost_usd), query: () => total("cost_usd"), why: () => "No price is known.",
    },
  },
  {
    name: "Per million tokens, all-in", format: usdPerMillion, figure: "cost_usd_per_token", scale: 1e6,
    value: (_, c) => million(c.total?.cost_usd_per_token?.value),
    query: (_, c) => `1e6 * ${moved("cost_usd", c)} / ${priced(c, c.unpriced.size)}`,
    why: (c) => (c.total ? "No token with a price was served." : c.unknown),
    note: (_, c) => `All that was paid, idle included, over all tokens that have a price: the last ${c.words}.`,
    below: {
      words: () => "tokens in all", name: "Tokens since the ledger began", format: count,
      value: (s) => sum(s.tokens), query: () => total("tokens"), why: () => "No token was served.",
    },
  },
  {
    name: "Idle share", format: percent, figure: "idle_ratio", top: 1, value: ofHour("idle_ratio"),
    query: (_, c) => `${moved("idle_cost_usd", c)} / ${moved("cost_usd", c)}`,
    why: (c) => (c.total ? "Nothing was paid for capacity." : c.unknown),
    note: (_, c) => `The part of what was paid that served no one: the last ${c.words}.`,
    below: {
      words: () => "in all", name: "Idle cost since the ledger began", format: usd,
      value: (s) => s.idle_cost_usd, query: () => total("idle_cost_usd"), why: () => "No pool has capacity.",
    },
  },
  {
    name: "GPU busy", format: percent, figure: "gpu_busy_ratio", top: 1, value: ofHour("gpu_busy_ratio"),
    query: (_, c) => `${moved("gpu_busy_seconds", c)} / ${moved("gpu_seconds", c)}`,
    why: (c) => (c.total ? "No pool holds a GPU." : c.unknown),
    note: (_, c) => `GPU-seconds at work over GPU-seconds held: the last ${c.words}.`,
    below: {
      words: () => "GPUs", name: "GPUs", format: count,
      value: (s) => all(s.pools, "gpus"), query: () => `sum(${metric("gpus")})`, why: () => "No pool holds a GPU.",
    },
  },
];

function box() {
  const value = element("dd", {}, numberButton()), trend = element("dd", {}, drawing("spark"));
  const below = element("dd", { className: "note" }, numberButton(), element("span"));
  return element("div", {}, element("dt"), value, trend, below);
}

function fill(button, tile, name, s, c) {
  const value = tile.value(s, c), defined = known(value);
  setNumber(button, {
    name, query: tile.query(s, c), why: tile.why(c), note: tile.note?.(s, c),
    text: defined ? tile.format.among([value])(value) : undefined,
    exact: defined ? tile.format.exact(value) : undefined,
  });
}

export function drawTiles(list, s, c) {
  if (!list.children.length) list.append(...TILES.map(box));
  TILES.forEach((tile, place) => {
    const [dt, value, trend, below] = list.children[place].children;
    const name = typeof tile.name === "function" ? tile.name(s) : tile.name;
    put(dt, name);
    fill(value.firstChild, tile, name, s, c);
    const points = c.total?.[tile.figure]?.points.map((x) => (known(x) ? x * (tile.scale ?? 1) : x));
    drawSpark(trend.firstChild, points, c.steps, tile.format, tile.top);
    fill(below.firstChild, tile.below, tile.below.name, s, c);
    put(below.lastChild, ` ${tile.below.words(c)}`);
  });
}
