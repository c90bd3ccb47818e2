# The image of `preview` and `demo` in compose.yaml. Your own bot needs no image of ours: pip install otel-mcbot.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/otel-mcbot
COPY pyproject.toml README.md LICENSE ./
COPY otel_mcbot otel_mcbot
RUN /opt/otel-mcbot/bin/pip install --no-cache-dir --disable-pip-version-check '.[prometheus]'

FROM python:3.13-slim
# A volume mounted here takes over the owner.
RUN mkdir /state && chown 10001:10001 /state
COPY --from=build /opt/otel-mcbot /opt/otel-mcbot
ENV PATH=/opt/otel-mcbot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MCBOT_STATE_DIR=/state \
    OTEL_EXPORTER_PROMETHEUS_PORT=8000
USER 10001:10001
# The heartbeat as the bot publishes it: a hung loop is unhealthy, not only a dead process.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["python", "-c", "\
import re, time, urllib.request; \
text = urllib.request.urlopen('http://127.0.0.1:8000/metrics', timeout=4).read().decode(); \
beat = re.search(r'^mcbot_heartbeat_timestamp\\b\\S* (\\S+)$', text, re.MULTILINE); \
raise SystemExit(not beat or time.time() - float(beat[1]) > 60)"]
ENTRYPOINT ["otel-mcbot"]
CMD ["demo", "--duration", "forever"]
