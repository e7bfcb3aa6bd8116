"""Comity: signed and sealed reports between nations under agreements that a machine enforces.

    async with comity.connect("broker:7443", identity="XAR/n1", passphrase_file=path) as node:
        receipt = await node.send(
            comity.Report.text("two boats", marking="SECRET//REL TO XAR, XBO", categories=["terrorism"], purpose="analysis"),
            agreement="XAR-XBO-1",
        )
        async for delivery in node.receive():
            async with delivery as report:
                print(report.banner, report.text)

Without an event loop: `comity.node.sync` has the same names. Importing this package loads nothing else; a name loads its module
when it is first used (PEP 562). All other modules are open to read, and may change.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from comity.attachment import Attachment
    from comity.errors import ComityError, RefusedError
    from comity.node.connecting import connect
    from comity.node.delivery import Delivery
    from comity.node.node import Node
    from comity.node.previews import Preview
    from comity.node.reader import ReadingOfficer
    from comity.node.receipts import Receipt, Sent
    from comity.node.report_files import attached
    from comity.portion import Marking, Portion
    from comity.report import ReceivedReport, Report

__all__ = [
    "Attachment",
    "ComityError",
    "Delivery",
    "Marking",
    "Node",
    "Portion",
    "Preview",
    "ReadingOfficer",
    "Receipt",
    "ReceivedReport",
    "RefusedError",
    "Report",
    "Sent",
    "attached",
    "connect",
]

_HOME = {
    "Attachment": "comity.attachment",
    "ComityError": "comity.errors",
    "Delivery": "comity.node.delivery",
    "Marking": "comity.portion",
    "Node": "comity.node.node",
    "Portion": "comity.portion",
    "Preview": "comity.node.previews",
    "ReadingOfficer": "comity.node.reader",
    "Receipt": "comity.node.receipts",
    "ReceivedReport": "comity.report",
    "RefusedError": "comity.errors",
    "Report": "comity.report",
    "Sent": "comity.node.receipts",
    "attached": "comity.node.report_files",
    "connect": "comity.node.connecting",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - importing this package loads nothing

    found: object = getattr(import_module(home), name)
    # Found once, it is an ordinary name: a program makes many reports.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__]
