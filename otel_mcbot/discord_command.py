"""``otel-mcbot discord``: what would go to Discord, to look at."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from otel_mcbot.discord.history import History
from otel_mcbot.discord.preview import Preview


@click.group()
def discord() -> None:
    """Messages to Discord."""


@discord.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0: any that is free.")
@click.option(
    "--history",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep the messages in this file, so that a restart does not lose them.",
)
@click.option("--rate-limit", is_flag=True, help="Refuse more than 5 messages in 2 s to one webhook, as Discord does.")
def preview(host: str, port: int, history: Path | None, rate_limit: bool) -> int:
    """Take webhook messages as Discord does, and show them on a page.

    The address of a webhook is http://HOST:PORT/api/webhooks/preview/CHANNEL.
    """
    try:
        kept = History(history)
    except OSError as error:
        allowed = "allowed is a file in a folder that this user can write to"
        raise click.UsageError(f"--history {str(history)!r}: {error.strerror}; {allowed}") from error
    try:
        server = Preview((host, port), kept, rate_limit=rate_limit, spool=history.parent if history else None)
    except OSError as error:
        said = f"--host {host} --port {port}: {error.strerror}; allowed is an address of this machine, a free port"
        raise click.UsageError(said) from error
    # Waited for, not handled: a handler that sets an event can meet the lock of who waits for it.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Discord preview: http://{shown}:{server.server_port}/")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait(ends)
    return 0  # what was answered is on disk; who still sends is cut off
