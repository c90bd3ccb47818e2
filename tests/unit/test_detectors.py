"""``telemetry.detectors``: what a bot's facts and days become in metrics and records, and on which thread."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

import otel_mcbot as mcbot
from otel_mcbot import facts
from otel_mcbot.detect import PodReport, Severity
from otel_mcbot.detectors import CYCLE, Detectors
from otel_mcbot.guard import Guard
from otel_mcbot.testing import Captured, capture

EVENT = "mcbot.anomaly"
START = date(2026, 1, 1)


def normal(count: int, seed: int, mean: float = 0.001) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(mean, 0.02) for _ in range(count)]


@pytest.fixture
def bot() -> Iterator[Captured]:
    with capture() as captured:
        yield captured


def detectors_of(captured: Captured) -> Detectors:
    found = captured.hub.detectors
    assert isinstance(found, Detectors)
    return found


def feed(captured: Captured, returns: list[float], pod: str = "pod-1") -> PodReport:
    for r in returns:
        report = detectors_of(captured).update(pod, r).result(0)
    return report


# -- pods --------------------------------------------------------------------------------------------------------------


def test_a_day_becomes_gauges_once_the_detectors_are_ready(bot: Captured) -> None:
    assert detectors_of(bot).auto_init("pod-1", normal(365, 1)).result(0).ready
    feed(bot, normal(29, 2))
    assert bot.value("mcbot_gbm_severity") is None
    assert bot.value("mcbot_distribution_p_value") is None
    report = feed(bot, normal(31, 3))
    assert report.drawdown is not None
    assert report.drift is not None
    assert report.decay is not None
    assert bot.value("mcbot_gbm_drawdown_depth", strategy="pod-1") == report.drawdown.current_depth
    assert bot.value("mcbot_gbm_drawdown_duration_days") == report.drawdown.current_duration_days
    assert bot.value("mcbot_gbm_severity") == report.drawdown.severity.level
    assert bot.value("mcbot_distribution_ks_statistic") == report.drift.ks_statistic
    assert bot.value("mcbot_distribution_p_value") == report.drift.p_value
    assert bot.value("mcbot_ransac_slope") == report.decay.ransac_slope
    assert bot.value("mcbot_ransac_conformal_lower") == report.decay.conformal_lower_bound
    assert bot.value("mcbot_ransac_decay_detected") == report.decay.decay_detected
    assert bot.value("mcbot_pod_lifecycle_state", pod_id="pod-1", mcbot_pod_lifecycle_state="production") == 1


def test_an_anomaly_counts_once_and_leaves_a_record_with_its_numbers(bot: Captured) -> None:
    detectors_of(bot).auto_init("pod-1", normal(365, 1))
    report = feed(bot, normal(90, 2, mean=-0.02))
    assert report.drawdown is not None
    assert report.drawdown.severity is Severity.CRITICAL
    records = [r for r in bot.events(EVENT) if (r.attributes or {})["mcbot.anomaly.detector"] == "gbm_drawdown"]
    assert bot.value("mcbot_anomalies_total", detector="gbm_drawdown") == len(records)
    last = records[-1]
    assert last.attributes is not None
    assert last.attributes["mcbot.anomaly.severity"] == "critical"
    assert last.attributes["trading.pod.id"] == "pod-1"
    assert last.severity_text == "ERROR"
    assert 0 < float(str(last.attributes["mcbot.anomaly.current_depth"])) < 1
    assert "a strategy review is recommended" in str(last.body)
    assert any("Return distribution has shifted significantly" in str(r.body) for r in bot.events(EVENT))
    # a risk alert as well, and one only
    assert bot.value("mcbot_risk_alerts_total", level="CRITICAL") == 1
    assert len(bot.events("mcbot.risk_alert")) == 1


def test_only_the_lifecycle_moves_a_pod() -> None:
    with capture(detectors="calibrated") as bot:
        detectors_of(bot).auto_init("pod-1", normal(365, 1))
        report = feed(bot, normal(200, 2, mean=-0.02))
        assert report.lifecycle is not None
        assert report.lifecycle.state == "retired"
        assert detectors_of(bot).status("pod-1") == "PH: 3/3"
        assert bot.value("mcbot_pod_lifecycle_state", pod_id="pod-1", mcbot_pod_lifecycle_state="retired") == 1
        assert bot.value("mcbot_pod_lifecycle_state", pod_id="pod-1", mcbot_pod_lifecycle_state="production") == 0
        moves = [str(r.body) for r in bot.events(EVENT) if "->" in str(r.body)]
        assert [move.split(" (")[0] for move in moves] == [
            "pod-1: production -> warning",
            "pod-1: warning -> probation",
            "pod-1: probation -> retired",
        ]
        assert bot.value("mcbot_anomalies_total", detector="page_hinkley", severity="WARNING") == 1
        assert bot.value("mcbot_anomalies_total", detector="page_hinkley", severity="CRITICAL") == 1


def test_by_default_a_year_of_critical_changes_no_state(bot: Captured) -> None:
    detectors_of(bot).auto_init("pod-1", normal(365, 1))
    seen = set()
    for r in normal(365, 2, mean=-0.004):
        report = feed(bot, [r])
        for name in ("drawdown", "drift", "decay"):
            result = getattr(report, name)
            if result.severity is Severity.CRITICAL:
                seen.add(name)
    assert {"drawdown", "drift"} <= seen
    assert bot.value("mcbot_pod_lifecycle_state", pod_id="pod-1", mcbot_pod_lifecycle_state="production") == 1
    lifecycle = detectors_of(bot).lifecycle("pod-1")
    assert lifecycle is not None
    assert (lifecycle.status, lifecycle.ph) == ("HEALTHY", "PH: 0/3")


def test_what_is_no_day_changes_no_gauge(bot: Captured) -> None:
    detectors = detectors_of(bot)
    detectors.auto_init("pod-1", normal(365, 1))
    feed(bot, normal(60, 2))
    assert detectors.update("pod-1", 0.01, "2026-01-02").result(0).accepted
    before = bot.value("mcbot_gbm_drawdown_depth")
    for junk, day in ((math.nan, None), (None, None), ("0.1", None), (object(), None), (-0.5, "2026-01-02")):
        report = detectors.update("pod-1", junk, day).result(0)
        assert not report.accepted
        assert report.reason
    assert bot.value("mcbot_gbm_drawdown_depth") == before
    assert not detectors.auto_init("new", [0.01] * 10).result(0).ready
    assert detectors.status("new") is None
    detectors.remove("pod-1")
    assert bot.value("mcbot_gbm_severity") is None


# -- execution ---------------------------------------------------------------------------------------------------------


class Venue:
    """Tells of orders at times of its own."""

    def __init__(self, bot: Captured) -> None:
        self.bot = bot
        self.now = time.monotonic()
        self.count = 0

    def order(
        self,
        symbol: str = "BTC/USDT",
        *,
        signal: float | None = None,
        seconds: float = 1.0,
        price: float = 100.0,
        reject: bool = False,
    ) -> str:
        """``signal``: seconds between the signal and the request; ``seconds``: until the answer. Returns its id."""
        self.count += 1
        self.now += 10.0
        name = f"trend-x-{self.count}"
        own = {"client_id": name, "symbol": symbol}
        bought = {"side": "buy", "quantity": 1.0}
        if signal is not None:
            at = self.now - signal
            self.bot.tell(facts.SignalGenerated(strategy="trend", symbol=symbol, direction="LONG", at=at))
        asked = {"strategy": "trend", "pod_id": "pod-1", "expected_price": 100.0}
        self.bot.tell(facts.OrderRequested(**own, **bought, **asked, at=self.now))
        if reject:
            self.bot.tell(facts.OrderRejected(**own, reason="margin", at=self.now + seconds))
        else:
            self.bot.tell(facts.OrderFilled(**own, **bought, price=price, at=self.now + seconds))
        return name


def test_a_slow_fill_is_said_in_the_orders_own_trace(bot: Captured) -> None:
    venue = Venue(bot)
    for _ in range(6):
        venue.order()
    assert bot.events(EVENT) == []
    slow = venue.order(seconds=9.0)
    (record,) = bot.events(EVENT)  # the symbol's detector and the one of all saw the same: said once
    assert record.attributes is not None
    assert record.attributes["mcbot.anomaly.kind"] == "latency_spike"
    assert record.attributes["trading.instrument.symbol"] == "BTC/USDT"
    assert record.attributes["trading.order.client_id"] == slow
    assert record.attributes["mcbot.anomaly.value"] == pytest.approx(9.0)
    assert record.attributes["mcbot.anomaly.unit"] == "s"
    (filled,) = (
        r for r in bot.events("trading.order.filled") if (r.attributes or {})["trading.order.client_id"] == slow
    )
    assert record.trace_id == filled.trace_id != 0
    assert bot.value("mcbot_anomalies_total", detector="execution", severity="WARNING") == 1
    venue.order()
    venue.order(seconds=20.0)  # well in between: a new one
    assert bot.value("mcbot_anomalies_total", detector="execution", severity="WARNING") == 2


def test_latency_is_from_the_signal_where_one_is_known(bot: Captured) -> None:
    venue = Venue(bot)
    for _ in range(6):
        venue.order(signal=1.0)  # 2 s in all
    venue.order(signal=4.0)
    assert bot.events(EVENT) == []
    venue.order(signal=9.0)  # the order itself took as long as ever
    (record,) = bot.events(EVENT)
    assert "10.00 s" in str(record.body)


def test_rejections_in_a_row(bot: Captured) -> None:
    venue = Venue(bot)
    for symbol in ("A/USDT", "B/USDT", "A/USDT"):
        venue.order(symbol, reject=True)
    (record,) = bot.events(EVENT)
    assert str(record.body) == "3 orders rejected in a row"
    assert bot.value("mcbot_execution_consecutive_rejections") == 3
    venue.order("A/USDT", reject=True)  # the third of its own
    assert str(bot.events(EVENT)[-1].body) == "A/USDT: 3 orders rejected in a row"
    venue.order("B/USDT", reject=True)
    assert bot.value("mcbot_anomalies_total", detector="execution", severity="CRITICAL") == 1
    venue.order("A/USDT")
    assert bot.value("mcbot_execution_consecutive_rejections") == 0
    assert bot.value("mcbot_anomalies_total", detector="execution") == 3


def test_slippage_that_rises_three_times(bot: Captured) -> None:
    venue = Venue(bot)
    for price in (100.0, 100.1, 100.2, 100.3):
        venue.order(price=price)
    (record,) = bot.events(EVENT)
    assert (record.attributes or {})["mcbot.anomaly.kind"] == "slippage_trend"
    assert "from 0.0 to 30.0 bps" in str(record.body)


def test_the_fill_rate_is_looked_at_every_cycle_and_no_fill_at_all_alarms(bot: Captured) -> None:
    bot.tick()
    for number in range(4):
        bot.tell(facts.OrderRequested(client_id=f"t-x-{number}", symbol="BTC/USDT", side="buy", quantity=1.0))
    bot.tick(CYCLE + 1)
    assert bot.value("mcbot_execution_fill_rate") is None
    bot.tell(facts.OrderRequested(client_id="refused", symbol="BTC/USDT", side="buy", quantity=1.0, validated=False))
    bot.tick(2 * CYCLE + 2)
    assert bot.value("mcbot_execution_fill_rate") is None  # what risk management holds was not sent
    bot.tell(facts.OrderRequested(client_id="t-x-5", symbol="BTC/USDT", side="buy", quantity=1.0))
    assert bot.value("mcbot_execution_fill_rate") is None
    bot.tick(3 * CYCLE + 3)
    assert bot.value("mcbot_execution_fill_rate") == 0
    bot.tick(4 * CYCLE + 4)
    (record,) = bot.events(EVENT)
    assert str(record.body) == "BTC/USDT: fill rate 0% of 5 orders in 60 min"


# -- the process -------------------------------------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mcbot.Telemetry]:
    monkeypatch.setenv("MCBOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("MCBOT_FIND_COLLECTOR", "false")
    monkeypatch.setattr(Guard, "strict", False)  # configure() sets it for the process: put back afterwards
    telemetry = mcbot.configure("judge", strict=True)
    yield telemetry
    telemetry.close()


def test_a_day_is_judged_in_the_keepers_thread_and_is_on_disk_then(
    live: mcbot.Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    update = live.detectors.bank.update
    monkeypatch.setattr(
        live.detectors.bank, "update", lambda *args: (threads.append(threading.current_thread().name), update(*args))[1]
    )
    assert live.detectors.auto_init("pod-1", normal(365, 1)).result(30).ready
    returns = normal(80, 2)
    futures = [live.detectors.update("pod-1", r, START + timedelta(i)) for i, r in enumerate(returns)]
    assert futures[-1].result(30).accepted
    assert threads == ["mcbot-keeper"] * len(returns)
    (file,) = tmp_path.glob("judge/*/detectors.json")
    assert json.loads(file.read_text())["body"]["pods"]["pod-1"]["last_day"] == "2026-03-21"


def test_after_close_it_says_that_it_is_off(live: mcbot.Telemetry) -> None:
    live.close()
    report = live.detectors.update("pod-1", 0.01).result(0)
    assert (report.accepted, report.reason) == (False, "telemetry is off")
    assert live.detectors.auto_init("pod-1", [0.01]).result(0).reason == "telemetry is off"


def test_after_a_restart_gauges_are_there_and_nothing_is_news(tmp_path: Path) -> None:
    with capture() as bot:
        detectors_of(bot).start(tmp_path)
        detectors_of(bot).auto_init("pod-1", normal(365, 1))
        feed(bot, normal(90, 2, mean=-0.02))
        before = bot.metrics["mcbot_gbm_drawdown_depth"]
        assert bot.value("mcbot_gbm_severity") == 2
    with capture() as bot:
        detectors_of(bot).start(tmp_path)
        assert bot.metrics["mcbot_gbm_drawdown_depth"] == before
        assert bot.value("mcbot_gbm_severity") == 2
        assert bot.value("mcbot_pod_lifecycle_state", pod_id="pod-1", mcbot_pod_lifecycle_state="production") == 1
        feed(bot, [-0.001])
        assert bot.value("mcbot_anomalies_total") == 0
        assert bot.value("mcbot_risk_alerts_total", level="CRITICAL") in (None, 0)
        assert bot.events(EVENT) == []


def test_averages_of_execution_survive_a_restart(tmp_path: Path) -> None:
    with capture() as bot:
        detectors_of(bot).start(tmp_path)
        venue = Venue(bot)
        for _ in range(6):
            venue.order()
        bot.tick(CYCLE + 1)
    with capture() as bot:
        detectors_of(bot).start(tmp_path)
        Venue(bot).order(seconds=9.0)
        assert len(bot.events(EVENT)) == 1


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("MCBOT_DETECTORS", "loud", "default, calibrated"),
        ("MCBOT_DETECTOR_BUDGET", "0.5", "a number from 0.01 to 0.2"),
        ("MCBOT_DETECTOR_DRIVER", "luck", "page_hinkley, cusum, rank"),
        ("MCBOT_DETECTOR_GRACE_DAYS", "1", "a whole number from 2"),
    ],
)
def test_settings(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(mcbot.SettingsError) as caught:
        mcbot.Settings.load({variable: value})
    assert f"{variable}='{value}': allowed {allowed}" in str(caught.value)


def test_settings_reach_the_bank() -> None:
    with capture(detectors="calibrated", detector_budget=0.1, detector_driver="rank", detector_grace_days=60) as bot:
        settings = detectors_of(bot).bank.settings
        assert (settings.mode, settings.budget, settings.driver, settings.grace_days) == ("calibrated", 0.1, "rank", 60)
