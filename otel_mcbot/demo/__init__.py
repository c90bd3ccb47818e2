"""A market and a small honest bot, instrumented with the public API alone: the example to copy.

Start reading at :mod:`otel_mcbot.demo.bot`. The bot is one asyncio event bus with two strategies in two pods, a
portfolio manager, a risk manager, an order manager and a paper exchange. It is deterministic: a seed and the bars
decide what happens to every order, the clock of the machine only when.
"""
