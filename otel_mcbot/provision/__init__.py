"""Everything under ``grafana/``, made from the catalog and the vocabulary: never written by hand, never out of step.

A metric, a label or an attribute is named once, in :mod:`otel_mcbot.catalog` or :mod:`otel_mcbot.semconv`; a query is
put together from there. :mod:`.files` says which files there are, one module a dashboard says what is on it,
:mod:`.grammar` which colour and unit a meaning has, :mod:`.panels` what a panel looks like.
"""
