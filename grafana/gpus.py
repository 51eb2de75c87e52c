"""How GPUs are used: what the debug dashboard says about them."""

from __future__ import annotations

from grafana import promql as q
from grafana import spec as s
from grafana.engines import all_models

ENERGY = "tokencost_gpu_energy_joules_total"


def per_million(metric: str, over: str, scale: str) -> str:
    """GPU time or energy of a pool per million tokens that it served."""
    return f"{scale} * " + q.share(q.grown(metric, over, "pool"), all_models(q.TOKENS, over))


GPUS = s.Section(
    title="How the GPUs are used",
    panels=(
        s.Graph(
            title="GPU busy over time",
            text="Share of the pool's GPU time at work as the books count it, and utilization as NVML or "
            "dcgm-exporter says it, the mean over the pool's GPUs. Both say how busy, not how efficient. Utilization "
            "is absent where GPUs are only counted in the config.",
            lines={
                "{{pool}}, busy": q.share(q.rate(q.BUSY_TIME, "pool"), q.rate(q.GPU_TIME, "pool")),
                "{{pool}}, utilization": "avg by (pool) (tokencost_gpu_utilization_ratio)",
            },
            unit=s.SHARE,
            highest=1,
            width=8,
        ),
        s.Graph(
            title="GPU-hours per 1M tokens over time",
            text="GPU-hours held, and those at work, per million tokens of the pool. The first times the price of a "
            "GPU-hour is the cost of a million tokens, but for energy and overhead; the gap between the lines is "
            "idle time.",
            lines={
                "{{pool}}, held": per_million(q.GPU_TIME, q.STEP, "1e6 / 3600"),
                "{{pool}}, at work": per_million(q.BUSY_TIME, q.STEP, "1e6 / 3600"),
            },
            unit=s.HOURS,
            decimals=3,
            width=8,
        ),
        s.Graph(
            title="Joules per token",
            text="Energy drawn by the GPUs per token of the pool, from tokencost_gpu_energy_joules_total. Absent "
            "where GPUs are only counted in the config, or their source does not measure it.",
            lines={"{{pool}}": per_million(ENERGY, q.STEP, "1")},
            unit=s.JOULES,
            decimals=2,
            width=8,
        ),
        s.Graph(
            title="Cost by resource, USD per hour",
            text="What is paid for the pool or provider: gpu, energy, overhead, api. From tokencost_cost_usd_total.",
            lines={"{{pool}}, {{resource}}": q.per_hour(q.COST, "pool", "resource")},
            stacked=True,
            unit=s.USD,
            decimals=2,
            width=8,
        ),
        s.Graph(
            title="Price of a GPU, USD per hour",
            text="The price in force, from the config, by product. Changes are marked on every graph. Absent for a "
            "product without a price.",
            lines={"{{pool}}, {{product}}": q.highest("tokencost_gpu_price_usd_per_hour", "pool", "product")},
            unit=s.USD,
            decimals=2,
            width=8,
        ),
        s.Graph(
            title="GPUs",
            text="GPUs that the pool pays for; a part of one counts as a part. From tokencost_gpus.",
            lines={"{{pool}}": q.total("tokencost_gpus", "pool")},
            unit=s.COUNT,
            decimals=2,
            width=8,
        ),
        s.Table(
            title="GPUs by device",
            text="Each GPU or MIG instance that a pool holds, from NVML or dcgm-exporter. Power and temperature are "
            "the whole GPU's. What a source does not say is empty; GPUs that are only counted in the config are not "
            "here.",
            keys={"pool": "Pool", "instance": "Exporter", "gpu": "GPU", "product": "Product", "mig_profile": "MIG"},
            columns=(
                s.Column(
                    title="Info",
                    query=q.highest("tokencost_gpu_info", "pool", "instance", "gpu", "product", "mig_profile"),
                    unit=s.PLAIN,
                    shown=False,
                ),
                *(
                    s.Column(
                        title=title, query=q.highest(f"tokencost_gpu_{name}", "pool", "instance", "gpu"), unit=unit
                    )
                    for title, name, unit in (
                        ("Utilization", "utilization_ratio", s.SHARE),
                        ("Memory used", "memory_used_bytes", s.BYTES),
                        ("Memory", "memory_total_bytes", s.BYTES),
                        ("Power", "power_watts", s.WATTS),
                        ("Temperature", "temperature_celsius", s.CELSIUS),
                    )
                ),
            ),
            sort="Utilization",
            none="No GPUs are read from a source",
            width=24,
        ),
    ),
)
