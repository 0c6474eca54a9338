"""`python -m headroom.serve`: the composition root. Configuration, processes, signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

EX_CONFIG: Final = 78

try:
    import uvloop

    from headroom import __version__, edge, providers
    from headroom import config as settings
    from headroom.config import Config, ConfigError
    from headroom.edge import Edge, listen
    from headroom.events import Started, Stopped, WorkerEnded
    from headroom.logs import LogWriter
    from headroom.metrics import Board
except ImportError as missing:  # a native part that does not load must not look like a crash that a restart would mend
    sys.stderr.write(f"headroom: cannot start: {missing}; reinstall headroom for this Python and platform\n")
    raise SystemExit(EX_CONFIG) from missing

SWITCH_SECONDS: Final = 0.0005  # a pressing thread gives the event loop the interpreter this soon; the default is 5 ms
RESTART_SECONDS: Final = 1.0  # a worker that ends sooner than this after its start is replaced this much later


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Exits with 78 for configuration that cannot be used."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--help" in words or "-h" in words:
        sys.stdout.write(settings.usage("headroom serve"))
        return
    if "--version" in words:
        sys.stdout.write(f"headroom {__version__}\n")
        return
    try:
        config = settings.load(words, settings.environment())
        listener = listen(config)
    except ConfigError as error:
        settings.fail(error)
    _raise_file_limit()
    workers = config.whole("workers")
    if workers == 1:
        raise SystemExit(run(config, listener, Board(), 0))
    try:
        edge.check_files(config)
    except ConfigError as error:
        settings.fail(error)
    banner(config, listener.getsockname()[1])
    raise SystemExit(_Parent(config, listener, workers).run())


def banner(config: Config, port: int, trouble: str = "") -> None:
    """Say where it listens, what goes where, and what to set for each client; and the store's `trouble`, if any."""
    base = f"http://{_address(config, port)}"
    store = settings.without_password(config.text("store")) or str(settings.data_directory() / "headroom.db")
    lines = [f"headroom {__version__} listens on {base}", ""]
    for api, name in providers.APIS.items():
        origin = config.origin(name)
        if origin is not None:
            lines.append(f"  {api:<10} -> {origin}")
    lines += ["", f"  mode {config.text('compression_mode')}, decisions in {store}"]
    if trouble:
        lines.append(f"  which cannot be used: {trouble}. Until it can, results go as they came.")
    lines += ["", "Set for your client:"]
    lines += [f"  {client:<14} {line.format(base=base)}" for client, line in providers.CLIENT_LINES]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


def run(config: Config, listener: socket.socket, board: Board, worker: int, parent: int = -1) -> int:
    """Serve `listener` in this process until a signal, or until `parent`, a pipe's end, is closed at the other end.

    Returns the exit status.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_serve(config, listener, board, worker, parent))
        except ConfigError as error:
            settings.fail(error)


async def _serve(config: Config, listener: socket.socket, board: Board, worker: int, parent: int) -> int:
    served = Edge(config, board, worker)
    stop = asyncio.Event()
    signals: list[int] = []

    def on_signal(number: int) -> None:
        signals.append(number)
        if len(signals) > 1:  # asked twice: now
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    if parent >= 0:
        loop.add_reader(parent, stop.set)  # it never says anything: it is readable when the parent has gone
    await served.start(listener)
    if parent < 0:
        banner(config, served.port, served.ledger.trouble)
    served.sink(
        Started(
            version=__version__,
            address=_address(config, served.port),
            workers=config.whole("workers"),
            store=served.ledger.store.kind,
            mode=config.text("compression_mode"),
        )
    )
    await stop.wait()
    if parent >= 0:
        loop.remove_reader(parent)
    await served.drain()
    await served.close()
    return 0


def _address(config: Config, port: int) -> str:
    host = config.text("host")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Parent:
    """Forks the workers, replaces those that die, and passes signals on. It serves nothing itself.

    All workers accept from one socket that the parent keeps open, so no connection is refused while one is replaced.
    """

    def __init__(self, config: Config, listener: socket.socket, workers: int) -> None:
        self._config = config
        self._listener = listener
        self._board = Board(workers)
        self._pids: dict[int, tuple[int, float]] = {}
        self._workers = workers
        self._stopping = False
        # Workers hold the reading end; it reports the end of the parent, however that came about.
        self._life, self._held = os.pipe()

    def run(self) -> int:
        """Until every worker has ended after a signal. Returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for worker in range(self._workers):
            self._fork(worker)
        log = LogWriter("info", self._config.path("log_file"))
        outcome = 0
        while self._pids:
            try:
                pid, status = os.wait()
            except InterruptedError:
                continue
            worker, begun = self._pids.pop(pid, (-1, 0.0))
            if worker < 0:
                continue
            self._board.clear_gauges(worker)
            code = os.waitstatus_to_exitcode(status)
            if code == EX_CONFIG:
                outcome = EX_CONFIG
                self._stop(signal.SIGTERM)
            if not self._stopping:
                log.write_now(WorkerEnded(pid=pid, code=code))
                if time.monotonic() - begun < RESTART_SECONDS:
                    time.sleep(RESTART_SECONDS)
                if not self._stopping:
                    self._fork(worker)
        log.write_now(Stopped())
        return outcome

    def _fork(self, worker: int) -> None:
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            self._pids[pid] = (worker, time.monotonic())
            if self._stopping:  # the signal came while this worker was being made
                os.kill(pid, signal.SIGTERM)
            return
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._held)
            status = run(self._config, self._listener, self._board, worker, self._life)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        finally:
            os._exit(status)

    def _stop(self, number: int, frame: object = None) -> None:
        self._stopping = True
        self._listener.close()  # the workers have it too, and close theirs; nobody else is to accept
        for pid in list(self._pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _raise_file_limit() -> None:
    """A socket is a file: allow as many as the system lets this user have."""
    with contextlib.suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard == resource.RLIM_INFINITY or soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 20) if hard > 0 else 1 << 16, hard))


if __name__ == "__main__":
    main()
