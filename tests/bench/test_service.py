"""The services that the benchmark starts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import Server
from bench.service import Tree

NOBODY: Any = None


class NoServer(Server):
    """A server without a process."""

    def resume(self) -> None:
        pass


@dataclass
class Recorded(Tree):
    """A tree whose services are not started."""

    starts: list[Mapping[str, str]] = field(default_factory=list)

    @contextmanager
    def service(self, place: str, *, cores: Sequence[int] = (), workers: str = "1", **more: str) -> Iterator[Server]:
        self.starts.append(more)
        yield NoServer("http://localhost", NOBODY)


def test_a_restarted_service_is_cold(tmp_path: Path) -> None:
    """Where a first sight is measured, the service caches no key by itself before; elsewhere it has its default."""
    tree = Recorded("tree", tmp_path, NOBODY, NOBODY, NOBODY)
    tree.running("sqlite")
    tree.restart("sqlite")
    tree.running("sqlite")
    tree.close()
    assert tree.starts == [{}, {"warm_keys": "0"}]
