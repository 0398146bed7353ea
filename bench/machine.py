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

from bench.processes import ROOT, node

PACKAGES = ("uvicorn", "uvloop", "httptools", "cryptography", "asyncpg")


def machine() -> dict[str, str]:
    """Say what kind of machine this is, and what else it was doing."""
    models = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}",
        "load before the run": f"{os.getloadavg()[0]:.2f}",
    }


def versions() -> dict[str, str]:
    """Say which releases were measured, and which commit."""
    changed = " with changes" if _said("git", "status", "--porcelain", "-uno") else ""
    found = {"commit": (_said("git", "rev-parse", "--short=12", "HEAD") or "unknown") + changed}
    found |= {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    found |= {name: version(name) for name in PACKAGES}
    for name, words in {"nginx": ("nginx", "-v"), "Node": (node() or "node", "-v"), "wrk": ("wrk", "-v")}.items():
        number = re.search(r"\d+(\.\d+)+", _said(*words))
        found[name] = number[0] if number else "none"
    return found


def _said(*words: str) -> str:
    if shutil.which(words[0]) is None:
        return ""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()
