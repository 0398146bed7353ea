"""What other people install needs httpx, cryptography, msgspec and the standard library, and nothing of the server."""

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import keywright.client
import keywright.contract

SOURCE = Path(keywright.client.__path__[0]).parent
PACKAGES = (keywright.client, keywright.contract)
MODULES = sorted(
    module.name for package in PACKAGES for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)
SERVER = {
    "fastapi",
    "starlette",
    "flask",
    "werkzeug",
    "django",
    "uvicorn",
    "pydantic",
    "sqlalchemy",
}
# Imports each module in a process of its own, in which there is nothing yet but what the client depends on.
IMPORTING = """
import importlib, json, os, sys
import cryptography.hazmat.primitives.asymmetric.ed25519, httpx, msgspec

for module in sys.argv[1:]:
    if os.fork() == 0:
        importlib.import_module(module)
        print(json.dumps([module, sorted({name.split(".")[0] for name in sys.modules})]))
        sys.exit()
    _, status = os.wait()
    if status != 0:
        sys.exit(f"{module} cannot be imported")
"""
# Each of these is imported by the module that is named after it, when it is used.
FRAMEWORKS = {
    "client/integrations/fastapi.py": {"fastapi"},
    "client/integrations/flask.py": {"flask"},
    "client/integrations/django.py": {"django", "asgiref"},
}
PATHS = sorted(
    path.relative_to(SOURCE).as_posix()
    for package in ("client", "contract")
    for path in (SOURCE / package).rglob("*.py")
)


@pytest.mark.parametrize("path", PATHS)
def test_imports(path: str) -> None:
    """A module imports keys, the contract, httpx and the standard library; a framework where it is for that."""
    allowed = {"httpx", "msgspec", "keywright", *sys.stdlib_module_names, *FRAMEWORKS.get(path, ())}
    imported = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert {name.split(".")[0] for name in imported} <= allowed
    ours = {".".join(name.split(".")[:2]) for name in imported if name.startswith("keywright")}
    assert ours <= {"keywright.contract", "keywright.keys", "keywright.client", "keywright.__version__"}


def test_importing_loads_no_framework() -> None:
    """Every module, those for frameworks too, can be imported first, and where no framework is installed."""
    done = subprocess.run([sys.executable, "-c", IMPORTING, *MODULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {module: SERVER & set(names) for module, names in map(json.loads, done.stdout.splitlines())}
    assert loaded == {module: set() for module in MODULES}
