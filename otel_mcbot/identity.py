"""Who is speaking: the attributes that spans, metrics and log records of one bot share, the same after every restart.

A new instance id at each start would begin every series anew and double each gauge for minutes, so the id is made once
and kept in the state directory. Two processes under one id would make every counter jump between two truths, so the id
is leased by a locked file: the kernel frees the lock whenever the process ends, however it ends.

Directory: ``<state_dir>/<service>/instance`` holds the id, ``<state_dir>/<service>/<instance>.lock`` is the lease, and
``<state_dir>/<service>/<instance>/`` is the instance's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otel_mcbot import semconv
from otel_mcbot.settings import Settings

try:
    import fcntl
except ImportError:  # no lock of this kind on this platform: the id is used without a lease
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("otel_mcbot")

MOST_INSTANCES: Final = 64
"""So many processes may share one id (``id``, ``id-2`` … ``id-64``); more go on without a lease."""


@dataclass(frozen=True)
class Identity:
    """A bot's names, and where its own files are.

    Attributes:
        instance_id: the id in use; ``wanted_id`` with ``-2``, ``-3`` … when that one is taken by a live process.
        wanted_id: the id that the settings or the state directory hold.
        directory: the instance's own directory, or ``None`` when the state directory cannot be written.
        problem: why there is no state or no lease, for people; ``None`` when all is well.
    """

    service_name: str
    service_namespace: str
    instance_id: str
    wanted_id: str
    mode: str
    version: str | None = None
    environment: str | None = None
    config_hash: str | None = None
    directory: Path | None = None
    problem: str | None = None

    def attributes(self) -> dict[str, str]:
        """The resource attributes; those that are unknown are left out."""
        known = {
            semconv.SERVICE_NAME: self.service_name,
            semconv.SERVICE_NAMESPACE: self.service_namespace,
            semconv.SERVICE_INSTANCE_ID: self.instance_id,
            semconv.SERVICE_VERSION: self.version,
            semconv.DEPLOYMENT_ENVIRONMENT: self.environment,
            semconv.TRADING_MODE: self.mode,
            semconv.CONFIG_HASH: self.config_hash,
        }
        return {key: value for key, value in known.items() if value}


class Lease:
    """A locked file. Held until :meth:`release`, or until the process is gone."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises ``BlockingIOError`` when a live process holds it, ``OSError`` when it cannot be had."""
        self.path = path
        # never removed: whoever held a removed file would share the id with whoever made the next one
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())
        except BaseException:
            self.forget()
            raise

    def release(self) -> None:
        """Give the id back. Idempotent."""
        if self._file >= 0 and fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Close without unlocking: in a forked child the lock is still the parent's."""
        file, self._file = self._file, -1
        if file >= 0:
            with contextlib.suppress(OSError):
                os.close(file)


def identify(settings: Settings, config: object = None, *, leased: bool = True) -> tuple[Identity, Lease | None]:
    """Find out who this process is, and lease that name.

    Never raises: without a writable state directory there is no lease, the id is made from the host's name alone, and
    :attr:`Identity.problem` says so.

    Args:
        settings: the names given by the user, and the state directory.
        config: the bot's configuration, anything; only a short hash of it is kept.
        leased: take the lease and use the state directory; otherwise nothing is read or written there.
    """
    problem: str | None = None
    lease: Lease | None = None
    home: Path | None = None
    wanted = instance = settings.instance_id or ""
    try:
        if leased:
            shared = settings.state_dir / safe(settings.service_name)
            shared.mkdir(parents=True, exist_ok=True)
            wanted = instance = wanted or _kept_id(shared / "instance")
            instance, lease = _lease(shared, wanted)
            home = shared / safe(instance)
            home.mkdir(exist_ok=True)
    except (OSError, RuntimeError) as error:
        home = None
        problem = (
            f"no state is kept in {settings.state_dir} ({_reason(error)}): set MCBOT_STATE_DIR to a writable place"
        )
    wanted = wanted or _made_id(settings.service_name)
    instance = instance or wanted
    if problem is not None:
        logger.warning("%s", problem)
    elif instance != wanted:
        logger.warning("another live process is %r: this one is %r", wanted, instance)
    identity = Identity(
        service_name=settings.service_name,
        service_namespace=settings.service_namespace,
        instance_id=instance,
        wanted_id=wanted,
        mode=settings.mode,
        version=settings.version,
        environment=settings.environment,
        config_hash=config_hash(config),
        directory=home,
        problem=problem,
    )
    return identity, lease


def holder(directory: Path, instance_id: str) -> int | None:
    """The process id that holds the lease on ``instance_id`` now, or ``None``. For ``doctor``."""
    path = directory / f"{safe(instance_id)}.lock"
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if fcntl is None:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(os.read(file, 32) or b"0")
    except ValueError:
        return 0
    finally:
        os.close(file)
    return None


def config_hash(config: object) -> str | None:
    """Six hex digits that change when the configuration does; ``None`` for ``None``.

    A path is read; mappings, dataclasses and pydantic models are compared by content; order of keys is no difference.
    """
    if config is None:
        return None
    try:
        if isinstance(config, bytes):
            content = config
        elif isinstance(config, os.PathLike):
            content = Path(config).read_bytes()
        elif isinstance(config, str):
            content = config.encode()
        else:
            content = json.dumps(_plain(config), sort_keys=True, default=_plain).encode()
    except (OSError, TypeError, ValueError, RecursionError) as error:
        logger.warning("the configuration has no hash: %s", _reason(error))
        return None
    return hashlib.sha256(content).hexdigest()[:6]


def safe(name: str) -> str:
    """``name`` as one component of a path; two names never become the same one."""
    text = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:80]
    return text if text == name else f"{text}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if callable(dump := getattr(value, "model_dump", None)):
        return dump()
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple, str, int, float, bool)) or value is None:
        return value
    # an object's own repr holds its address, which is different in each process
    described = any("__repr__" in vars(kind) for kind in type(value).__mro__[:-1])
    return str(value) if described else type(value).__qualname__


def _host() -> str:
    return re.sub(r"[^a-z0-9-]", "-", socket.gethostname().split(".")[0].lower()).strip("-")[:40] or "bot"


def _made_id(service_name: str) -> str:
    """Without state the id must still be the same after a restart: four digits of what is known."""
    return f"{_host()}-{hashlib.sha256(f'{service_name}@{socket.gethostname()}'.encode()).hexdigest()[:4]}"


def _kept_id(path: Path) -> str:
    """The id in ``path``; made and kept there on the first run."""
    made = f"{_host()}-{secrets.token_hex(2)}"
    with contextlib.suppress(FileNotFoundError):
        kept = path.read_text(encoding="utf-8", errors="replace").strip()
        if kept and kept.isprintable():
            return kept
        path.unlink()  # empty or garbled: a full disk, a crash
    # Written aside and linked into place: of two first runs at once, both end with what the first one wrote.
    file, name = tempfile.mkstemp(dir=path.parent, prefix=".instance-")
    try:
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(made + "\n")
        try:
            os.link(name, path)
        except FileExistsError:
            return path.read_text(encoding="utf-8").strip() or made
        except OSError:  # a file system without hard links
            os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    return made


def _lease(directory: Path, wanted: str) -> tuple[str, Lease]:
    for number in range(1, MOST_INSTANCES + 1):
        instance = wanted if number == 1 else f"{wanted}-{number}"
        with contextlib.suppress(BlockingIOError):
            return instance, Lease(directory / f"{safe(instance)}.lock")
    raise OSError(f"{MOST_INSTANCES} live processes hold it")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
