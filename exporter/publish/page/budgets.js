// The table of budgets, and which of them need somebody.
import { divide, known, path, percent, span, times, usd, when } from "./format.js";
import { metric } from "./promql.js";

// Burn rates that page on-call: that much over the long window, and still going on in the short one.
const FAST = { "1h": ["5m", 14.4], "6h": ["30m", 6] };
const SURE = 1.05; // a forecast on the limit is on plan

function fast({ budget_burn_rate: burn = {} }, window) {
  const [short, limit] = FAST[window] ?? [];
  return burn[window] > limit && burn[short] > limit;
}
const spent = (row) => row.budget_spent_usd >= row.budget_limit_usd;
const over = (row) => row.budget_forecast_usd > SURE * row.budget_limit_usd;

// What is wrong with it, in words; undefined: nothing.
export function trouble(row) {
  if (spent(row)) return "is spent";
  if (fast(row, "1h") || fast(row, "6h")) return "burns fast";
  return over(row) ? "is forecast to go over its limit" : undefined;
}

// Of what it is the budget: tenant, model_name and pool, "" for all; period.
export function scope({ budget_info: info }) {
  const [tenant, model_name, pool, period] = path(info ?? {});
  return { tenant, model_name, pool, period };
}

function words(row) {
  const { tenant, model_name, pool, period } = scope(row);
  const named = [["tenant", tenant], ["model", model_name], ["pool", pool]].filter(([, name]) => name);
  return period ? `${period}: ${named.map((pair) => pair.join(" ")).join(", ") || "all spend"}` : "";
}

const gauge = (label, format, name, why, more) => ({
  label, format, value: (row) => row[name], query: (row) => metric(name, { budget: row.budget }), why, ...more,
});
const burn = (window) => ({
  label: `Burn ${window}`, format: times, value: (row) => row.budget_burn_rate?.[window],
  act: (row) => fast(row, window), query: (row) => metric("budget_burn_rate", { budget: row.budget, window }),
  why: `It has not been watched for ${window} yet.`,
});

const used = (row) => divide(row.budget_spent_usd, row.budget_limit_usd);
function elapsed({ budget_period_start_timestamp_seconds: start, budget_period_end_timestamp_seconds: end }, { now }) {
  return divide(now - start, end - start);
}

export const budgets = {
  id: "budgets", name: "budgets", of: (row) => `budget ${row.budget}`, sort: ["Used", -1],
  key: (row) => row.budget, empty: "The config has no budgets; they stand under the key budgets.",
  columns: [
    { label: "Budget", value: (row) => row.budget, sub: words },
    gauge("Spent", usd, "budget_spent_usd", "Nothing is known of this period yet."),
    gauge("Limit", usd, "budget_limit_usd", "Its limit is not known."),
    {
      label: "Used", title: "The mark is how much of the period is over", format: percent, value: used, act: spent,
      query: ({ budget }) => `${metric("budget_spent_usd", { budget })} / ${metric("budget_limit_usd", { budget })}`,
      bar: (row, c) => [used(row), elapsed(row, c)], why: "Nothing is known of this period yet.",
    },
    gauge("Forecast", usd, "budget_forecast_usd", "Too little is known yet for a forecast.", {
      act: over,
      note: ({ budget_forecast_history_seconds: past }) => known(past) && `By the spend of the last ${span(past)}.`,
    }),
    burn("1h"), burn("6h"), burn("1d"),
    gauge("Runs out", when, "budget_exhaustion_timestamp_seconds", "It lasts to the end of the period."),
    gauge("Period ends", when, "budget_period_end_timestamp_seconds", "Its period is not known."),
  ],
};
