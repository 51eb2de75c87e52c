"""What a process has used, and peers as processes: started, asked, ended; a missing one is said aloud, once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from socket import socket


def cpu_ns(pid: int) -> int:
    """CPU time of a process and all the threads it ever had, in ns: what clock_getcpuclockid(3) would be asked for."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def rss_mb(pid: int, field: str = "VmRSS") -> float:
    """A line of /proc/PID/status, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def free_port() -> int:
    """One that nobody listens on now, for programs that cannot say which one they took."""
    with socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Missing:
    """Which peers this machine has not."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def lacks(self, program: str) -> bool:
        """Whether it is missing; says so the first time."""
        if shutil.which(program):
            return False
        if program not in self._said:
            self._said.add(program)
            print(f"MISSING PEER: {program} is not installed; its rows are left out", file=sys.stderr, flush=True)
        return True


MISSING = Missing()


def version(program: str) -> str:
    """Its name and version, as it says them."""
    names = {"prometheus-node-exporter": "node_exporter"}
    for flag in ("--version", "-version"):
        ran = subprocess.run([program, flag], capture_output=True, text=True, check=False)
        said = ran.stdout + ran.stderr
        if found := re.search(r"(?:version |v)(\d+\.\d+(?:\.\d+)?)", said):
            return f"{names.get(program, program)} {found[1]}"
        debian = subprocess.run(
            ["dpkg-query", "-W", "-f=${Version}", "victoria-metrics"], capture_output=True, text=True, check=False
        ).stdout
        if program in {"victoria-metrics", "vmagent"} and debian:
            return f"{program} {debian.partition('+')[0]}"
    return program


def cores() -> int:
    return len(os.sched_getaffinity(0))
