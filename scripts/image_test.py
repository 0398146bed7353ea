"""
Build the image with buildah over a Debian base made here, run it with podman, and check what its users rely on.

    sudo make image-test

Needs root, and Debian's buildah, podman and debootstrap, which it installs where apt-get is; no registry of images.
The base is Debian trixie with its Python, made once and kept in .cache/image-test; the real base is Python's own image,
which deploy/Containerfile names. Every line that begins with `ok` is a check that held; the first one that does not
ends the script with exit code 1.
"""

import ast
import contextlib
import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from keywright import __version__
from keywright.dev.issuer import DevIssuer

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "image-test"
BASE, IMAGE = "localhost/keywright-test-base:trixie", f"localhost/keywright-test:{__version__}"
PROGRAMS = ("buildah", "podman", "debootstrap", "crun", "runc")
# What is expected of any engine: nothing is written but to volumes, and no right is left.
HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp:mode=1777",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--network=host",
)
# Without a shell, any step that needed one would fail.
NO_SHELL = tuple(f"--volume=/dev/null:/usr/bin/{shell}:ro" for shell in ("dash", "bash"))
# Options of podman, and of its `run`: from the usual to what a machine allows that is itself confined. There the limits
# of resources cannot be raised, and only runc knows control groups of both versions at once.
LOW_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
Way = tuple[tuple[str, ...], tuple[str, ...]]
WAYS: tuple[Way, ...] = (((), ()), ((), LOW_LIMITS), (("--runtime=runc",), LOW_LIMITS))
# PR_SET_MDWE of Linux 6.3: what `MemoryDenyWriteExecute` of systemd does by a filter.
UNDER_MDWE = """
import ctypes, os
done = ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
print("memory that is written is never executed" if done == 0 else "this kernel has no PR_SET_MDWE", flush=True)
os.execv("/opt/keywright/bin/keywright", ["keywright", "serve"])
"""
PATIENCE_SECONDS = 60
KEYS = "/api/v2/api-keys"


class Failed(Exception):
    """A check does not hold; the message says which."""


def call(*command: str | Path, given: str | None = None, fails: bool = False) -> str:
    """Run a program, and give what it prints."""
    done = subprocess.run(  # noqa: S603 - programs and arguments of our own
        [str(word) for word in command], input=given, capture_output=True, text=True, check=False
    )
    if (done.returncode != 0) is not fails:
        raise Failed(f"{' '.join(map(str, command[:4]))} … ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stderr if fails else done.stdout


def storage(program: str) -> tuple[str, ...]:
    """Give the beginning of a command whose images and containers are apart from the machine's own."""
    return (program, f"--root={CACHE / 'storage'}", f"--runroot={CACHE / 'run'}")


def buildah(*arguments: str | Path, **options: Any) -> str:
    """Run buildah."""
    return call(*storage("buildah"), *arguments, **options)


def podman(*arguments: str | Path, **options: Any) -> str:
    """Run podman."""
    # Without a word about systemd, whose timers would ask for the health of containers.
    of_podman = ("--cgroup-manager=cgroupfs", "--events-backend=none", "--log-level=fatal")
    return call(*storage("podman"), *of_podman, *arguments, **options)


def check(what: str, holds: object) -> None:
    """Print that a check holds, or fail."""
    if not holds:
        raise Failed(what)
    print(f"ok    {what}", flush=True)


def note(what: str) -> None:
    """Print something that is no check."""
    print(f"      {what}", flush=True)


# Building


def install_what_is_missing() -> None:
    """Install the programs as Debian packages."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        raise Failed("this needs root: debootstrap makes devices, and containers get an image of this machine's own")
    if missing and shutil.which("apt-get") is None:
        raise Failed(f"{', '.join(missing)} are missing, and there is no apt-get")
    if missing:
        call("apt-get", "--quiet", "update")
        call("apt-get", "--quiet", "--yes", "install", "--no-install-recommends", *missing)


def make_base() -> None:
    """Make the base image, unless it is there."""
    if BASE in buildah("images", "--format={{.Name}}:{{.Tag}}").split():
        return
    folder = CACHE / "trixie"
    shutil.rmtree(folder, ignore_errors=True)
    packages = "python3,python3-venv,ca-certificates"
    call("debootstrap", "--variant=minbase", f"--include={packages}", "trixie", folder, mirror())
    container = buildah("from", "scratch").strip()
    buildah("copy", "--quiet", container, folder, "/")
    buildah("commit", "--quiet", container, BASE)
    buildah("rm", container)
    shutil.rmtree(folder)


def mirror() -> str:
    """Give the address from which this machine has its own packages."""
    uris = call("apt-get", "indextargets", "--format=$(REPO_URI)").split()
    own = [uri for uri in uris if "security" not in uri]
    if not own:
        raise Failed("apt-get knows no source of packages: run apt-get update")
    return own[0]


def pip_configuration() -> str:
    """Give this machine's settings of pip as a file: variables of the environment do not get into a build."""
    lines = call(sys.executable, "-m", "pip", "config", "list").splitlines()
    settings = {key.rpartition(".")[2]: ast.literal_eval(value) for key, _, value in (x.partition("=") for x in lines)}
    kept = ("index-url", "extra-index-url", "cert", "trusted-host", "proxy", "timeout")
    return "[global]\n" + "".join(f"{key} = {settings[key]}\n" for key in kept if key in settings)


def build() -> str:
    """Build the image as docs/operate/containers.md says, but for the base, and give what was printed."""
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
        configuration.write(pip_configuration())
        configuration.flush()
        volumes = [f"--volume={configuration.name}:/etc/pip.conf:ro", f"--volume={certificates}:{certificates}:ro"]
        options = ["--format=docker", "--isolation=chroot", "--network=host", "--no-cache", f"--build-arg=BASE={BASE}"]
        file = f"--file={ROOT / 'deploy' / 'Containerfile'}"
        return buildah("build", *options, *volumes, f"--tag={IMAGE}", file, ROOT)


def check_configuration() -> None:
    """Check what the image says of itself."""
    found = json.loads(buildah("inspect", "--type=image", IMAGE))["Docker"]["config"]
    check("it runs as 10001:10001", found["User"] == "10001:10001")
    check("it starts `keywright serve`", (found["Entrypoint"], found["Cmd"]) == (["keywright"], ["serve"]))
    check("its health is asked without a shell", found["Healthcheck"]["Test"] == ["CMD", "keywright", "healthcheck"])
    labels = found["Labels"]
    check(f"its version is {__version__}", labels["org.opencontainers.image.version"] == __version__)
    licences = "Apache-2.0 AND BSD-3-Clause AND MIT"
    check("it names its licence and its base", labels["org.opencontainers.image.licenses"] == licences)
    check("it opens 8080, 8089 and 9464", set(found["ExposedPorts"]) == {"8080/tcp", "8089/tcp", "9464/tcp"})
    size = json.loads(podman("image", "inspect", IMAGE))[0]["Size"]
    base = json.loads(podman("image", "inspect", BASE))[0]["Size"]
    note(f"{(size - base) / 2**20:.0f} MiB over a base of {base / 2**20:.0f} MiB")


# Running


def find_way() -> Way:
    """Give the options with which this machine runs a container at all; the first that work."""
    for way in WAYS:
        try:
            podman(*way[0], "run", "--rm", *way[1], *HARDENED, *NO_SHELL, IMAGE, "--version")
        except Failed as failure:
            note(f"not with podman {shown(way)}: {str(failure).strip().splitlines()[-1]}")
        else:
            return way
    raise Failed("podman runs no container on this machine")


def shown(way: Way) -> str:
    """Give the options as they are typed."""
    return " ".join((*way[0], "run", *way[1]))


class Container:
    """A container of the image, hardened and without a shell."""

    def __init__(self, way: Way, *words: str, volume: Path, more: tuple[str, ...] = (), **settings: str) -> None:
        env = [f"--env=KEYWRIGHT_{name.upper()}={value}" for name, value in settings.items()]
        options = ["--detach", "--stop-timeout=30", f"--volume={volume}:/var/lib/keywright"]
        self.id = podman(*way[0], "run", *options, *way[1], *HARDENED, *NO_SHELL, *more, *env, IMAGE, *words).strip()

    def execute(self, *words: str, **options: Any) -> str:
        """Run a program in the container."""
        return podman("exec", self.id, *words, **options)

    def python(self, code: str) -> str:
        """Run Python in the container."""
        return self.execute("/opt/keywright/bin/python", "-c", code).strip()

    def status(self) -> dict[str, str]:
        """Read what the kernel says of its first process."""
        return dict(re.findall(r"^(\w+):\s*(\S+)", self.python("print(open('/proc/1/status').read())"), re.MULTILINE))

    def log(self) -> list[dict[str, Any]]:
        """Read the log lines so far."""
        done = subprocess.run(  # noqa: S603 - as in `call`
            [*storage("podman"), "logs", self.id],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def await_ready(self) -> dict[str, Any]:
        """Wait until the health check says that it is ready, and give the log line of its start."""
        eventually(lambda: "ok" in self.execute("keywright", "healthcheck", "--ready"))
        return next(line for line in self.log() if line["event"] == "ready")

    def stop(self) -> int:
        """Stop it, and give its exit code."""
        podman("stop", self.id)
        return int(podman("inspect", "--format={{.State.ExitCode}}", self.id))


@contextlib.contextmanager
def running(*arguments: Any, **options: Any) -> Iterator[Container]:
    """Run a container for as long as the block lasts; print its log if the block fails."""
    container = Container(*arguments, **options)
    try:
        yield container
    except BaseException:
        for line in container.log():
            note(str(line))
        raise
    finally:
        podman("rm", "--force", "--time=0", container.id)


def eventually(happens: Callable[[], object]) -> None:
    """Wait until something is true and does not fail."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if happens():
                return
        except (Failed, httpx.HTTPError) as failure:
            if time.monotonic() > deadline:
                raise Failed(f"it did not happen within {PATIENCE_SECONDS} s: {failure}") from None
        if time.monotonic() > deadline:
            raise Failed(f"it did not happen within {PATIENCE_SECONDS} s")
        time.sleep(0.1)


def check_confinement(service: Container) -> None:
    """Check what the process in the container cannot do."""
    ids = "import os; print(os.getuid(), os.getgid(), os.getgroups())"
    check("nothing in it is root", re.match(r"10001 10001 \[(10001)?\]", service.python(ids)))
    attempts = "import os; print([p for p in ('/', '/opt/keywright', '/etc', '/usr/bin') if os.access(p, os.W_OK)])"
    check("its root, its programs and its settings are read-only", service.python(attempts) == "[]")
    status = service.status()
    check("it has no capabilities", int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0)
    check("it gets no new ones", status["NoNewPrivs"] == "1")


def check_use(issuer: DevIssuer, service: Container, way: Way, address: str, folder: Path) -> None:
    """Create, check and revoke a key with a service and an agent in containers."""
    credential = json.loads(service.execute("keywright", "verifiers", "create", "agent", "--json"))["credential"]
    token = issuer.token("acme")
    listens = "unix:/var/lib/keywright/agent.sock"
    agent_settings = {"url": address, "verifier": credential, "agent_listen": listens}
    with running(way, "agent", volume=folder / "agent", **agent_settings) as agent:
        started = agent.await_ready()
        check("an agent in a container is ready on a Unix socket", started["url"] == listens)
        note(f"its start took {started['seconds']} s, its memory is {int(agent.status()['VmRSS']) / 1024:.0f} MiB")
        transport = httpx.HTTPTransport(uds=str(folder / "agent" / "agent.sock"))
        with (
            httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as people,
            httpx.Client(base_url="http://agent", transport=transport) as server,
        ):
            made = people.post(KEYS, json={"name": "image test"}).raise_for_status().json()

            def code() -> object:
                answer = server.post(f"{KEYS}/verify", json={"key": made["private_key"]})
                return answer.json()["code"] if answer.status_code == 200 else answer.status_code

            check("a key that the service created is valid at the agent", code() == "valid")
            people.put(f"{KEYS}/{made['id']}/revoke", json={"reason": "key_compromise"}).raise_for_status()
            eventually(lambda: code() == "revoked")
            check("a key that was revoked is refused at the agent", code() == "revoked")
        check("an agent that is stopped ends with 0", agent.stop() == 0)


def confinement_of(unit: str) -> dict[str, Any]:
    """Give what a unit of systemd allows of the kernel as a profile of containers."""
    text = (ROOT / "deploy" / "systemd" / unit).read_text()
    allowed: set[str] = members("@default")
    for listed in re.findall(r"^SystemCallFilter=(.+)$", text, re.MULTILINE):
        calls = set().union(*(members(group) for group in listed.removeprefix("~").split()))
        allowed = allowed - calls if listed.startswith("~") else allowed | calls
    (families,) = re.findall(r"^RestrictAddressFamilies=(.+)$", text, re.MULTILINE)
    rules: list[dict[str, Any]] = [{"names": sorted(allowed - {"socket"}), "action": "SCMP_ACT_ALLOW"}]
    for family in families.split():
        argument = {"index": 0, "value": int(getattr(socket, family)), "op": "SCMP_CMP_EQ"}
        rules.append({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [argument]})
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.EPERM, "syscalls": rules}


def members(group: str) -> set[str]:
    """Give the system calls of a group as systemd knows it, and of the groups in it."""
    if not group.startswith("@"):
        return {group}
    lines = call("systemd-analyze", "syscall-filter", group).splitlines()[1:]
    inside = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*(members(each) for each in inside))


def check_unit(issuer: DevIssuer, way: Way, folder: Path) -> None:
    """Start the service with the system calls, the sockets and the memory that its unit for systemd allows."""
    if shutil.which("systemd-analyze") is None:
        note("systemd-analyze is not here, so the rights of the units are not tried")
        return
    profile = folder / "seccomp.json"
    profile.write_text(json.dumps(confinement_of("keywright.service")))
    settings = {"issuer": issuer.url, "audience": issuer.audience, "port": "18080", "metrics": "127.0.0.1:19464"}
    confined = (f"--security-opt=seccomp={profile}", "--entrypoint=/opt/keywright/bin/python")
    with running(way, "-c", UNDER_MDWE, volume=folder / "service", more=confined, **settings) as service:
        service.await_ready()
        refused = "import socket\ntry: socket.socket(socket.AF_NETLINK)\nexcept PermissionError: print('refused')"
        check("with the rights of its unit the service is ready", service.python(refused) == "refused")
        check("with the rights of its unit it ends with 0", service.stop() == 0)


def run_image() -> None:
    """Run the image, and check it."""
    way = find_way()
    note(f"containers run with: podman {shown(way)} {' '.join(HARDENED)}, without a shell")
    with DevIssuer() as issuer, tempfile.TemporaryDirectory(prefix="kw-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for volume in ("service", "agent"):
            (folder / volume).mkdir(mode=0o700)
            os.chown(folder / volume, 10001, 10001)
        settings = {
            "issuer": issuer.url,
            "audience": issuer.audience,
            "port": "18080",
            "metrics": "off",
            "workers": "2",
        }
        with running(way, volume=folder / "service", **settings) as service:
            service.await_ready()
            check("a service with two workers is ready, by its own health check, on SQLite in a volume", True)
            podman("healthcheck", "run", service.id)
            check("podman's own run of the health check says the same", True)
            check_confinement(service)
            check_use(issuer, service, way, "http://127.0.0.1:18080", folder)
            check("a service that is stopped ends with 0", service.stop() == 0)
        check_unit(issuer, way, folder)
        failed = podman(*way[0], "run", "--rm", *way[1], *HARDENED, *NO_SHELL, IMAGE, fails=True)
        check("without its settings it ends with one sentence", "KEYWRIGHT_AUDIENCE is required: " in failed)


def main() -> int:
    """Build the image, and run it; print what holds."""
    try:
        install_what_is_missing()
        CACHE.mkdir(parents=True, exist_ok=True)
        make_base()
        began = time.monotonic()
        build()
        note(f"built in {time.monotonic() - began:.0f} s")
        check_configuration()
        run_image()
    except Failed as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
