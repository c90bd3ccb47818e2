"""What must hold of the traces of a bot: parents, required attributes, ends. One line for every breach.

Written against spans as :mod:`otlp_files` reads them, so it judges what really left a process.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from otlp_files import Span

ROOTS = ("trade_cycle", "trade_cycle.continued")

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "trade_cycle": ("mcbot.cycle.outcome",),
    "trade_cycle.continued": ("mcbot.cycle.outcome",),
    "strategy.generate_signal": ("trading.signal.direction",),
    "pm.process_signal": (),
    "rm.pre_trade_check": ("trading.check.result",),
    "oms.submit_order": (
        "trading.order.client_id",
        "trading.order.side",
        "trading.order.type",
        "trading.order.status",
    ),
    "oms.await_fill": ("trading.order.client_id", "trading.order.status"),
    "exchange.create_order": ("trading.exchange.operation", "server.address"),
    "exchange.cancel_order": ("trading.exchange.operation", "server.address"),
}
"""Span name → attributes that it must have, besides :data:`COMMON`."""

COMMON = ("trading.strategy.name", "trading.instrument.symbol")

VALUES: Mapping[str, frozenset[str]] = {
    "mcbot.cycle.outcome": frozenset(
        {"no_order", "denied", "filled", "partially_filled", "rejected"}
        | {"canceled", "expired", "working", "abandoned", "interrupted"}
    ),
    "trading.signal.direction": frozenset({"long", "short", "neutral"}),
    "trading.check.result": frozenset({"approved", "resized", "denied"}),
    "trading.order.side": frozenset({"buy", "sell"}),
    "trading.order.type": frozenset({"market", "limit", "stop_market", "stop_limit"}),
    "trading.order.status": frozenset(
        {"pending_new", "new", "partially_filled", "filled", "canceled", "replaced", "rejected", "expired"}
    ),
}

ORDER_LINE = ("exchange.create_order", "oms.submit_order", "rm.pre_trade_check", "pm.process_signal", "trade_cycle")
"""Each stage of an order and the one that stands around it, of a bot that has them all."""


def traces(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Trace id → its spans, by start."""
    found: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        found[span.trace_id].append(span)
    return dict(found)


def broken(spans: Iterable[Span]) -> list[str]:
    """What is wrong with the traces, whatever the bot does."""
    return [f"{spans[0].trace_id}: {line}" for spans in traces(spans).values() for line in _broken(spans)]


def _broken(spans: list[Span]) -> Iterator[str]:
    by_id = {span.span_id: span for span in spans}
    roots = [span for span in spans if not span.parent_id]
    if len(by_id) != len(spans):
        yield "a span id is there twice"
    if len(roots) != 1:
        yield f"{len(roots)} roots among {sorted(span.name for span in spans)}"
        return
    (root,) = roots
    if root.name not in ROOTS:
        yield f"the root is {root.name}"
    if root.name == "trade_cycle.continued" and "continues" not in relations(root):
        yield "a continuation is not linked back"
    for span in spans:
        if span.parent_id and span.parent_id not in by_id:
            yield f"{span.name} has a parent that never came"
        if not root.start <= span.start <= span.end <= root.end:
            yield f"{span.name} lies outside its root"
        if span.name not in REQUIRED:
            yield f"unknown span {span.name}"
        for key in (*COMMON, *REQUIRED.get(span.name, ())):
            if span.attributes.get(key) in (None, ""):
                yield f"{span.name} has no {key}"
        for key, allowed in VALUES.items():
            if span.attributes.get(key, next(iter(allowed))) not in allowed:
                yield f"{span.name}: {key} is {span.attributes[key]!r}"
        if span.status not in ("", "ERROR"):
            yield f"{span.name} has the status {span.status}"
        if (span.status == "ERROR") != ("error.type" in span.attributes):
            yield f"{span.name}: status {span.status!r}, error.type {span.attributes.get('error.type')!r}"
        if span.kind != ("CLIENT" if span.name.startswith("exchange.") else "INTERNAL"):
            yield f"{span.name} is {span.kind}"


def relations(span: Span) -> set[str]:
    """Why it is linked to others."""
    return {str(link["attributes"].get("trading.link.relation")) for link in span.links}


def torn(spans: Iterable[Span]) -> list[str]:
    """Orders whose story is not one trace from the signal to the end, where a bot has every stage on the bus.

    Parents are those of :data:`ORDER_LINE`, signal and ``oms.await_fill`` hang on the root; only what came after the
    root's end may be elsewhere, in continuations that are linked, one to the other, back to it.
    """
    found = []
    by_trace = traces(spans)
    by_order: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if "trading.order.client_id" in span.attributes:
            by_order[span.attributes["trading.order.client_id"]].append(span)
    for order, own in by_order.items():
        submits = [span for span in own if span.name == "oms.submit_order"]
        if len(submits) != 1:
            found.append(f"{order}: {len(submits)} oms.submit_order")
            continue
        trace = by_trace[submits[0].trace_id]
        found += [f"{order}: {line}" for line in _torn(submits[0], trace)]
        known = {submits[0].trace_id}
        for root in _roots(own, by_trace):
            if root.trace_id not in known and not known & {link["traceId"].lower() for link in root.links}:
                found.append(f"{order}: {root.name} leads back to nothing of it")
            known.add(root.trace_id)
    return found


def _torn(submit: Span, trace: list[Span]) -> Iterator[str]:
    by_id = {span.span_id: span for span in trace}
    attempts = [span for span in trace if span.parent_id == submit.span_id and span.name == "exchange.create_order"]
    if not attempts:
        yield "no exchange.create_order"
    for span in attempts:
        line = [span]
        while line[-1].parent_id:
            line.append(by_id[line[-1].parent_id])
        if tuple(each.name for each in line) != ORDER_LINE:
            yield " < ".join(each.name for each in line)
        if not all(outer.start <= inner.start for inner, outer in pairwise(line)):
            yield "a stage starts before the one around it"
    root = next(span for span in trace if not span.parent_id)
    hanging = Counter(span.name for span in trace if span.parent_id == root.span_id)
    expected = {"strategy.generate_signal": 1, "pm.process_signal": 1, "oms.await_fill": 1}
    if submit.attributes.get("trading.order.status") == "rejected":
        del expected["oms.await_fill"]
    if dict(hanging) != expected:
        yield f"under the root: {dict(hanging)}"
    chains = {span.attributes.get("trading.correlation.id") for span in trace}
    if len(chains) != 1 or None in chains:
        yield f"correlation ids {chains}"


def _roots(spans: list[Span], by_trace: Mapping[str, list[Span]]) -> list[Span]:
    """The roots over ``spans``, by start."""
    roots = [next(span for span in by_trace[id] if not span.parent_id) for id in {span.trace_id for span in spans}]
    return sorted(roots, key=lambda root: root.start)
