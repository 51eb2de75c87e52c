// The tables of money: what a million tokens cost, who spent how much, and whether the books close.
//
// A column: label; value(row, c); format, where it is a number; query(row, c), the PromQL that gives it; why, what to
// say where it is undefined; note, what to say where it is not; act(row): somebody must. c: see context in page.js.
import { count, divide, million, percent, sum, usd, usdPerMillion } from "./format.js";
import { metric, total } from "./promql.js";

const noPrice = "No token with a price was served.";

function perMillion(label, name, what, title) {
  return {
    label, title, format: usdPerMillion,
    value: (row, c) => million(row[name]?.[c.window]),
    query: (row, c) => `1e6 * ${metric(name, { pool: row.pool, model_name: row.model_name, window: c.window })}`,
    why: (_, c) => `No ${what} with a price was served in the last ${c.window}.`,
  };
}

function perMillionOf(label, type, what) {
  const labels = (row, c) => ({ pool: row.pool, model_name: row.model_name, token_type: type, window: c.window });
  return {
    label, format: usdPerMillion,
    value: (row, c) => million(row.live_spend_usd_per_token?.[c.window]?.[type]),
    query: (row, c) => `1e6 * ${metric("live_spend_usd_per_token", labels(row, c))}`,
    why: (_, c) => `No ${what} with a price was served in the last ${c.window}.`,
  };
}

// A counter since the ledger began, summed over all labels but the row's own.
function counted(label, format, name, own, why, more = {}) {
  return { label, format, value: (row) => sum(row[name]), query: (row) => total(name, own(row)), why, ...more };
}

const ofModel = ({ pool, model_name }) => ({ pool, model_name });
export const models = {
  id: "models", name: "models", of: (row) => `${row.model_name}, pool ${row.pool}`, sort: ["Spend", -1],
  key: (row) => JSON.stringify([row.pool, row.model_name]), empty: "No model has served a token yet.",
  columns: [
    { label: "Model", value: (row) => row.model_name },
    { label: "Pool", value: (row) => row.pool },
    perMillion("All-in", "live_cost_usd_per_token", "token", "Paid, idle included, over all tokens"),
    perMillionOf("Input", "input", "uncached input token"),
    perMillionOf("Cached", "cache_read", "cached input token"),
    perMillionOf("Output", "output", "output token"),
    perMillion("All-in per output", "live_cost_usd_per_output_token", "output token",
      "Paid, idle included, over output and reasoning tokens"),
    counted("Tokens", count, "tokens", ofModel, "No token was served."),
    counted("Unpriced", count, "unpriced_tokens", ofModel, "", {
      value: (row) => sum(row.unpriced_tokens) ?? 0, note: "Tokens that no price is known for: they are in no spend.",
      query: (row) => `${total("unpriced_tokens", ofModel(row))} or vector(0)`,
    }),
    counted("Spend", usd, "spend_usd", ofModel, noPrice),
  ],
};

const RESERVED = {
  default: "of pools without a tenant in the config",
  _unattributed: "a tenant was expected, none was found",
  _other: "beyond tenants.limit",
};
const ofTenant = ({ tenant }) => ({ tenant });
const share = (row, c) => divide(row.spend_usd, c.spend);
export const tenants = {
  id: "tenants", name: "tenants", of: (row) => `tenant ${row.tenant}`, sort: ["Spend", -1],
  key: (row) => row.tenant, empty: "Nobody has used anything yet.",
  columns: [
    { label: "Tenant", value: (row) => row.tenant, sub: (row) => RESERVED[row.tenant] },
    counted("Spend", usd, "spend_usd", ofTenant, noPrice),
    {
      label: "Share", format: percent, value: share, bar: (row, c) => [share(row, c)], why: "Nothing was spent.",
      query: (row) => `${total("spend_usd", ofTenant(row))} / ${total("spend_usd")}`,
    },
    {
      label: "Per hour now", format: usd, value: (row, c) => row.live_spend_usd_per_hour?.[c.window],
      query: (row, c) => metric("live_spend_usd_per_hour", { tenant: row.tenant, window: c.window }),
      why: "Watching has just begun.",
    },
    {
      label: "Per million", title: "Spend over tokens since the ledger began", format: usdPerMillion, why: noPrice,
      value: (row) => million(divide(row.spend_usd, sum(row.tokens))),
      query: (row) => `1e6 * ${total("spend_usd", ofTenant(row))} / ${total("tokens", ofTenant(row))}`,
    },
    counted("Tokens", count, "tokens", ofTenant, "No token was served."),
    counted("Requests", count, "requests", ofTenant, "Nothing it uses counts requests."),
  ],
};

// A paid API has no capacity that could be idle or busy.
export const unlessApi = (why) => (row) =>
  row.allocation_info?.price_card ? "A paid API: it has no capacity that could be idle." : why;

const ofPool = ({ pool }) => ({ pool });
const idle = (row) => divide(row.idle_cost_usd, sum(row.cost_usd));
export const books = {
  id: "books", rows: "pools", name: "pools", of: (row) => `pool ${row.pool}`, sort: ["Paid", -1],
  key: (row) => row.pool, empty: "Nothing has been booked yet.",
  columns: [
    { label: "Pool", value: (row) => row.pool },
    counted("Paid", usd, "cost_usd", ofPool, "No price is known for it."),
    counted("Spent", usd, "spend_usd", ofPool, "Nothing was attributed to anybody."),
    counted("Idle", usd, "idle_cost_usd", ofPool, unlessApi("Nothing is known to be idle.")),
    counted("Pending", usd, "pending_cost_usd", ofPool, unlessApi("It is not in the config any more."), {
      query: (row) => metric("pending_cost_usd", ofPool(row)), note: "Waits until it is known who used it.",
    }),
    {
      label: "Idle share", format: percent, value: idle, bar: (row) => [idle(row)],
      query: (row) => `${total("idle_cost_usd", ofPool(row))} / ${total("cost_usd", ofPool(row))}`,
      why: unlessApi("Nothing was paid for it."),
    },
    counted("Tokens", count, "tokens", ofPool, "No token was served."),
    counted("Requests", count, "requests", ofPool, "Nothing there counts requests."),
  ],
};
