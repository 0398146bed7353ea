"""The supervisor of several worker processes: their start, replacement and end."""

import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable
from math import inf
from multiprocessing.process import BaseProcess

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from keywright.cli.server import metrics, service_manager
from keywright.cli.server.start import Start, StartClock

_SILENCE_SECONDS = 30
# The time of a worker's end beyond that of its requests in progress.
_ENDING_SECONDS = 5
# The pause between two checks of the workers, while one of them starts and otherwise.
_STARTING_PAUSE_SECONDS = 0.05
_PAUSE_SECONDS = 0.5
# A worker that dies at once is not replaced at once: repeated starts would use a whole core.
_SHORTEST_LIFE_SECONDS = 1


class Worker(Process):
    """
    A worker process, in its supervisor.

    Args:
        config: The server that it runs.
        sockets: The listening sockets, shared by all workers.
        clock: The times of its start.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], clock: StartClock) -> None:
        super().__init__(config, sockets)
        self.clock = clock
        self.is_up = False
        self._pinged_at: float | None = None

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Serve until SIGTERM; runs in the worker.

        uvicorn makes the server when it is first needed. Two threads of the worker need it at the same time: the main
        thread, and the one that answers the supervisor. Each could make one, and the supervisor would get
        the state of the one that never runs. Therefore the server is made before there is a second thread.
        """
        server = self.server
        supervisor = multiprocessing.parent_process()
        if supervisor is not None:
            arguments = (supervisor, server)
            threading.Thread(target=_end_after, args=arguments, daemon=True, name="supervisor watch").start()
        super().target(sockets)

    def look(self, now: float) -> None:
        """Read the answers to pings, and send a new ping after the last one. Does not block."""
        try:
            while self.parent_conn.poll():
                self.is_up = self.parent_conn.recv() or self.is_up
                self._pinged_at = None
            if self._pinged_at is None:
                self.parent_conn.send(b"ping")
                self._pinged_at = now
        except (OSError, EOFError, pickle.UnpicklingError):
            # It is dead, which its supervisor notices by `has_died`.
            return

    def is_silent(self, now: float) -> bool:
        """Return whether it has started, and has not answered a ping for 30 s."""
        return self.is_up and self._pinged_at is not None and now - self._pinged_at > _SILENCE_SECONDS

    def is_overdue(self, now: float) -> bool:
        """Return whether it has not started within its limit."""
        return not self.is_up and self.clock.is_over(now)

    def has_died(self, now: float) -> bool:
        """Return whether it is dead, and may be replaced now."""
        if self.process.is_alive():
            return False
        return self.is_up or self.exitcode == STARTUP_FAILURE or self.clock.age(now) >= _SHORTEST_LIFE_SECONDS

    def end(self, on_wait: Callable[[], object]) -> None:
        """
        Wait for its end after SIGTERM. Kill it after a while if it has not started: it may ignore the signal.

        Args:
            on_wait: Called twice a second.
        """
        most = (self.config.timeout_graceful_shutdown or 0) + _ENDING_SECONDS
        last = inf if self.is_up else time.monotonic() + most
        while self.process.is_alive() and (left := last - time.monotonic()) > 0:
            self.process.join(min(left, _PAUSE_SECONDS))
            on_wait()
        if self.process.is_alive():
            self.kill()
            self.process.join()


def _end_after(supervisor: BaseProcess, server: uvicorn.Server) -> None:
    supervisor.join()
    # A worker without its supervisor would keep the port from the next start.
    if not server.started:
        # It handles signals only after its start, and has no requests yet.
        os._exit(STARTUP_FAILURE)
    os.kill(os.getpid(), signal.SIGTERM)


class Supervisor(Multiprocess):
    """
    Runs workers, and replaces those that die, do not answer, or do not start.

    Args:
        config: The server and the number of workers.
        listener: The socket that they share.
        start: The start of the service, which is over when every worker answers. At its limit, the workers end.
        start_seconds: The limit for a worker that replaces another one.
        on_ready: Called once, when every worker answers.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        *,
        start: Start,
        start_seconds: float,
        on_ready: Callable[[], object],
    ) -> None:
        super().__init__(config, [listener])
        # Not at the top: prometheus_client may be imported only after `metrics.shared_folder`.
        from keywright import telemetry

        self.has_failed = False
        self._log = telemetry.Log("keywright.server")
        self._start = start
        self._start_seconds = start_seconds
        self._on_ready: Callable[[], object] | None = on_ready
        self._watchdog = service_manager.Watchdog()
        start.on_overdue = self._fail

    def run(self) -> None:
        """Run the workers until SIGTERM or SIGINT, or until one reports that it cannot start."""
        self.init_processes()
        while not self.should_exit.wait(_STARTING_PAUSE_SECONDS if self._starting() else _PAUSE_SECONDS):
            self.handle_signals()
            self.keep_subprocess_alive()
            self._watchdog.alive()
        service_manager.stopping()
        self._start.end()
        self.terminate_all()
        self.join_all()

    def init_processes(self) -> None:
        """Start the configured number of workers."""
        for _ in range(self.processes_num):
            self.processes.append(self._new_worker())
        self._name_those_starting()

    def keep_subprocess_alive(self) -> None:
        """Check every worker, replace the failed ones, and call `on_ready` once when all of them answer."""
        now = time.monotonic()
        for index, worker in enumerate(self._workers()):
            worker.look(now)
            trouble = self._trouble(worker, now)
            if trouble is not None and not self.should_exit.is_set():
                self._replace(index, worker, trouble)
        self._name_those_starting()
        if self._on_ready is None:
            for worker in self._starting():
                self._mention(worker, now)
        elif not self._starting() and not self.should_exit.is_set():
            self._on_ready()
            self._on_ready = None
            service_manager.ready()

    def restart_all(self) -> None:
        """Replace each worker: the new one answers before the old one ends. If a new one does not start, stop."""
        for index, former in enumerate(self._workers()):
            worker = self._new_worker()
            if not self._comes_up(worker):
                worker.kill()
                worker.join()
                if not self._is_to_end():
                    self._log.error("a worker did not come up; the restart is given up", worker=worker.pid)
                return
            former.terminate()
            former.end(self._watchdog.alive)
            metrics.forget(former.pid)
            self.processes[index] = worker

    def handle_ttin(self) -> None:
        """Add a worker."""
        self.processes_num += 1
        self.processes.append(self._new_worker())

    def terminate_all(self) -> None:
        """End the workers. New connections are refused, so that none waits for a worker that has ended."""
        for listener in self.sockets:
            listener.close()
        for worker in self._workers():
            if self.has_failed and not worker.is_up:
                worker.kill()
            else:
                worker.terminate()

    def join_all(self) -> None:
        """Wait until every worker has ended."""
        for worker in self._workers():
            worker.end(self._watchdog.alive)

    def _workers(self) -> list[Worker]:
        return [worker for worker in self.processes if isinstance(worker, Worker)]

    def _starting(self) -> list[Worker]:
        return [worker for worker in self._workers() if not worker.is_up]

    def _new_worker(self) -> Worker:
        worker = Worker(self.config, self.sockets, StartClock(time.monotonic(), self._start_seconds))
        worker.start()
        return worker

    def _trouble(self, worker: Worker, now: float) -> str | None:
        if worker.has_died(now):
            return "a worker died and was replaced"
        if worker.is_silent(now):
            return "a worker did not answer and was replaced"
        # Until the service is ready, the limit of its start applies.
        if self._on_ready is None and worker.is_overdue(now):
            return "a worker did not come up in time and was replaced"
        return None

    def _replace(self, index: int, worker: Worker, trouble: str) -> None:
        worker.kill()
        worker.join()
        metrics.forget(worker.pid)
        if worker.exitcode == STARTUP_FAILURE:
            # A new worker would fail in the same way.
            self._log.error("a worker failed to start; the service ends", worker=worker.pid)
            self._fail()
            return
        (self._log.warning if worker.is_up else self._log.error)(trouble, worker=worker.pid)
        self.processes[index] = self._new_worker()

    def _comes_up(self, worker: Worker) -> bool:
        while worker.process.is_alive() and not self._is_to_end():
            now = time.monotonic()
            worker.look(now)
            if worker.is_up or worker.is_overdue(now):
                break
            self._mention(worker, now)
            self._watchdog.alive()
            self.should_exit.wait(_STARTING_PAUSE_SECONDS)
        return worker.is_up

    def _is_to_end(self) -> bool:
        return self.should_exit.is_set() or not {signal.SIGTERM, signal.SIGINT}.isdisjoint(self.signal_queue)

    def _name_those_starting(self) -> None:
        if self._on_ready is not None:
            self._start.waits_for(*(f"worker {worker.pid}" for worker in self._starting()))

    def _mention(self, worker: Worker, now: float) -> None:
        seconds = worker.clock.seconds_to_mention(now)
        if seconds is not None:
            self._log.warning("still starting", waiting_for=[f"worker {worker.pid}"], seconds=seconds)

    def _fail(self) -> None:
        self.has_failed = True
        self.should_exit.set()
