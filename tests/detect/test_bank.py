"""DetectorBank: a set a pod, one file that survives, and nothing that raises."""

import json
import logging
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from otel_mcbot.detect import BankSettings, CusumDetector, DetectorBank, LifecycleState, PodReport, RankShiftDetector
from otel_mcbot.detect.bank import SCHEMA


def normal(count: int, seed: int, mean: float = 0.001) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(mean, 0.02) for _ in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "detectors.json"


def bank_of(path: Path | None, settings: BankSettings | None = None, pod: str = "ctrend") -> DetectorBank:
    bank = DetectorBank(path, settings)
    assert bank.auto_init_detectors(pod, normal(365, 1)).ready
    return bank


def test_a_pod_gets_all_four() -> None:
    bank = bank_of(None)
    for r in normal(61, 2):
        report = bank.update("ctrend", r)
    assert report.accepted
    assert report.drawdown is not None
    assert report.drift is not None
    assert report.decay is not None
    assert report.lifecycle is not None
    assert report.drawdown.ready
    assert report.drift.ready
    assert report.decay.ready
    assert bank.pods == ("ctrend",)


@pytest.mark.parametrize(
    ("returns", "why"),
    [
        ([], "0 usable"),
        (normal(29, 1), "29 usable"),
        ([0.01] * 100, "constant"),
        ([math.nan] * 100, "0 usable"),
        (None, "0 usable"),
        (["x"] * 50, "0 usable"),
    ],
)
def test_new_and_constant_pods_are_skipped_and_still_watched_without_a_backtest(returns: object, why: str) -> None:
    bank = DetectorBank()
    result = bank.auto_init_detectors("new", returns)  # type: ignore[arg-type]
    assert not result.ready
    assert why in result.reason
    for r in normal(70, 1):
        report = bank.update("new", r)
    assert report.drawdown is None
    assert report.drift is None
    assert report.decay is not None
    assert report.decay.ready
    assert report.lifecycle is not None
    assert bank.auto_init_detectors("new", normal(100, 2)).ready


def test_a_pod_keeps_its_backtest() -> None:
    bank = bank_of(None)
    pod = bank.pod("ctrend")
    again = bank.auto_init_detectors("ctrend", normal(365, 9, mean=-0.01))
    assert again.ready
    assert "kept" in again.reason
    assert bank.pod("ctrend") is pod
    assert bank.auto_init_detectors("ctrend", normal(365, 9), force=True).reason == ""
    assert bank.pod("ctrend") is not pod


def test_anomalies_carry_numbers_pod_and_whether_they_are_new() -> None:
    bank = bank_of(None)
    new: dict[str, list[str]] = {}
    for r in normal(80, 2, mean=-0.03):
        for anomaly in bank.update("ctrend", r).anomalies:
            assert anomaly.pod_id == "ctrend"
            assert anomaly.message
            assert anomaly.numbers
            assert all(math.isfinite(x) for x in anomaly.numbers.values())
            if anomaly.is_new:
                new.setdefault(anomaly.detector, []).append(anomaly.severity.value)
    assert new["drawdown"] == ["WARNING", "CRITICAL"]
    assert new["drift"][-1] == "CRITICAL"
    assert len(new["decay"]) >= 1


def test_a_day_twice_or_out_of_order_is_ignored_and_said() -> None:
    bank, other = bank_of(None), bank_of(None)
    first = bank.update("ctrend", 0.01, date(2026, 1, 2))
    assert first.accepted
    for day in (date(2026, 1, 2), "2026-01-01", datetime(2026, 1, 2, 23, tzinfo=UTC), "2026-01-02T05:00:00+00:00"):
        report = bank.update("ctrend", 0.5, day)
        assert not report.accepted
        assert "not after 2026-01-02" in report.reason
    assert bank.ignored == 4
    other.update("ctrend", 0.01, "2026-01-02")
    assert bank.update("ctrend", -0.01, "2026-01-03") == other.update("ctrend", -0.01, "2026-01-03")


@pytest.mark.parametrize("day", [12, 1.5, "tomorrow", object(), b"2026-01-01"], ids=lambda day: type(day).__name__)
def test_what_is_no_day_is_ignored_and_said(day: object) -> None:
    bank = bank_of(None)
    report = bank.update("ctrend", 0.01, day)
    assert not report.accepted
    assert report.reason.startswith("not a day: ")
    assert bank.ignored == 1


def test_a_day_with_an_unusable_return_may_come_again() -> None:
    bank = bank_of(None)
    assert not bank.update("ctrend", math.nan, "2026-01-02").accepted
    assert bank.update("ctrend", 0.01, "2026-01-02").accepted


def test_percentages_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bank = bank_of(None)
    with caplog.at_level(logging.WARNING, "otel_mcbot.detect"):
        for r in (1.5, -2.5, 3.0):
            bank.update("ctrend", r)
    assert len(bank.notices) == 1
    assert "percentages" in bank.notices[0]
    assert len(caplog.records) == 1
    assert "percentages" in bank.auto_init_detectors("other", [1.2, *normal(100, 1)]).reason


@pytest.mark.parametrize(
    "junk", [None, math.nan, "x", object(), [], -5.0, 1e308, True], ids=lambda junk: type(junk).__name__
)
def test_update_never_raises(junk: object) -> None:
    for settings in (BankSettings(), BankSettings(mode="calibrated")):
        bank = bank_of(None, settings)
        for _ in range(3):
            bank.update("ctrend", junk, junk)
            bank.update("unknown", junk)
        assert bank.update("ctrend", 0.01, "2030-01-01").lifecycle is not None


def test_one_broken_detector_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bank = bank_of(None)
    pod = bank.pod("ctrend")
    assert pod is not None
    assert pod.drift is not None
    monkeypatch.setattr(type(pod.drift), "update", lambda self, r: 1 / 0)
    for _ in range(3):
        report = bank.update("ctrend", 0.01)
    assert report.drift is None
    assert report.drawdown is not None
    assert pod.failures == 3
    assert [r.message for r in caplog.records if "drift failed" in r.message] == [
        "pod ctrend: detector drift failed: ZeroDivisionError: division by zero"
    ]


def test_settings_choose_mode_and_driver() -> None:
    def driver(**settings: object) -> object:
        pod = bank_of(None, BankSettings(**settings)).pod("ctrend")  # type: ignore[arg-type]
        assert pod is not None
        return pod.lifecycle.driver

    assert driver().threshold == 50.0  # type: ignore[attr-defined]
    assert isinstance(driver(mode="calibrated"), CusumDetector)
    assert isinstance(driver(driver="rank"), RankShiftDetector)
    assert driver(mode="calibrated", driver="page_hinkley").threshold == 50.0  # type: ignore[attr-defined]
    for wrong in ({"mode": "x"}, {"driver": "x"}, {"budget": 0.5}, {"grace_days": 0}):
        with pytest.raises(ValueError, match="must"):
            BankSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["default", "calibrated"])
def test_a8_after_a_restart_the_next_result_is_the_same_to_the_bit(path: Path, mode: str) -> None:
    settings = BankSettings(mode=mode)  # type: ignore[arg-type]
    live = [*normal(40, 3), math.nan, *normal(60, 4, mean=-0.01), 0.0, 0.0, *normal(60, 5)]
    running = bank_of(None, settings)
    bank_of(path, settings)
    for i, r in enumerate(live):
        day = date(2026, 1, 1) + timedelta(days=i)
        expected = running.update("ctrend", r, day)
        assert expected.accepted == (not math.isnan(r))
        # every bank lives for one update: all that it knows comes from the file
        assert DetectorBank(path, settings).update("ctrend", r, day) == expected


def test_kill_9_between_two_updates(path: Path) -> None:
    live = normal(50, 3, mean=-0.01)
    script = textwrap.dedent(
        """
        import json, sys
        from otel_mcbot.detect import DetectorBank
        path, backtest, live = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
        bank = DetectorBank(path)
        bank.auto_init_detectors("ctrend", backtest)
        for r in live:
            bank.update("ctrend", r)
            print("fed", flush=True)
        sys.stdin.read()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path), json.dumps(normal(365, 1)), json.dumps(live[:40])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(40):
        assert process.stdout.readline() == "fed\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    restarted, running = DetectorBank(path), bank_of(None)
    assert restarted.notices == []
    for r in live[:40]:
        running.update("ctrend", r)
    for r in live[40:]:
        assert restarted.update("ctrend", r) == running.update("ctrend", r)


def test_execution_state_is_in_the_same_file(path: Path) -> None:
    bank = bank_of(path)
    for _ in range(4):
        bank.execution.on_rejection("BTC/USDT")
    assert bank.save()
    assert DetectorBank(path).execution.consecutive_rejections("BTC/USDT") == 4


def damage(raw: bytes, how: str) -> bytes:
    if how == "truncated":
        return raw[: len(raw) // 2]
    if how == "empty":
        return b""
    if how == "binary":
        return bytes(range(256))
    if how == "one digit":
        at = raw.index(b'"peak":') + 9
        return raw[:at] + (b"1" if raw[at : at + 1] != b"1" else b"2") + raw[at + 1 :]
    if how == "a list":
        return b"[1, 2]"
    assert how == "no pods"
    body = '{"execution":{}}'
    import zlib

    return f'{{"schema":{SCHEMA},"crc32":{zlib.crc32(body.encode())},"body":{body}}}'.encode()


@pytest.mark.parametrize("how", ["truncated", "empty", "binary", "one digit", "a list", "no pods"])
def test_a_damaged_file_is_set_aside_and_said(path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    bank = bank_of(path)
    bank.update("ctrend", 0.0123)
    bad = damage(path.read_bytes(), how)
    assert bad != path.read_bytes()
    path.write_bytes(bad)
    with caplog.at_level(logging.WARNING, "otel_mcbot.detect"):
        fresh = DetectorBank(path)
    assert fresh.pods == ()
    aside = path.with_name(path.name + ".corrupt")
    assert aside.read_bytes() == bad
    assert not path.exists()
    assert aside.name in fresh.notices[0]
    assert caplog.records[0].message == fresh.notices[0]
    assert fresh.auto_init_detectors("ctrend", normal(365, 1)).ready
    path.write_bytes(bad)
    DetectorBank(path)
    assert path.with_name(path.name + ".corrupt-2").exists()


@pytest.mark.parametrize("version", [0, 99, "old"])
def test_a_file_of_another_version_is_set_aside_and_said(path: Path, version: object) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"schema": version, "pods": {}}))
    bank = DetectorBank(path)
    assert f"schema {version}" in bank.notices[0]
    assert path.with_name(f"{path.name}.schema-{version}").exists()


def test_a_half_written_file_never_replaces_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = bank_of(path)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    report = bank.update("ctrend", 0.01)
    assert report.accepted
    assert (bank.save_failures, bank.save()) == (1, False)
    assert path.read_bytes() == before
    assert "No space left" in bank.notices[-1]
    monkeypatch.undo()
    assert bank.save()
    assert path.read_bytes() != before


def test_new_settings_keep_backtest_and_lifecycle_state(path: Path) -> None:
    bank = bank_of(path, BankSettings(mode="calibrated"))
    for r in normal(300, 2, mean=-0.03):
        last = bank.update("ctrend", r)
    assert last.lifecycle is not None
    assert last.lifecycle.state is LifecycleState.RETIRED
    renewed = DetectorBank(path, BankSettings())
    assert "settings changed" in renewed.notices[0]
    pod = renewed.pod("ctrend")
    assert pod is not None
    assert len(pod.reference) == 365
    report = renewed.update("ctrend", 0.01)
    assert report.lifecycle is not None
    assert report.lifecycle.state is LifecycleState.RETIRED


def test_updates_from_many_threads(path: Path) -> None:
    bank = DetectorBank(path)
    names = [f"pod{i}" for i in range(6)]
    live = normal(40, 3)
    reports: dict[str, list[PodReport]] = {name: [] for name in names}

    def run(name: str) -> None:
        bank.auto_init_detectors(name, normal(100, 1))
        for r in live:
            reports[name].append(bank.update(name, r))
            bank.execution.on_fill(0.1, 1.0, name)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bank.save_failures == 0
    first = [r.drawdown for r in reports["pod0"]]
    assert all([r.drawdown for r in reports[name]] == first for name in names)
    assert set(DetectorBank(path).pods) == set(names)


def test_a_pod_that_gets_its_backtest_later_keeps_its_days_and_state() -> None:
    bank = DetectorBank()
    for i, r in enumerate(normal(70, 2)):
        before = bank.update("new", r, f"2026-{1 + i // 28:02d}-{1 + i % 28:02d}")
    assert before.decay is not None
    assert bank.auto_init_detectors("new", normal(100, 1)).ready
    assert not bank.update("new", 0.01, before.day).accepted
    after = bank.update("new", 0.01, "2027-01-01")
    assert after.decay is not None
    assert after.decay.n_samples == before.decay.n_samples + 1


def test_without_numpy_a_good_file_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = bank_of(path)
    for r in normal(70, 2):
        bank.update("ctrend", r)
    before = path.read_bytes()
    monkeypatch.setitem(sys.modules, "numpy", None)
    broken = DetectorBank(path)
    assert "cannot be used" in broken.notices[0]
    broken.update("ctrend", 0.01)
    assert path.read_bytes() == before


def test_removing_a_pod(path: Path) -> None:
    bank = bank_of(path)
    bank.remove("ctrend")
    assert DetectorBank(path).pods == ()


def test_importing_the_detectors_imports_no_library() -> None:
    code = (
        "import sys, otel_mcbot.detect, otel_mcbot.detect.tools\n"
        "bank = otel_mcbot.detect.DetectorBank()\n"
        "assert 'numpy' not in sys.modules\n"
        "import random\n"
        "bank.auto_init_detectors('p', [random.gauss(0, .02) for _ in range(365)])\n"
        "[bank.update('p', random.gauss(0, .02)) for _ in range(70)]\n"
        "print([m for m in ('scipy', 'sklearn', 'matplotlib', 'pandas') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
