"""The verifier with threads in processes that fork, and that end without closing it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.fake_service import ACK, FEED, PATIENCE_SECONDS, VERIFY, FakeService

BEGINNING = """
import os, sys, threading, time
from keywright.client import Timing, Verifier
from tests.client.fake_service import PATIENCE_SECONDS, eventually
url, credential, key = sys.argv[1:]
# On a busy machine an answer may take longer than users wait for it, and what is logged of that is a failure here.
patient = dict.fromkeys(("answer", "connection", "silence"), PATIENCE_SECONDS)
verifier = Verifier(url, credential, timing=Timing(first_pause=0.005, **patient))

def child(what):
    started = os.fork()
    if started == 0:
        code = 1
        try:
            what()
            code = 0
        finally:
            if code:
                sys.excepthook(*sys.exc_info())
            os._exit(code)
    return started

def ended(started):
    assert os.waitstatus_to_exitcode(os.waitpid(started, 0)[1]) == 0
"""


def run(script: str, fake: FakeService, key: str) -> None:
    """Run a script to its end; whatever it writes to standard error, a warning too, is a failure."""
    root = Path(__file__).parents[2]
    # Newer Pythons warn of any fork in a process with threads; that it works all the same is what is tested.
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    process = subprocess.Popen(
        [sys.executable, *warnings, "-c", BEGINNING + script, fake.url, fake.credential, key],
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            _, told = process.communicate(timeout=3 * PATIENCE_SECONDS)
        except BaseException:
            # Its children have the pipe, too. Whatever is left open is complained of in a test that runs later.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert told == ""
    assert process.returncode == 0


@pytest.fixture
def key(fake: FakeService) -> str:
    return fake.create()


def test_fork(fake: FakeService, key: str) -> None:
    """A forked child begins with an empty memory and a session of its own; the parent's goes on as it was."""
    run(
        """
verifier.start()
eventually(lambda: verifier.following)
assert verifier.verify(key) and verifier.verify_now(key)

def look():
    assert not verifier.following
    assert verifier.verify_now(key) is None
    assert verifier.verify(key)
    eventually(lambda: verifier.following)
    assert verifier.verify(key) and verifier.verify_now(key)
    verifier.close()

for _ in range(2):
    ended(child(look))
    assert verifier.verify_now(key), "the parent lost what it knew"
time.sleep(1.2)
assert verifier.verify_now(key), "the parent lost its feed"
verifier.close()
""",
        fake,
        key,
    )
    sessions = [seen.query["session"] for seen in fake.asked(FEED)]
    assert len(sessions) == len(set(sessions)) == 3
    assert {seen.body["session"] for seen in fake.asked(ACK) if seen.body.get("closed")} == set(sessions)
    assert len({seen.query["name"] for seen in fake.asked(FEED)}) == 3
    # By parent and child, while it was begun and once the feed was followed.
    assert len(fake.asked(VERIFY)) >= 3


def test_fork_before_the_first_use(fake: FakeService, key: str) -> None:
    """A verifier that was made before a fork, as by a server that loads its application first, starts in each child."""
    run(
        "for started in [child(lambda: verifier.verify(key).valid or os._exit(3)) for _ in range(3)]: ended(started)",
        fake,
        key,
    )
    assert len({seen.query["session"] for seen in fake.asked(FEED)}) == 3


def test_fork_in_the_middle_of_a_start(fake: FakeService, key: str) -> None:
    """A child that is forked at any moment of its parent's start starts its own verifier: nothing is half imported."""
    run(
        """
started = []
verifier.start()
for pause in (0, 0, 0.01, 0.02, 0.03, 0.04):
    time.sleep(pause)
    started.append(child(lambda: verifier.verify(key).valid or os._exit(3)))
for each in started:
    ended(each)
""",
        fake,
        key,
    )


def test_fork_in_the_middle_of_a_step(fake: FakeService, key: str) -> None:
    """A fork waits for what the verifier's thread is doing, so that nothing it has locked stays locked in the child."""
    run(
        """
verifier.start()
locked, lock = threading.Event(), threading.Lock()

def step():
    with lock:
        locked.set()
        time.sleep(0.2)

verifier._background._session.result().loop.call_soon_threadsafe(step)
locked.wait()
ended(child(lambda: lock.acquire(timeout=PATIENCE_SECONDS) or os._exit(3)))
verifier.close()
""",
        fake,
        key,
    )


def test_fork_while_threads_check(fake: FakeService, key: str) -> None:
    """No lock that another thread had during the fork stops the child."""
    run(
        """
verifier.start()
eventually(lambda: verifier.following)
stop = threading.Event()

def check():
    while not stop.is_set():
        verifier.verify(key)

threads = [threading.Thread(target=check) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(10):
    ended(child(lambda: verifier.verify(key).valid or os._exit(3)))
stop.set()
for thread in threads:
    thread.join()
verifier.close()
""",
        fake,
        key,
    )


def test_closed_stays_closed_in_a_child(fake: FakeService, key: str) -> None:
    """A verifier that was closed before a fork is closed in the child, too."""
    run(
        """
from keywright.client import ServiceUnavailable
verifier.start()
verifier.close()

def look():
    try:
        verifier.verify(key)
    except ServiceUnavailable:
        return
    raise AssertionError("it answered")

ended(child(look))
""",
        fake,
        key,
    )


def test_an_end_without_closing(fake: FakeService, key: str) -> None:
    """A process that ends without closing the verifier ends at once, and still reports what was used."""
    run(
        """
verifier.start()
eventually(lambda: verifier.following)
for _ in range(3):
    assert verifier.verify(key)
""",
        fake,
        key,
    )
    assert sum(seen["count"] for seen in fake.sightings) == 3
    assert fake.asked(ACK)[-1].body["closed"] is True


def test_a_forgotten_verifier_is_collected(fake: FakeService, key: str) -> None:
    """A verifier that was never started leaves nothing behind."""
    run(
        """
import gc, weakref
gone = weakref.ref(verifier)
del verifier
gc.collect()
assert gone() is None
assert threading.active_count() == 1
""",
        fake,
        key,
    )


def test_interrupted_while_waiting(fake: FakeService, key: str) -> None:
    """Ctrl-C ends a thread that waits for an answer, and the verifier goes on."""
    with fake.held(VERIFY):
        run(
            """
import signal
verifier.start()
eventually(lambda: verifier.following)
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    verifier.verify(key)
except KeyboardInterrupt:
    assert verifier.following
else:
    raise AssertionError("it was not interrupted")
""",
            fake,
            key,
        )
