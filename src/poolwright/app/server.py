"""``poolwright up``: open the data directory, serve until a signal, close cleanly."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from poolwright.app import idle_loop
from poolwright.app.certificates import (
    Certificates,
    ensure_certificates,
    ensure_signing_key,
    given_certificates,
    write_file,
)
from poolwright.app.composition import Product
from poolwright.app.data_directory import DataDirectory, client_environment
from poolwright.app.header_deadline import TimelyHttpProtocol
from poolwright.app.last_answer import LastAnswer
from poolwright.app.outside import Outside
from poolwright.app.real_clock import RealClock
from poolwright.app.real_identity import RealIdentity
from poolwright.app.refusal import refusal
from poolwright.app.refused_socket import RefusableWebSocketProtocol
from poolwright.app.renewal import Renewal
from poolwright.app.settings import (
    ClusterToAdopt,
    ServerSettings,
    Settings,
    SettingsError,
    load_settings,
)
from poolwright.app.shared_keys import share_keys
from poolwright.app.shared_world import world_position
from poolwright.arm.managed_identity import ManagedIdentityApp
from poolwright.arm.tokens import TokenKeys
from poolwright.model.errors import Conflict, PoolwrightError
from poolwright.store import ScopedStore, SqlStore
from poolwright.telemetry.logs import configure_logs

_NAMES = ("localhost", "127.0.0.1", "::1")
_CLOSE_SECONDS = 1
"""How long open requests may take to end after a signal; what still goes on is cut then."""
_THREADS = 16
"""For calls to PostgreSQL: more than its connections, so that whoever waits for one is told so."""
_DEVELOPMENT_SECRET = "development"


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us: several servers run in one process."""

    def __init__(self, config: uvicorn.Config, end_watches: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_watches = end_watches

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close well. Watches end once no connection takes a further request: a client would
        watch again at once.
        """
        asyncio.get_running_loop().call_soon(self._end_watches)
        await super().shutdown(sockets)

    def install_signal_handlers(self) -> None:
        """Nothing: `_serve` waits for the signals."""

    def capture_signals(self) -> Any:
        """Nothing, for newer versions."""
        return _Quiet()


class _Quiet:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets on every address of the host, all on one port.

    Raises:
        SettingsError: the address cannot be had.
    """
    sockets: list[socket.socket] = []
    try:
        for family, kind, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            if family not in {socket.AF_INET, socket.AF_INET6}:
                continue
            # By its protocol asyncio knows TCP, and only then switches Nagle's algorithm off: with
            # it, an answer's body would wait 40 ms for the acknowledgement of its headers.
            one = socket.socket(family, kind, socket.IPPROTO_TCP)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            wanted = sockets[0].getsockname()[1] if sockets else port
            try:
                one.bind((address[0], wanted))
            except OSError:
                one.close()
                if sockets:  # the other address family of localhost is not configured
                    continue
                raise
            sockets.append(one)
    except OSError as error:
        for one in sockets:
            one.close()
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sockets


def _uvicorn(
    app: Any, certificates: Certificates | None, end_watches: Callable[[], None] = lambda: None
) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=TimelyHttpProtocol,
            ws=RefusableWebSocketProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody may say in a header where a request came from
            timeout_graceful_shutdown=_CLOSE_SECONDS,
            timeout_keep_alive=75,
            ssl_certfile=certificates and certificates.certificate,
            ssl_keyfile=certificates and certificates.key,
        ),
        end_watches,
    )


def _world_seed(settings: Settings, directory: DataDirectory) -> str:
    """The world's seed: the setting, or one drawn once for the data directory."""
    if settings.world.seed:
        return settings.world.seed
    path = directory.root / "world.seed"
    if not path.exists():
        write_file(path, secrets.token_hex(8).encode())
    return path.read_text().strip()


def _announce(
    directory: DataDirectory,
    endpoint: str,
    environment: Mapping[str, str],
    adopted: Sequence[ClusterToAdopt],
) -> None:
    """Lines to paste; the first is for programs that wait for it."""
    group, cluster = "GROUP", "CLUSTER"
    first = f"""poolwright group create -n {group} -l eastus
  poolwright aks create -g {group} -n {cluster}"""
    if adopted:
        group, cluster = adopted[0].resource_group, adopted[0].cluster_name
        first = f"poolwright aks nodepool list -g {group} --cluster-name {cluster}"
    sys.stdout.write(
        f"""ready {endpoint}

  source {directory.environment}

  # az
  az cloud register -n Poolwright --endpoint-resource-manager {endpoint}
  az cloud set -n Poolwright
  az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant adfs

  # Python SDK
  ContainerServiceClient(DefaultAzureCredential(), "{environment["AZURE_SUBSCRIPTION_ID"]}",
      base_url="{endpoint}", credential_scopes=["{endpoint}/.default"])

  # kubectl
  az aks get-credentials -g {group} -n {cluster} && kubectl get nodes

  # without az
  {first}
"""
    )
    sys.stdout.flush()


def _on_signal() -> asyncio.Event:
    """What is set when somebody wants us to end; from now on a signal does nothing else."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    return stop


async def _until_end(store: ScopedStore, stop: asyncio.Event) -> None:
    """Wait for a signal, or for the store to end."""
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_pass_on(store.ended, stop))
        await stop.wait()
        watching.cancel()


async def _pass_on(event: asyncio.Event, to: asyncio.Event) -> None:
    await event.wait()
    to.set()


def _certificates(server: ServerSettings, directory: DataDirectory) -> Certificates:
    """What to serve with: the pair that was given, or one of our own CA."""
    if server.tls_certificate:
        certificate, key = Path(server.tls_certificate), Path(server.tls_key)
        ca = Path(server.tls_ca or server.tls_certificate)
        return given_certificates(directory.root, certificate, key, ca)
    own = (*_NAMES, *server.names)
    return ensure_certificates(
        directory.root, own if server.is_loopback else (server.host, *server.names, *_NAMES)
    )


def _token_keys(server: ServerSettings, directory: DataDirectory) -> TokenKeys:
    """What signs access tokens: the keys that were given, or one of our own."""
    if not server.token_keys:
        return TokenKeys.from_pem(ensure_signing_key(directory.root))
    try:
        return TokenKeys.from_pem(*(Path(name).read_bytes() for name in server.token_keys))
    except (ValueError, TypeError) as error:  # TypeError: the key is encrypted
        raise SettingsError(f"server.token_keys: {error}") from error


async def _serve(settings: Settings, directory: DataDirectory) -> None:
    server, identity = settings.server, RealIdentity()
    clock = RealClock(settings.world.speed, directory.clock)
    holder = f"{socket.gethostname()}/{os.getpid()}/{identity.suffix(5)}"
    store = SqlStore.open(server.store or directory.store, clock=clock, migrates=server.migrates)
    try:
        await store.claim(holder, alone=settings.arm.makes_clusters)
        if server.store:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
            await share_keys(store, directory.root, clock, identity)
            if not settings.arm.makes_clusters:
                begin = await world_position(store, clock, identity)
                clock = RealClock(settings.world.speed, begin=begin)
        certificates, keys = _certificates(server, directory), _token_keys(server, directory)
        sockets = _listen(server.host, server.port)
        shown = "localhost" if server.is_loopback else server.host
        endpoint = f"https://{shown}:{sockets[0].getsockname()[1]}"
        product = Product(
            Outside(
                store=store,
                clock=clock,
                identity=identity,
                rng=random.Random(_world_seed(settings, directory)),
                keys=keys,
                ca_pem=certificates.ca.read_bytes(),
                endpoint=endpoint,
                holder=holder,
            ),
            settings,
        )
        await product.prepare()
        msi = ManagedIdentityApp(product.context, keys, base_url=endpoint)
        await _run(product, msi, store, settings, directory, certificates, sockets, endpoint)
        if store.ended.is_set():
            raise Conflict(store.ended_because)
    finally:
        await store.close()
        clock.close()


async def _run(
    product: Product,
    identity: ManagedIdentityApp,
    store: ScopedStore,
    settings: Settings,
    directory: DataDirectory,
    certificates: Certificates,
    sockets: list[socket.socket],
    endpoint: str,
) -> None:
    server = _uvicorn(LastAnswer(product), certificates, product.ground.end_watches)
    servers = [server]
    environment = client_environment(
        directory,
        endpoint=endpoint,
        subscription=settings.arm.subscriptions[0].id,
        secret=_DEVELOPMENT_SECRET if settings.arm.is_development else "",
        bundle=certificates.bundle,
    )
    identity_sockets: list[socket.socket] = []
    if settings.server.is_loopback:
        identity_sockets = _listen("127.0.0.1", settings.server.identity_port)
        port = identity_sockets[0].getsockname()[1]
        environment["POOLWRIGHT_IDENTITY_ENDPOINT"] = f"http://127.0.0.1:{port}"
    directory.write_environment(environment)
    async with asyncio.TaskGroup() as group:
        behind = group.create_task(product.run())
        serving = [group.create_task(server.serve(sockets))]
        if identity_sockets:
            servers.append(_uvicorn(identity, None))
            serving.append(group.create_task(servers[-1].serve(identity_sockets)))
        while not all(each.started for each in servers):  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.005)
        assert server.config.ssl is not None
        renewing = group.create_task(Renewal(server.config.ssl, certificates).run())
        stop = _on_signal()  # before anybody is told that we are ready
        product.health.serve()
        _announce(directory, endpoint, environment, settings.adopt.wanted)
        await _until_end(store, stop)
        product.health.drain()
        await asyncio.sleep(settings.server.drain.total_seconds())
        for each in servers:
            each.should_exit = True
        await asyncio.wait(serving)
        renewing.cancel()
        behind.cancel()


def _spare_the_collector() -> None:
    """Most of what a server makes is freed without the cycle collector, and what stays are many
    thousands of objects: with Python's defaults a sixth of bringing up nodes went to looking at
    them again and again.
    """
    gc.collect()
    gc.freeze()  # modules and classes stay anyway
    gc.set_threshold(50_000, 20, 100)


def serve(config: Path | None, options: Mapping[str, Any]) -> None:
    """Serve until SIGTERM or Ctrl-C, by a file and options (dotted paths, as `load_settings`); a
    reason not to start is one line and exit code 1.
    """
    try:
        settings = load_settings(config, os.environ, options)
        configure_logs(settings.log)
        directory = DataDirectory.open(Path(settings.server.data_dir))
        _spare_the_collector()
        idle_loop.run(_serve(settings, directory))
    except (SettingsError, PoolwrightError, OSError) as error:
        sys.stderr.write(f"poolwright: {refusal(error)}\n")
        sys.exit(1)
