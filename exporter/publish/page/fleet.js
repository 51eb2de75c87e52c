// The tables of what is paid for and of where the numbers come from: pools, GPUs, targets.
import {
  bytes, celsius, count, divide, joules, known, million, path, percent, seconds, sum, usd, usdPerMillion, watts, when,
} from "./format.js";
import { unlessApi } from "./money.js";
import { hourly, metric, moved, priced, total } from "./promql.js";

// A figure of the last hour: see history.py.
function figure(label, format, name, query, why, more = {}) {
  const said = unlessApi(why);
  return {
    label, format, query, value: (row, c) => c.of(row)?.[name]?.value,
    why: (row, c) => (c.of(row) ? said(row) : c.unknown), ...more,
  };
}
const trend = (name, scale = 1) => (row, c) => c.of(row)?.[name]?.points.map((x) => (known(x) ? x * scale : x));

const gauge = (name, labels) => (label, format, field, why, more = {}) => ({
  label, format, value: (row) => row[name + field], query: (row) => metric(name + field, labels(row)), why, ...more,
});

const ofPool = ({ pool }) => ({ pool });
const poolGauge = gauge("", ofPool);
const prices = (row) => Object.entries(row.gpu_price_usd_per_hour ?? {});
const silent = "None of its engines says so now.";

export const pools = {
  id: "pools", name: "pools", of: (row) => `pool ${row.pool}`, sort: ["Paid per hour", -1],
  key: (row) => row.pool, empty: "The config has no pools, and no gateway has sent anything to an API.",
  columns: [
    {
      label: "Pool", value: (row) => row.pool,
      sub: (row) => prices(row).map(([product]) => product).filter(Boolean).join(", "),
    },
    poolGauge("GPUs", count, "gpus", "It holds no GPU."),
    poolGauge("GPU per hour", usd, "gpu_price_usd_per_hour", "", {
      value: (row) => (prices(row).length === 1 ? prices(row)[0][1] : undefined), act: (row) => row.unpriced_gpus > 0,
      why: (row) => prices(row).map(([product, x]) => `${product}: ${usd.exact(x)}. `).join("") || "No price is known.",
    }),
    figure("Paid per hour", usd, "cost_usd_per_hour",
      (row, c) => hourly("cost_usd", c, ofPool(row)), "No price is known for it."),
    figure("Per million", usdPerMillion, "cost_usd_per_token",
      (row, c) => `1e6 * ${moved("cost_usd", c, ofPool(row))} / ${priced(c, c.unpriced.has(row.pool), ofPool(row))}`,
      "No token with a price was served.", {
        title: "Paid, idle included, over all its tokens", spark: trend("cost_usd_per_token", 1e6),
        value: (row, c) => million(c.of(row)?.cost_usd_per_token?.value),
      }),
    figure("Idle", percent, "idle_ratio",
      (row, c) => `${moved("idle_cost_usd", c, ofPool(row))} / ${moved("cost_usd", c, ofPool(row))}`,
      "Nothing was paid for it.", { spark: trend("idle_ratio"), top: 1 }),
    figure("Busy", percent, "gpu_busy_ratio",
      (row, c) => `${moved("gpu_busy_seconds", c, ofPool(row))} / ${moved("gpu_seconds", c, ofPool(row))}`,
      "It holds no GPU.", { spark: trend("gpu_busy_ratio"), top: 1 }),
    poolGauge("Running", count, "requests_running", silent),
    poolGauge("Waiting", count, "requests_waiting", silent),
    poolGauge("KV cache", percent, "kv_cache_usage_ratio", silent),
    {
      label: "Split by", value: (row) => path(row.allocation_info ?? {})[0] ?? "",
      sub: (row) => row.busy_info && `busy from ${path(row.busy_info)[0]}`,
    },
  ],
};

const ofGpu = ({ pool, gpu }) => ({ pool, gpu });
const unsaid = "Its source does not say.";
const gpuGauge = gauge("gpu_", ofGpu);
const kind = (row) => path(row.gpu_info ?? {}).slice(1).filter(Boolean).join(" "); // without its UUID
const filled = (row) => divide(row.gpu_memory_used_bytes, row.gpu_memory_total_bytes);

export const gpus = {
  id: "gpus", name: "GPUs", of: (row) => `GPU ${row.gpu}, pool ${row.pool}`, sort: ["Pool", 1],
  key: (row) => JSON.stringify([row.pool, row.gpu]),
  empty: "No GPU is read: the pools count theirs in the config, or their source has not answered.",
  columns: [
    { label: "GPU", value: (row) => row.gpu, sub: kind },
    { label: "Pool", value: (row) => row.pool },
    gpuGauge("Busy", percent, "utilization_ratio", unsaid, { bar: (row) => [row.gpu_utilization_ratio] }),
    {
      label: "Memory", format: percent, value: filled, bar: (row) => [filled(row)], why: unsaid,
      query: (row) => ["used", "total"].map((what) => metric(`gpu_memory_${what}_bytes`, ofGpu(row))).join(" / "),
    },
    gpuGauge("Used", bytes, "memory_used_bytes", unsaid),
    gpuGauge("Of", bytes, "memory_total_bytes", unsaid),
    gpuGauge("Power", watts, "power_watts", unsaid),
    gpuGauge("Temperature", celsius, "temperature_celsius", unsaid),
    gpuGauge("Energy", joules, "energy_joules", unsaid, { query: (row) => total("gpu_energy_joules", ofGpu(row)) }),
  ],
};

const ofTarget = ({ target }) => ({ target });
const targetGauge = gauge("target_", ofTarget);
const untried = "It has not been tried yet.";
// What went wrong, without the target's name before it.
export function wrong({ target, detail, reason }) {
  return (detail.startsWith(`${target}: `) ? detail.slice(target.length + 2) : detail) || reason;
}
export const down = (row) => !row.up && row.reason !== "untried";
const state = (row) => (row.up ? "up" : down(row) ? `down: ${row.reason}` : "not tried yet");

export const targets = {
  id: "targets", name: "targets", of: (row) => row.target, sort: ["State", 1],
  key: (row) => row.target, empty: "The config has no targets.",
  columns: [
    { label: "Target", value: (row) => row.target, sub: (row) => (down(row) ? wrong(row) : "") },
    { label: "State", value: state, act: down, query: (row) => metric("target_up", ofTarget(row)) },
    { label: "Pool", value: (row) => row.pool },
    { label: "Engine", value: (row) => row.engine },
    targetGauge("Last success", when, "last_success_timestamp_seconds", "It has never answered.", {
      value: (row) => row.last_success, act: down,
    }),
    targetGauge("Took", seconds, "scrape_duration_seconds", untried, {
      value: (row) => row.duration_seconds || undefined,
    }),
    targetGauge("Failed", count, "scrape_failures", untried, {
      value: (row) => sum(row.target_scrape_failures) ?? 0,
      query: (row) => `${total("target_scrape_failures", ofTarget(row))} or vector(0)`,
    }),
    targetGauge("Of scrapes", count, "scrapes", untried, { query: (row) => total("target_scrapes", ofTarget(row)) }),
    targetGauge("Restarts", count, "counter_resets", untried, {
      query: (row) => total("target_counter_resets", ofTarget(row)),
    }),
  ],
};
