"""A bot whose strategies are judged once a day against their backtests."""

import random
from datetime import date, timedelta

import otel_mcbot as mcbot

telemetry = mcbot.configure("judged-bot", mode="paper", detectors="calibrated")
market = random.Random(7)

backtest = [market.gauss(0.001, 0.02) for _ in range(365)]  # daily returns, fractions: 0.01 is 1 %
telemetry.detectors.auto_init("pod-trend", backtest)

for number in range(120):  # live, it has stopped working
    day = date(2026, 1, 1) + timedelta(days=number)
    report = telemetry.detectors.update("pod-trend", market.gauss(-0.008, 0.02), day).result()  # a bot need not wait
    for anomaly in report.anomalies:
        if anomaly.is_new:
            print(day, anomaly.severity, anomaly.message)

pod = telemetry.detectors.lifecycle("pod-trend")
if pod is not None:
    print("pod-trend:", pod.state, pod.status)
telemetry.close()
