"""Whether an installation is well: the own identity's files, keys, clock, disk, way to the broker, and mirror.

What each finding is called, in this order: files, keys, certificate, disk, broker, tls, clock, mirror, listed, alarms.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import Final

from comity.errors import ComityError, ErrorCode
from comity.identity.bodies import Listing, read_body
from comity.identity.certificates import read_leaf
from comity.keys.private_files import open_private
from comity.keys.tls import from_pem
from comity.node.access import Access, Target
from comity.node.clock import NowMs
from comity.node.connection import Connection
from comity.node.examining import Findings, until
from comity.node.handshake_seen import TLS13, X25519MLKEM768, handshake_with
from comity.node.home import Home, Place
from comity.node.mirror import Mirror
from comity.node.times import rfc3339
from comity.v1 import audit_pb2
from comity_policy.lowering import CREATED_AT_AHEAD

DAY_MS: Final = 86_400_000
ENDS_SOON_MS: Final = 14 * DAY_MS
CLOCK_WARN_MS: Final = 5_000
DISK_WARN_BYTES: Final = 1 << 30
DISK_FAIL_BYTES: Final = 64 << 20
_KEY_FILE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Doctor:
    """Looks at one identity of this machine, whose passphrase is known; `mirror` is its own, open."""

    home: Home
    place: Place
    findings: Findings
    now_ms: NowMs

    def files(self) -> None:
        """Look at who may read the home, the identity's directory and its key files."""
        with self.findings.looking("files"):
            # Opening checks owner and mode: of the directory, and of each file when it is read.
            with open_private(self.place.keys) as keys:
                names = [name for name in keys.names() if name.endswith(".key")]
                for name in names:
                    keys.read(name, _KEY_FILE_BYTES)
            open_to_others = [path for path in (self.home.path, self.place.directory) if path.stat().st_mode & 0o077]
            if open_to_others:
                paths = " ".join(map(str, open_to_others))
                self.findings.warn("files", f"others may look into {paths}", f"chmod 0700 {paths}")
            else:
                self.findings.ok(
                    "files", f"{len(names)} key files of {self.place.identity}, readable by their owner alone"
                )

    def keys(self, passphrase: bytes, address: str) -> Access | None:
        """Open the keys and look until when they and the certificate count; None where nothing goes on without them."""
        now = self.now_ms()
        try:
            access = Access.load(self.home, self.place.identity, passphrase, now_ms=now, address=address or None)
        except ComityError as error:
            self.findings.failed("keys", error)
            return None
        with self.findings.looking("keys"):
            body = read_body(self.place.statement)
            if isinstance(body, Listing):
                self._ends("keys", "the keys count", body.valid_until, now)
        with self.findings.looking("certificate"):
            leaf = read_leaf(from_pem(self.place.certificate_pem))
            self._ends("certificate", "the certificate is valid", leaf.not_after_ms, now)
        return access

    def disk(self) -> None:
        """Look how much room the home's file system has."""
        free = shutil.disk_usage(self.place.directory).free
        found = f"{free >> 20:,} MiB are free at {self.place.directory}"
        if free < DISK_FAIL_BYTES:
            self.findings.fail(
                "disk", found, "Make room: outbox, inbox and mirror cannot be written.", ErrorCode.STORAGE_FULL
            )
        elif free < DISK_WARN_BYTES:
            self.findings.warn("disk", found, "Make room before it is full.")
        else:
            self.findings.ok("disk", found)

    async def broker(self, target: Target) -> bool:
        """Look whether the broker answers, how the connection is protected, and whether the clocks agree."""
        try:
            handshake = await handshake_with(target)
        except ComityError as error:
            self.findings.failed("broker", error)
            return False
        except (OSError, TimeoutError) as error:
            self.findings.fail(
                "broker",
                f"{target.address} does not answer ({type(error).__name__})",
                "Look whether the broker runs, and whether this machine may reach it.",
                ErrorCode.UNREACHABLE,
            )
            return False
        protected = f"{handshake.version_name}, {handshake.group_name}"
        if handshake.version != TLS13:
            self.findings.fail("tls", protected, "The broker must speak TLS 1.3.", ErrorCode.TLS_TOO_OLD)
        elif handshake.group != X25519MLKEM768:
            self.findings.warn(
                "tls", protected, "Something between here and the broker, or an old library, takes X25519MLKEM768 away."
            )
        else:
            self.findings.ok("tls", protected)
        async with Connection(target) as connection:
            with self.findings.looking("broker"):
                await self._clock(connection)
        return not self.findings.has_failed(("broker",))

    async def mirror(self, mirror: Mirror, target: Target) -> bool:
        """Fetch the mirror and look whether all of it verifies."""
        async with Connection(target) as connection:
            try:
                await mirror.refresh(connection)
            except ComityError as error:
                self.findings.failed("mirror", error)
                return False
        for name, fault in sorted(mirror.faults.items()):
            where = name or "the key log"
            self.findings.fail("mirror", f"{where}: {fault.message}", fault.what_to_do, fault.code)
        if not mirror.faults:
            sizes = (mirror.pin(one.agreement_id) for one in mirror.agreements())
            entries = sum(pin.size for pin in sizes if pin is not None)
            count = len(mirror.agreements())
            self.findings.ok(
                "mirror",
                f"up to date: the key log to entry {mirror.key_log_seen.size - 1}, {entries} entries of {count} agreements",
            )
        return True

    def listed(self, mirror: Mirror) -> None:
        """Look whether the key log has this identity's keys as they are here, and what the mirror alarms of."""
        identity = self.place.identity
        with self.findings.looking("listed"):
            record = mirror.directory.find(identity.party, identity.name)
            body = read_body(self.place.statement)
            if record is None or not isinstance(body, Listing):
                self.findings.fail(
                    "listed",
                    f"the key log has no {identity}",
                    f"comity {identity.kind.value} enrol {identity}",
                    ErrorCode.NOT_ENROLLED,
                )
                return
            mirror.directory.require_current(record, self.now_ms())
            if record.sequence != body.sequence:
                self.findings.fail(
                    "listed",
                    f"the key log has statement {record.sequence} of {identity}, here is {body.sequence}",
                    f"comity {identity.kind.value} enrol {identity}",
                    ErrorCode.SEQUENCE_STALE,
                )
                return
            self.findings.ok("listed", f"{identity} is in the key log, entry {record.log_index}")
        alarms = mirror.alarms()
        if alarms:
            newest = alarms[-1]
            self.findings.warn(
                "alarms",
                f"{len(alarms)}, the newest {newest.kind.value} at {rfc3339(newest.at)}: {newest.detail}",
                "Keep the home as it is and tell your partner.",
            )
        else:
            self.findings.ok("alarms", "none")

    def _ends(self, check: str, words: str, ends_ms: int, now: int) -> None:
        identity = self.place.identity
        found = f"{words} until {rfc3339(ends_ms)}, {until(ends_ms, now)} more"
        renew = f"comity {identity.kind.value} {'rotate' if identity.kind.value == 'node' else 'accredit'} {identity}"
        if ends_ms <= now:
            self.findings.fail(check, f"{words} no more since {rfc3339(ends_ms)}", renew, ErrorCode.KEY_EXPIRED)
        elif ends_ms - now < ENDS_SOON_MS:
            self.findings.warn(check, found, renew)
        else:
            self.findings.ok(check, found)

    async def _clock(self, connection: Connection) -> None:
        """Compare clocks by one answer: the difference is known to half of the time that the answer took."""
        request = audit_pb2.GetCheckpointRequest(log=audit_pb2.LogSelector(keys=True))
        begun, at = time.monotonic(), self.now_ms()
        answer = await connection.call(connection.audit.GetCheckpoint, request)
        took = int((time.monotonic() - begun) * 1000)
        self.findings.ok("broker", f"{connection.broker_tls_name} at {connection.address} answers in {took} ms")
        if not answer.broker_time:
            self.findings.warn("clock", "the broker does not tell its time", "It is of an earlier version: renew it.")
            return
        ahead = at + took // 2 - answer.broker_time
        unsure = took // 2
        found = f"{abs(ahead) / 1000:.1f} s {'ahead of' if ahead >= 0 else 'behind'} the broker's, give or take {unsure / 1000:.1f} s"
        if abs(ahead) - unsure > CREATED_AT_AHEAD:
            self.findings.fail(
                "clock", found, "Set the clock: reports from here are refused by their time.", ErrorCode.CLOCK_WINDOW
            )
        elif abs(ahead) - unsure > CLOCK_WARN_MS:
            self.findings.warn("clock", found, "Have both machines keep time by NTP.")
        else:
            self.findings.ok("clock", found)
