"""Ways to wake somebody for a report: a command that is run, or an address that is posted to.

Rules in order:
1. What is told is which report waits and until when: agreement, report id, the party that sent it, precedence, the contact's number.
   Nothing of what the report says, no marking, no node, no officer.
2. A command runs without a shell, its words split once when it is given. The facts are in its environment (COMITY_ALERT_...), and
   nothing else of Comity's is; it has no input, and its output is nowhere shown. It ends within `COMMAND_SECONDS` or is killed.
3. An address is https, or http on loopback, with no credentials in it. One POST of the facts as JSON, `TRIES` times at most, each within
   `POST_SECONDS`. A redirect is a failure: whoever answers does not choose where the facts go. Nothing of the answer is used but its
   status.
4. What fails says so by False and in a line for the log; it raises nothing, so that the next contact is tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import shlex
import shutil
import signal
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from comity.errors import UsageError

COMMAND_SECONDS: Final = 30.0
POST_SECONDS: Final = 5.0
TRIES: Final = 3
AGAIN_SECONDS: Final = 0.5
_STATUS_LIMIT: Final = 1024
_PREFIX: Final = "COMITY_ALERT_"
_LOG: Final = logging.getLogger(__name__)

Facts = Mapping[str, str | int | None]


class Contact(Protocol):
    """Somebody who can be woken."""

    @property
    def name(self) -> str:
        """Give how it is called when something is said of it."""

    async def wake(self, facts: Facts) -> bool:
        """Wake it; say whether that worked."""


def contact_of(words: str) -> Contact:
    """Give the contact that an option names: an address, or a command line. Raises UsageError for one that cannot work."""
    return Webhook.of(words) if "://" in words else Command.of(words)


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments."""

    argv: tuple[str, ...]

    @classmethod
    def of(cls, words: str) -> Command:
        """Split a command line as a shell would, and find its program; raises UsageError."""
        try:
            argv = tuple(shlex.split(words))
        except ValueError as error:
            raise UsageError(f"the command {words!r} does not read: {error}") from error
        if not argv or shutil.which(argv[0]) is None:
            named = argv[0] if argv else words
            raise UsageError(
                f"there is no program {named!r}", what_to_do="Name a program by its path; no shell runs it."
            )
        return cls(argv)

    @property
    def name(self) -> str:
        """Give the program's name, without its arguments."""
        return Path(self.argv[0]).name

    async def wake(self, facts: Facts) -> bool:
        """Run it by rule 2."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(facts),
                start_new_session=True,
            )
        except OSError as error:
            _LOG.warning("alert_failed", extra={"contact": self.name, "reason": type(error).__name__})
            return False
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                code = await process.wait()
        except TimeoutError:
            _LOG.warning("alert_failed", extra={"contact": self.name, "reason": "it took too long"})
            return False
        finally:
            if process.returncode is None:
                await _killed(process)
        if code:
            _LOG.warning("alert_failed", extra={"contact": self.name, "reason": f"exit code {code}"})
        return code == 0


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes a POST."""

    url: SplitResult

    @classmethod
    def of(cls, words: str) -> Webhook:
        """Check an address by rule 3; raises UsageError."""
        try:
            url = urlsplit(words)
            host, _ = url.hostname, url.port
        except ValueError as error:
            raise UsageError(f"the address does not read: {error}") from error
        allowed = url.scheme == "https" or (url.scheme == "http" and _is_loopback(host or ""))
        plain = words.isascii() and words.isprintable() and " " not in words
        if not host or not allowed or not plain or "@" in url.netloc:
            raise UsageError(
                "a webhook is an https address, or http on loopback, without credentials",
                what_to_do="For example --webhook https://desk.xbo.example/alerts or http://127.0.0.1:8080/alert.",
            )
        return cls(url)

    @property
    def name(self) -> str:
        """Give the address's host and port."""
        return self.url.netloc

    async def wake(self, facts: Facts) -> bool:
        """Post the facts by rule 3."""
        body = json.dumps(dict(facts), separators=(",", ":")).encode()
        reason = ""
        for again in range(TRIES):
            if again:
                await asyncio.sleep(AGAIN_SECONDS * 2 ** (again - 1))
            try:
                async with asyncio.timeout(POST_SECONDS):
                    status = await self._post(body)
            except TimeoutError:
                reason = "no answer in time"
            except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                reason = type(error).__name__
            else:
                if 200 <= status < 300:
                    return True
                reason = f"status {status}"
                if status < 500:
                    break
        _LOG.warning("alert_failed", extra={"contact": self.name, "reason": reason})
        return False

    async def _post(self, body: bytes) -> int:
        """Send one request; give the status."""
        url, secure = self.url, self.url.scheme == "https"
        host = url.hostname or ""
        reader, writer = await asyncio.open_connection(
            host,
            url.port or (443 if secure else 80),
            ssl=ssl.create_default_context() if secure else None,
            limit=_STATUS_LIMIT,
        )
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            head = (
                f"POST {target} HTTP/1.1",
                f"Host: {url.netloc}",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            writer.write("\r\n".join((*head, "", "")).encode() + body)
            await writer.drain()
            line = await reader.readuntil(b"\n")
        finally:
            # The status is all that is wanted: nobody waits for the other side to take its leave.
            writer.transport.abort()
        words = line.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit() or len(words[1]) != 3:
            raise ValueError("no answer of HTTP")
        return int(words[1])


def _environment(facts: Facts) -> dict[str, str]:
    """Give what a command finds in its environment: this process's without what is Comity's, and the facts."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("COMITY_")}
    return ours | {f"{_PREFIX}{name.upper()}": str(value) for name, value in facts.items() if value is not None}


async def _killed(process: asyncio.subprocess.Process) -> None:
    """Kill a command and what it began, and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
