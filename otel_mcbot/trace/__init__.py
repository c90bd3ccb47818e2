"""The trace of an order: stages, the cycle they belong to, and carrying both across queues and restarts."""

from otel_mcbot.trace.lifecycle import Lifecycle
from otel_mcbot.trace.order import submit_order, update
from otel_mcbot.trace.propagation import Scope, Trace, attributes_here, context_of, resume, scope_here
from otel_mcbot.trace.stages import exchange_call, generate_signal, pre_trade_check, process_signal, trade_cycle

__all__ = [
    "Lifecycle",
    "Scope",
    "Trace",
    "attributes_here",
    "context_of",
    "exchange_call",
    "generate_signal",
    "pre_trade_check",
    "process_signal",
    "resume",
    "scope_here",
    "submit_order",
    "trade_cycle",
    "update",
]
