"""The verifier as an auditor meets it: verdicts, gaps, whose view is due, the command, and its size."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipapp
from dataclasses import replace
from pathlib import Path

import pytest

from builders_audit import good_audit, signed_by_all
from builders_audit_files import codes, put
from builders_audit_log import ORIGIN
from comity.envelope.evidence import SlotCode
from comity.envelope.exported import decode_exported, encode_exported
from comity.envelope.segment import Absent
from comity.verify.__main__ import main
from comity.verify.bundle import Code, read_file
from comity.verify.checks import Verification
from comity.verify.crypto import digest
from comity.verify.notes import Checkpoint
from comity.verify.records import FormError
from comity.verify.trees import leaf_hash, read_bundle, root_of

VERIFIER = Path(__file__).resolve().parents[2] / "client/comity/verify"
SHARED_WITH_OTHERS = {"trees.py", "notes.py", "table.py"}


@pytest.fixture
def audit():
    return good_audit()


def test_a_history_in_which_everything_holds_passes(audit, tmp_path):
    audit.write(tmp_path)
    done = Verification(tmp_path)
    assert done.findings == []
    assert done.verdict == "PASS"
    assert done.counts["bodies"] == 3 * len(audit.events) + len(audit.key_events)
    assert {log.origin: log.newest for log in done.logs}[ORIGIN] == audit.time


def test_everything_the_log_may_hold_passes(audit, tmp_path):
    """Abandoned numbers ahead of a segment, refusals, a rejected segment, approvals, a second consumer, a revocation."""
    audit.abandon(5, bytes(48))
    mixed = audit.submit(3, first=4, refused={1: SlotCode.PRUNED}, approve=["XAR/lia"], approvals_required=1)
    audit.submit(1, first=7, refused={0: SlotCode.CLOCK_WINDOW})
    audit.submit(2, first=6, refused={0: SlotCode.REPLAYED, 1: SlotCode.ID_REUSED})
    audit.deliver(mixed, [0, 2], consumer="archive")
    audit.deliver(mixed, [0, 2])
    audit.acknowledge(mixed, [1, 6, 2])
    audit.acknowledge(mixed, [0, 0, 1])
    audit.revoke(audit.xar, audit.officers["XAR/law"].signer.fingerprint)
    audit.submit(1, first=8, sender="XAR/n1")
    audit.write(tmp_path)
    assert Verification(tmp_path).findings == []


def test_an_earlier_checkpoint_that_the_log_continues_is_fine(audit, tmp_path):
    logs = audit.write(tmp_path)
    (bundle,) = (logs.agreement / "tile/entries").rglob("000.p/*")
    leaves = [leaf_hash(entry) for entry in read_bundle(bundle.read_bytes(), len(audit.events))]
    for size in (1, 5, len(leaves)):
        since = audit.log_keys.sign(Checkpoint(ORIGIN, size, root_of(leaves[:size])))
        assert codes(tmp_path, since=[since]) == set()


def test_a_body_that_is_not_presented_is_a_gap_and_never_a_pass(audit, tmp_path):
    logs = audit.write(tmp_path)
    (logs.agreement / f"body/{audit.find('DELIVERED')}.XBO").unlink()
    done = Verification(tmp_path)
    assert done.findings == []
    assert done.counts["bodies not presented"] == 1
    assert done.verdict == "PASS_WITH_GAPS"


def test_what_was_acknowledged_is_not_called_undelivered_where_the_delivery_was_not_presented(audit, tmp_path):
    logs = audit.write(tmp_path)
    for part in ("XAR", "XBO"):
        (logs.agreement / f"body/{audit.find('DELIVERED')}.{part}").unlink()
    done = Verification(tmp_path)
    assert (done.findings, done.verdict) == ([], "PASS_WITH_GAPS")


def test_a_segment_whose_header_is_not_presented_is_a_gap_for_its_receipt_and_envelopes_too(audit, tmp_path):
    (audit.write(tmp_path).agreement / f"body/{audit.find('SUBMIT_ACCEPTED')}.shared").unlink()
    done = Verification(tmp_path)
    assert (done.findings, done.verdict) == ([], "PASS_WITH_GAPS")


def test_a_redacted_record_is_a_gap_that_leaves_every_proof_valid(audit, tmp_path):
    from comity.verify.crypto import leaf384

    path = audit.write(tmp_path).agreement / f"record/{audit.find('SUBMIT_ACCEPTED')}.shared/0"
    data = path.read_bytes()
    put(path, leaf384("audit-record", data[:32], data[32:]))
    done = Verification(tmp_path)
    assert done.findings == []
    assert (done.counts["records"], done.counts["records redacted"]) == (2, 1)
    assert done.verdict == "PASS_WITH_GAPS"


def test_records_that_are_not_presented_at_all_are_a_gap(audit, tmp_path):
    folder = audit.write(tmp_path).agreement / f"record/{audit.find('SUBMIT_ACCEPTED')}.shared"
    for path in folder.iterdir():
        path.unlink()
    done = Verification(tmp_path)
    assert (done.findings, done.verdict) == ([], "PASS_WITH_GAPS")
    assert done.counts["records not presented"] == 3


def test_an_auditor_of_one_party_passes_without_the_partners_own_bodies(audit, tmp_path):
    for path in (audit.write(tmp_path).agreement / "body").glob("*.XBO"):
        path.unlink()
    assert Verification(tmp_path).verdict == "PASS_WITH_GAPS"
    assert Verification(tmp_path, views=["XAR"]).verdict == "PASS"
    assert Verification(tmp_path, views=["XBO"]).verdict == "PASS_WITH_GAPS"


@pytest.mark.parametrize("options", [{"views": ["XBB"]}, {"roots": {"XBB": "sha384:00"}}])
def test_a_party_nobody_knows_is_no_party_whose_absence_passes(audit, tmp_path, options):
    audit.write(tmp_path)
    with pytest.raises(ValueError, match="XBB"):
        Verification(tmp_path, **options)


def test_a_root_the_auditor_compared_is_confirmed(audit, tmp_path):
    audit.write(tmp_path)
    roots = {"XBO": f"sha384:{audit.xbo.card.root_fingerprint.hex()}"}
    assert Verification(tmp_path, roots=roots).verdict == "PASS"


def test_a_changed_entry_is_found_by_tree_and_commitment(audit, tmp_path):
    logs = audit.write(tmp_path)
    (path,) = (logs.agreement / "tile/entries").rglob("000.p/*")
    data = path.read_bytes()
    put(path, data[:-1] + bytes([data[-1] ^ 1]))
    assert codes(tmp_path) == {"TREE", "COMMITMENT"}


def test_a_log_cut_off_below_its_checkpoint_is_found(audit, tmp_path):
    logs = audit.write(tmp_path)
    for path in (logs.agreement / "tile/entries").rglob("000.p/*"):
        path.unlink()
    assert "TREE" in codes(tmp_path)


def test_a_bundle_without_the_key_log_or_without_any_log_fails(audit, tmp_path):
    assert codes(tmp_path) == {"NOTE"}
    logs = audit.write(tmp_path)
    (logs.keys / "checkpoint").unlink()
    assert codes(tmp_path) == {"KEY_LOG"}


def test_an_envelope_with_its_bodies_inline_is_checked_against_the_manifest(audit, tmp_path):
    one = decode_exported(audit.envelopes[0])
    assert not any(isinstance(body, Absent) for body in one.item.ciphertexts)
    withheld = replace(one.item, stanzas=(Absent.WITHHELD,) * 2, ciphertexts=(Absent.WITHHELD,) * 2)
    audit.envelopes[0] = encode_exported(replace(one, item=withheld))
    audit.write(tmp_path)
    assert Verification(tmp_path).verdict == "PASS"
    first, second = one.item.ciphertexts
    audit.envelopes[0] = encode_exported(replace(one, item=replace(one.item, ciphertexts=(second, first))))
    audit.write(tmp_path)
    assert codes(tmp_path) == {"ENVELOPE"}


@pytest.mark.parametrize("name", ["policy", "checkpoint", "body/0.shared", "body/9.XAR"])
@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"[" * 100_000, bytes(1 << 21)])
def test_no_file_however_broken_makes_the_verifier_stop_or_pass(audit, tmp_path, name, data):
    put(audit.write(tmp_path).agreement / name, data)
    assert Verification(tmp_path).verdict == "FAIL"


@pytest.mark.parametrize("name", ["receipts/x", "envelopes/x", "parties/XBO.json", "agreements/XAR-XBO-1.toml"])
def test_no_evidence_however_broken_makes_the_verifier_stop_or_pass(audit, tmp_path, name):
    put(audit.write(tmp_path).folder / name, b"\xff" * 300)
    assert Verification(tmp_path).verdict == "FAIL"


def test_a_file_over_its_limit_is_not_read(tmp_path):
    put(tmp_path / "file", bytes(101))
    assert read_file(tmp_path / "file", 101) == bytes(101)
    with pytest.raises(FormError):
        read_file(tmp_path / "file", 100)
    assert read_file(tmp_path, 100) is None


def test_a_folder_that_points_elsewhere_is_not_read_as_a_log(audit, tmp_path):
    outside = tmp_path / "outside"
    audit.write(outside)
    bundle = tmp_path / "bundle"
    (bundle / "logs").mkdir(parents=True)
    (bundle / "logs" / "hub.xar.example").symlink_to(outside / "logs" / "hub.xar.example")
    assert Verification(bundle).verdict == "FAIL"


def test_a_second_agreement_beside_it_is_verified_on_its_own(audit, tmp_path):
    """One bundle may hold several logs; a log nobody can judge does not hide the findings of another."""
    audit.write(tmp_path)
    where = tmp_path / "logs" / ORIGIN
    other = where.with_name("ee" * 16)
    other.mkdir()
    for name in ("policy", "checkpoint"):
        put(other / name, (where / name).read_bytes())
    done = Verification(tmp_path)
    assert {finding.code.name for finding in done.findings} == {"NOTE"}
    assert {finding.origin for finding in done.findings} == {
        ORIGIN.replace("000102030405060708090a0b0c0d0e0f", "ee" * 16)
    }


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_found_and_how_old_the_log_is(audit, tmp_path, capsys):
    audit.write(tmp_path)
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "PASS"
    assert f"{ORIGIN}: {len(audit.events)} entries" in printed


def test_the_command_fails_with_15_and_names_check_log_and_entry(audit, tmp_path, capsys):
    index = audit.find("DELIVERED")
    audit.change(index, "XBO", request="ff" * 16)
    audit.write(tmp_path)
    assert main([str(tmp_path)]) == 15
    printed = capsys.readouterr().out
    assert f"{Code.PARTS} {ORIGIN}#{index}: two parties were told different things" in printed
    assert printed.splitlines()[-1] == "FAIL"


def test_the_command_prints_one_json_object(audit, tmp_path, capsys):
    audit.write(tmp_path)
    root = f"XBO=sha384:{audit.xbo.card.root_fingerprint.hex()}"
    assert main([str(tmp_path), "--json", "--party", "XAR", "--root", root]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["verdict"], result["findings"]) == ("PASS", [])
    assert {log["origin"]: log["size"] for log in result["logs"]}[ORIGIN] == len(audit.events)


@pytest.mark.parametrize("options", [["--since", "nowhere"], ["--party", "XBB"]])
def test_a_wrong_use_of_the_command_is_no_verdict(audit, tmp_path, options):
    audit.write(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path), *options])
    assert caught.value.code == 2


def test_the_verifier_in_one_file_runs_without_the_rest_of_comity(audit, tmp_path):
    audit.write(tmp_path / "bundle")
    package = tmp_path / "package/comity"
    package.mkdir(parents=True)
    put(package / "__init__.py", b"")
    for path in VERIFIER.glob("*.py"):
        put(package / "verify" / path.name, path.read_bytes())
    archive = tmp_path / "comity-verify.pyz"
    zipapp.create_archive(tmp_path / "package", archive, main="comity.verify.__main__:main")
    command = [sys.executable, "-I", archive, tmp_path / "bundle"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["PASS"]), done.stderr


def test_a_text_that_would_take_hours_to_parse_is_a_finding(audit, tmp_path):
    hostile = b"a" + b".a" * 400_000 + b" = 1"
    audit.change(0, agreement_digest=digest("agreement", hostile).hex())
    audit.write(tmp_path)
    put(tmp_path / "agreements/hostile.toml", hostile)
    done = Verification(tmp_path)
    assert ("AGREEMENT", "a text has a key of too many parts") in {
        (one.code.name, one.message) for one in done.findings
    }


# --- its size and its description -----------------------------------------------------------------------------------


def test_the_verifier_stays_small_enough_to_be_read():
    """Beside the formats it shares with broker and SDK (trees, notes, table) it has fewer than 1,900 lines."""
    lengths = {path.name: len(path.read_text().splitlines()) for path in VERIFIER.glob("*.py")}
    assert sum(length for name, length in lengths.items() if name not in SHARED_WITH_OTHERS) < 1900
    assert max(lengths.values()) < 400


def test_the_verifier_imports_the_standard_library_cryptography_and_pynacl_only():
    names = set()
    for path in VERIFIER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    foreign = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names | {"cryptography", "nacl"}}
    assert all(name.startswith("comity.verify.") for name in foreign)


def test_every_check_is_described():
    page = (VERIFIER.parents[2] / "docs/verification.md").read_text().partition("## The replay")[0]
    described = re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE)
    assert sorted(described) == sorted(code.value for code in Code)


def test_a_log_opened_by_nobody_yet_is_no_failure(tmp_path):
    from builders_audit import begun_audit

    audit = begun_audit()
    audit.write(tmp_path)
    assert Verification(tmp_path).verdict == "PASS"
    signed_by_all(audit)
    audit.write(tmp_path)
    assert Verification(tmp_path).verdict == "PASS"
