"""What the figures were measured on and with: no name, no path and no address of the machine."""

import os
import platform
import re
import shutil
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.programs import node

_VERSION = re.compile(r"\d+(\.\d+)+")
PACKAGES = ("keywright", "uvicorn", "uvloop", "httptools", "starlette", "pydantic", "cryptography", "asyncpg")


def machine() -> dict[str, str]:
    """Say what kind of machine this is, and what else it was doing."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}",
        "load before the run": f"{os.getloadavg()[0]:.2f}",
    }


def versions() -> dict[str, str]:
    """Say which releases were measured."""
    found = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version, "commit": _commit()}
    found |= {name: version(name) for name in PACKAGES}
    for name, words in {
        "nginx": ["nginx", "-v"],
        "Node": [node() or "node", "--version"],
        "wrk": ["wrk", "-v"],
    }.items():
        found[name] = _version(words)
    return found


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def _commit() -> str:
    if shutil.which("git") is None:
        return "unknown"
    head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True)
    return (head.stdout.strip() or "unknown") + (" with changes" if changed.stdout.strip() else "")


def _version(words: list[str]) -> str:
    """Give the first thing that looks like a version in what a program says of itself."""
    if shutil.which(words[0]) is None:
        return "none"
    done = subprocess.run(words, capture_output=True, text=True)
    found = _VERSION.search(done.stdout + done.stderr)
    return found[0] if found else "unknown"
