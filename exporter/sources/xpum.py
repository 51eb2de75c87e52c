"""Intel's GPUs, from XPU Manager's Prometheus exporter (1.x, `xpum_*`) or its successor xpumd (2.x, OpenTelemetry's
`hw_*`).

Utilization is that of the compute engines: the share of time in which any of them ran. In xpumd since its own last
look, every 30 s by default; in XPUM the mean since anybody last asked for the page. The GPU-wide figure is taken only
without it: in XPUM it is 0 or 1 on Flex GPUs, and in xpumd `all` has been seen at 0.125 under one compute engine that
never stopped. Copy and media engines are no work of a model. xpumd overshoots 1 by rounding.

A GPU of several tiles has lines of its own and of each tile. What is there for the GPU counts; else tiles are averaged
(utilization) or added up (memory), their hottest is taken (temperature), and of their energy nothing: XPUM has shown
the same counter for each. Power domains contain each other, so one is taken, never a sum: the card, else the package,
else the GPU. Memory that is the host's is left out. XPUM says how much memory is used, and not of how much.

A GPU is told apart by its host and PCI address. Its UUID does not do: older drivers make it of the PCI address, or of
the model alone, and it is the same on every host. Without a `node` label the host is the `instance` of a Prometheus in
between, or the page's own address. xpumd names the model on `hw_gpu_info` only, and no pod. XPUM names pods in `kube_*`
labels, and its page ends without a newline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.sources.gpu_table import Exporter, Field, Line, Place, label

DOMAINS = tuple(("hw_sensor_location", domain) for domain in ("card", "package", "gpu"))
FIELDS = (
    Field("hw_gpu_utilization_ratio", "active", only=(("hw_gpu_task", "compute-all"),)),  # xpumd, down to hw_gpu_info
    Field("hw_gpu_utilization_ratio", "active", only=(("hw_gpu_task", "all"),)),
    Field("hw_memory_usage_bytes", "used", only=(("hw_memory_location", "device"),)),
    Field("hw_memory_size_bytes", "total", only=(("hw_memory_location", "device"),)),
    *(Field("hw_power_watts", "power", only=(domain,)) for domain in DOMAINS),
    *(Field("hw_energy_joules_total", "energy", only=(domain,)) for domain in DOMAINS),
    Field("hw_temperature_celsius", "temperature", only=(("hw_sensor_location", "gpu"), ("statistic", "max"))),
    Field("hw_temperature_celsius", "temperature", only=(("hw_sensor_location", "global"), ("statistic", "max"))),
    Field("hw_gpu_info", "info"),
    Field("xpum_engine_group_ratio", "active", only=(("type", "compute"),)),  # 1.x
    Field("xpum_engine_ratio", "active"),
    Field("xpum_memory_used_bytes", "used"),
    Field("xpum_power_watts", "power"),
    Field("xpum_energy_joules_total", "energy"),
    Field("xpum_temperature_celsius", "temperature", only=(("location", "gpu"),)),
)

HOST = ("node", "host_name", "hostname", "host", "instance")
TILE = ("sub_dev", "com_intel_subdevice_id", "com_intel_gpu_subdevice_id")


def places(lines: Sequence[Line], address: str) -> Iterable[Place | None]:
    cards = {
        (label(line.labels, *HOST), line.labels.get("hw_id", "")): line.labels
        for line in lines
        if line.field.what == "info"
    }
    for line in lines:
        labels, host = line.labels, label(line.labels, *HOST)
        card = cards.get((host, label(labels, "hw_parent", "hw_id")), {})
        slot = label(labels, "pci_bdf") or label(card, "pci_bdf") or label(labels, "hw_parent", "hw_id", "uuid")
        product = label(labels, "dev_name") or label(card, "hw_model", "hw_name")
        tile = label(labels, *TILE)
        if line.field.name.startswith("hw_memory_"):
            tile = f"{tile}/{labels.get('hw_name', '')}"  # modules, which together are the GPU's memory
        # XPUM's sums over the GPUs of a card have no slot.
        yield Place(f"{host or address}/{slot}", host, slot, product, tile=tile) if slot else None


XPUM = Exporter(
    "xpum",
    "Intel XPU Manager",
    FIELDS,
    places,
    gaps="`xpum_*`: how much memory there is; `hw_*`: pods; work on render engines beside idle compute engines",
    overshoot=0.05,
    unended=True,
)
