"""The processes that are measured: an origin, nginx and Headroom before it, on free loopback ports.

Everything they write goes to one temporary directory, and all of them end with the `with` block.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"
REPOSITORY: Final = Path(__file__).resolve().parent.parent
START_DEADLINE: Final = 20.0  # seconds
STOP_DEADLINE: Final = 5.0  # seconds from SIGTERM to SIGKILL
_POLL: Final = 0.001  # seconds between two looks at /livez


class NotStarted(Exception):
    """A process ended, or did not answer GET /livez in time; carries the end of what it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running process and its children; `ready` is the seconds from its start to its first 200 on /livez."""

    name: str
    port: int
    ready: float
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        """The process and all that descend from it."""
        return list(_family(self.process.pid))

    def cpu_ns(self) -> int:
        """Nanoseconds on a CPU so far, user and system, of all threads, ended ones too."""
        return sum(map(_cpu_clock_ns, self.pids()))

    def pin(self, cores: Collection[int]) -> None:
        """Let its main threads run on `cores` only."""
        for pid in self.pids():
            os.sched_setaffinity(pid, cores)

    def rss(self) -> int:
        """Resident bytes, summed over the processes: what they share is counted once for each."""
        return sum(_memory(pid, "Rss") for pid in self.pids())

    def pss(self) -> int:
        """Resident bytes, with what is shared divided among those that share it."""
        return sum(_memory(pid, "Pss") for pid in self.pids())


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))


def _cpu_clock_ns(pid: int) -> int:
    """Read the CPU clock of another process: clock_getcpuclockid(3) as the C library computes it.

    To the nanosecond, where /proc/PID/stat counts in hundredths of a second and schedstat forgets ended threads.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def _memory(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def is_listening(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def is_alive(port: int) -> bool:
    """Whether GET /livez is answered with 200."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(f"GET /livez HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to start a server, and how to see that it has."""

    name: str
    command: Sequence[str]
    port: int
    folder: Path
    cwd: Path = REPOSITORY
    ready: Callable[[int], bool] = is_alive

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Start it, wait until it is ready, end it and all its children with the block."""
        output = self.folder / f"{self.name}.out"
        with output.open("ab") as sink:
            begun = time.perf_counter()
            process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            while not self.ready(self.port):
                if process.poll() is not None or time.perf_counter() - begun > START_DEADLINE:
                    raise NotStarted(f"{' '.join(self.command)}\n{output.read_text(errors='replace')[-2000:]}")
                time.sleep(_POLL)
            yield Server(name=self.name, port=self.port, ready=time.perf_counter() - begun, process=process)
        finally:
            _end(process)


def _environment() -> dict[str, str]:
    """Ours, without what would configure the proxy behind the benchmark's back."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its session holds its children and nothing else


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a test authority and of a leaf that it signed for localhost and 127.0.0.1."""

    authority: Path
    leaf: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Make them with the openssl command; P-256, valid for two days."""
    made = Certificate(folder / "ca.pem", folder / "leaf.pem", folder / "leaf.key")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    authority_key = folder / "ca.key"
    _openssl("req", "-x509", *curve, "-subj", "/CN=Benchmark CA", "-addext", "keyUsage=critical,keyCertSign",
             "-keyout", authority_key, "-out", made.authority)  # fmt: skip
    _openssl("req", "-x509", *curve, "-subj", "/CN=localhost", "-CA", made.authority, "-CAkey", authority_key,
             "-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"subjectAltName=DNS:localhost,IP:{HOST}",
             "-keyout", made.key, "-out", made.leaf)  # fmt: skip
    return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def origin(folder: Path, certificate: Certificate | None) -> Plan:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.origin_server", "--host", HOST, "--port", str(port)]
    if certificate is not None:
        command += ["--certificate", str(certificate.leaf), "--key", str(certificate.key)]
    return Plan(name="origin", command=command, port=port, folder=folder, ready=is_listening)


def headroom(folder: Path, origin_port: int, certificate: Certificate | None, root: Path) -> Plan:
    """Headroom as the source tree `root` holds it: one worker, nothing rewritten, each request logged to a file."""
    port = free_port()
    upstream = f"{'http' if certificate is None else 'https'}://{HOST}:{origin_port}"
    command = [sys.executable, "-m", "headroom.serve", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--store", "memory", "--compression-mode", "off", "--log-file", str(folder / "headroom.log")]
    for provider in ("anthropic", "openai", "gemini"):
        command += [f"--{provider}-api-url", upstream]
    if certificate is not None:
        command += ["--ca-file", str(certificate.authority)]
    return Plan(name="headroom", command=command, port=port, folder=folder, cwd=root)


def nginx(folder: Path, origin_port: int, certificate: Certificate | None) -> Plan:
    """nginx as a plain reverse proxy: one worker, no buffering, a pool of upstream connections, each request logged."""
    port = free_port()
    scheme = "http" if certificate is None else "https"
    tls = "" if certificate is None else _NGINX_TLS.format(authority=certificate.authority)
    text = _NGINX.format(folder=folder, port=port, host=HOST, origin_port=origin_port, scheme=scheme, tls=tls)
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command = ["nginx", "-p", str(folder), "-c", str(configuration), "-e", str(folder / "nginx.err")]
    return Plan(name="nginx", command=command, port=port, folder=folder)


# Where the defaults would flatter Headroom they are changed. Without buffering nginx passes a response on in pieces of
# proxy_buffer_size and a request in pieces of client_body_buffer_size: 4 and 16 KiB make megabytes two to three
# times as expensive. Limits on requests per connection are lifted. TLS 1.3 upstream has to be named in nginx 1.22.
_NGINX: Final = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log {folder}/nginx.log;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    keepalive_requests 100000000;
    keepalive_timeout 3600s;
    upstream origin {{
        server {host}:{origin_port};
        keepalive 2048;
        keepalive_requests 100000000;
        keepalive_timeout 3600s;
    }}
    server {{
        listen {host}:{port} backlog=4096;
        client_max_body_size 0;
        location = /livez {{ return 200; }}
        location / {{
            proxy_pass {scheme}://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 64k;
            proxy_buffers 8 64k;
            client_body_buffer_size 256k;
            proxy_read_timeout 3600s;
            {tls}
        }}
    }}
}}
"""

_NGINX_TLS: Final = """
            proxy_ssl_session_reuse on;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
            proxy_ssl_trusted_certificate {authority};
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The two proxies before the same origin."""

    origin: Server
    nginx: Server
    headroom: Server

    @property
    def proxies(self) -> tuple[Server, Server]:
        return (self.nginx, self.headroom)

    @contextmanager
    def on_one_core(self) -> Iterator[None]:
        """Put all three, and this process, on one core, and back again afterwards."""
        cores = os.sched_getaffinity(0)
        everyone = (self.origin, self.nginx, self.headroom)
        for server in everyone:
            server.pin({min(cores)})
        os.sched_setaffinity(0, {min(cores)})
        try:
            yield
        finally:
            os.sched_setaffinity(0, cores)
            for server in everyone:
                server.pin(cores)

    @property
    def ports(self) -> dict[str, int]:
        """Of the two proxies, by name."""
        return {proxy.name: proxy.port for proxy in self.proxies}


@contextmanager
def fleet(root: Path, *, tls: bool = False) -> Iterator[Fleet]:
    """Start all three; with `tls`, both proxies verify the origin against the test authority."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        certificate = make_certificate(folder) if tls else None
        behind = stack.enter_context(origin(folder, certificate).running())
        yield Fleet(
            origin=behind,
            nginx=stack.enter_context(nginx(folder, behind.port, certificate).running()),
            headroom=stack.enter_context(headroom(folder, behind.port, certificate, root).running()),
        )


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary directory that nginx's worker, which drops its rights when started by root, may enter too."""
    with tempfile.TemporaryDirectory(prefix="headroom-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
