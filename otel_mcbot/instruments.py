"""The handles that the catalog is made of: instruments that trading code can touch without fear.

A handle is made at import, costs nothing until it is bound to a meter, and never raises: a ``Decimal`` or an enum is
made right, a value or label that cannot be is dropped and counted in :data:`dropped`. Under ``strict`` (tests) such a
mistake raises :class:`MeasurementError` instead. Labels are keywords, so a wrong name is seen.

Gauges and observable counters are asked at collection, in the exporter's thread, once a reader; what they answer from
is never changed in place while it is read. Synchronous counters and histograms carry exemplars: give ``context`` to
record in an order's own trace. ``suppress_instrumentation`` holds back counters and histograms.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import ClassVar, Final, TypeVar, cast

from opentelemetry.context import Context, get_value
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_mcbot.facts import number, text
from otel_mcbot.guard import Guard
from otel_mcbot.naming import Kind, prometheus_name

LIMIT: Final = 1_000
"""Label sets an instrument takes; the next are refused and counted. The SDK folds more than 2,000 into one."""

_SUPPRESS: Final = "suppress_instrumentation"
# the plain key that opentelemetry.instrumentation.utils.suppress_instrumentation() sets beside its private one

dropped: Tally[str] = Tally()
"""Measurements not recorded, by reason: ``value``, ``negative``, ``label``, ``state``, ``cardinality``, ``error``."""

F = TypeVar("F", bound=Callable[..., None])

Watched = Callable[[], Iterable[tuple[float | None, Mapping[str, object]]]]
"""Read at collection: values with their labels. ``None`` is no value: the series is absent, never a false 0."""


class MeasurementError(ValueError):
    """A measurement that cannot be recorded as it is. Raised under ``strict`` only."""


def _safe(method: F) -> F:
    """Of a handle that is bound, and without raising."""

    @functools.wraps(method)
    def safe(handle: Handle, *args: object, **labels: object) -> None:
        if handle.bound:
            try:
                method(handle, *args, **labels)
            except MeasurementError:
                raise
            except Exception as error:
                handle.failed(error)

    return cast(F, safe)


class Handle:
    """What all instruments share.

    Args:
        name: OTel name, lower case, dotted.
        unit: UCUM, an annotation in braces, or bare ``usdt``, ``bps``, ``pct``.
        labels: the keywords that a measurement must have, all of them; words in one string.
        meaning: one line for people; the description on the wire.
        limit: most label sets that are taken.
    """

    __slots__ = ("_lock", "_meter", "_readers", "_strict", "labels", "limit", "meaning", "name", "unit")

    kind: ClassVar[Kind]
    type: ClassVar[str]
    """``counter``, ``gauge``, ``histogram``, ``info`` or ``enum``."""

    def __init__(self, name: str, unit: str, labels: str, meaning: str, *, limit: int = LIMIT) -> None:
        self.name = name
        self.unit = unit
        self.meaning = meaning
        self.labels = tuple(labels.split())
        self.limit = limit
        self.unbind()

    def __repr__(self) -> str:
        return f"<{self.type} {self.prometheus_name}{{{', '.join(self.all_labels)}}}>"

    @property
    def bound(self) -> bool:
        """Whether measurements go anywhere."""
        return self._meter is not None

    @property
    def prometheus_name(self) -> str:
        return prometheus_name(self.name, self.unit, self.kind)

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The labels of the series, also those that no measurement gives."""
        return self.labels

    def unbind(self) -> None:
        """Forget everything; measurements cost next to nothing and go nowhere."""
        self._meter: Meter | None = None
        self._readers = 1
        self._strict = False
        self._lock = threading.RLock()  # re-entrant: a collector of garbage may interrupt us and come back in

    def bind(self, meter: Meter, *, readers: int = 1, strict: bool = False) -> None:
        """Begin to measure with ``meter``, from nothing. ``readers`` is how many readers collect from it."""
        self.unbind()
        self._readers = max(1, readers)
        self._strict = strict
        self._meter = meter

    def _drop(self, reason: str, detail: str) -> None:
        dropped[reason] += 1
        if self._strict and reason != "cardinality":
            raise MeasurementError(f"{self.name}: {detail}")

    def failed(self, error: Exception) -> None:
        """Something of ours went wrong: counted, raised under ``strict``."""
        dropped["error"] += 1
        if self._strict:
            raise error

    def _values(self, labels: Mapping[str, object]) -> tuple[str, ...] | None:
        """The values of the declared labels in their order, each exactly a ``str``, or ``None`` when one is missing."""
        values = []
        for name in self.labels:
            value = labels.get(name)
            plain = value if type(value) is str else text(value)  # a StrEnum would be another series
            if not plain:
                self._drop("label", f"label {name!r} is missing")
                return None
            values.append(plain)
        if self._strict and len(labels) > len(values):
            raise MeasurementError(f"{self.name}: unknown labels {sorted(set(labels) - set(self.labels))}")
        return tuple(values)


class _Synchronous(Handle):
    """Counters and histograms. A label set that came once is found again by one look-up."""

    __slots__ = ("_known", "_sets", "_write")

    def unbind(self) -> None:
        super().unbind()
        self._write: Callable[[float, Mapping[str, str], Context | None], None] | None = None
        self._known: dict[tuple[object, ...], Mapping[str, str]] = {}
        self._sets: set[tuple[str, ...]] = set()

    def _measure(self, value: object, context: Context | None, labels: Mapping[str, object], signed: bool) -> None:
        write = self._write
        if write is None:
            return
        try:
            amount = value if type(value) is float else number(value)
            if amount is None or not isfinite(amount):
                return self._drop("value", f"{value!r} is no finite number")
            if amount < 0 and not signed:
                return self._drop("negative", f"{amount} is below 0")
            attributes = self._known.get((*labels, *labels.values()))
            if attributes is None:
                attributes = self._admit(labels)
            if attributes is None or get_value(_SUPPRESS):
                return None
            return write(amount, attributes, context)
        except MeasurementError:
            raise
        except Exception as error:
            return self.failed(error)

    def _admit(self, labels: Mapping[str, object]) -> Mapping[str, str] | None:
        values = self._values(labels)
        if values is None:
            return None
        with self._lock:
            if values not in self._sets:
                if len(self._sets) >= self.limit:
                    self._drop("cardinality", f"more than {self.limit} label sets")
                    return None
                self._sets.add(values)
            attributes = dict(zip(self.labels, values, strict=True))
            if len(labels) == len(values):  # by the caller's order of keywords; a StrEnum finds the string it equals
                self._known[(*labels, *(attributes[name] for name in labels))] = attributes
        return attributes


class Counter(_Synchronous):
    """Counts up. Without a measurement there is no series: :meth:`zero` what an alert reads."""

    __slots__ = ()
    kind = "counter"
    type = "counter"

    def bind(self, meter: Meter, *, readers: int = 1, strict: bool = False) -> None:
        super().bind(meter, readers=readers, strict=strict)
        self._write = meter.create_counter(self.name, self.unit, self.meaning).add

    def add(self, amount: object = 1.0, *, context: Context | None = None, **labels: object) -> None:
        """Count ``amount`` (0 or more) more."""
        self._measure(amount, context, labels, False)

    @_safe
    def zero(self, **labels: object) -> None:
        """Let the label set exist at 0. Takes at most half of the limit, so that what happens has room."""
        known = (*labels, *labels.values()) in self._known
        if not known and len(self._sets) < self.limit // 2 and self._admit(labels) is not None:
            self._measure(0.0, None, labels, False)


class Histogram(_Synchronous):
    """Counts values into buckets. ``buckets`` are upper bounds.

    A ``signed`` one takes values below 0, which the SDK refuses in a histogram: it is an up-down counter that a view of
    the provider turns into a histogram (:func:`otel_mcbot.catalog.signed_histograms`). A provider without that view
    gets a plain histogram: values below 0 are dropped and counted.
    """

    __slots__ = ("_signed", "buckets", "signed")
    kind = "histogram"
    type = "histogram"

    def __init__(
        self,
        name: str,
        unit: str,
        labels: str,
        meaning: str,
        *,
        buckets: Sequence[float],
        limit: int = LIMIT,
        signed: bool = False,
    ) -> None:
        self.buckets = tuple(map(float, buckets))
        self.signed = signed
        super().__init__(name, unit, labels, meaning, limit=limit)

    def bind(self, meter: Meter, *, readers: int = 1, strict: bool = False, viewed: bool = False) -> None:
        super().bind(meter, readers=readers, strict=strict)
        self._signed = self.signed and viewed
        if self._signed:
            self._write = meter.create_up_down_counter(self.name, self.unit, self.meaning).add
        else:
            self._write = meter.create_histogram(
                self.name, self.unit, self.meaning, explicit_bucket_boundaries_advisory=self.buckets
            ).record

    def unbind(self) -> None:
        super().unbind()
        self._signed = False

    def record(self, value: object, *, context: Context | None = None, **labels: object) -> None:
        """Count ``value`` into its bucket."""
        if self.signed and not self._signed and (plain := number(value)) is not None and plain < 0:
            dropped["negative"] += 1  # the provider's lack, no mistake of the caller
            return
        self._measure(value, context, labels, self._signed)


class _Cell:
    """One series of a gauge. ``zeros`` is ``None`` while it lives, else how often it is still to be reported as 0."""

    __slots__ = ("attributes", "value", "zeros")

    def __init__(self, value: float, attributes: Mapping[str, str]) -> None:
        self.value = value
        self.attributes = attributes
        self.zeros: int | None = None


class _Observed(Handle):
    """Instruments that are asked at collection."""

    __slots__ = ("_watched",)

    def unbind(self) -> None:
        super().unbind()
        self._watched: tuple[Watched, ...] = ()

    def watch(self, read: Watched) -> None:
        """Ask ``read`` at each collection, in the exporter's thread, beside what else is known. Until unbound."""
        if self.bound:
            with self._lock:
                self._watched = (*self._watched, read)

    def _callback(self, meter: Meter) -> Callable[[CallbackOptions], Iterable[Observation]]:
        # The SDK keeps the callback for ever: it answers for the meter that it was made for and for no other.
        return functools.partial(self._asked, meter)

    def _asked(self, meter: Meter, options: CallbackOptions) -> Iterable[Observation]:
        return self._observe() if self._meter is meter else ()

    def _observe(self) -> Iterable[Observation]:
        raise NotImplementedError

    def _read(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for read in self._watched:
            with Guard(f"watch {self.name}"):
                for value, labels in read():
                    if value is None:
                        continue
                    plain = number(value)
                    if plain is None:
                        self._drop("value", f"{value!r} is no finite number")
                    elif (values := self._values(labels)) is not None:
                        yield values, plain


class ObservableCounter(_Observed):
    """A count that somebody else keeps. A label set new to a reader is reported as 0 once, then as what it is.

    Its start time would be that of its first report, too late for Prometheus to see a rise to the first value. Readers
    are told apart by counting: with several of very different pace the quick one may take the slow one's 0.
    """

    __slots__ = ("_seen",)
    kind = "counter"
    type = "counter"

    def bind(self, meter: Meter, *, readers: int = 1, strict: bool = False) -> None:
        super().bind(meter, readers=readers, strict=strict)
        meter.create_observable_counter(self.name, [self._callback(meter)], self.unit, self.meaning)

    def unbind(self) -> None:
        super().unbind()
        self._seen: dict[tuple[str, ...], int] = {}

    def _observe(self) -> Iterator[Observation]:
        for values, value in self._read():
            seen = self._seen.get(values, 0)
            if seen == 0 and len(self._seen) >= self.limit:
                self._drop("cardinality", f"more than {self.limit} label sets")
                continue
            if seen < self._readers:
                self._seen[values] = seen + 1
                value = 0.0
            yield Observation(value, dict(zip(self.labels, values, strict=True)))


class Gauge(_Observed):
    """A state. Always observable: reported at each collection until removed.

    A removed series is reported as 0 once a reader and then is gone, so that neither a sum nor a graph keeps its last
    value. Readers are told apart by counting: one that is much quicker than the others may take their 0.
    """

    __slots__ = ("_cells",)
    kind = "gauge"
    type = "gauge"

    def bind(self, meter: Meter, *, readers: int = 1, strict: bool = False) -> None:
        super().bind(meter, readers=readers, strict=strict)
        meter.create_observable_gauge(self.name, [self._callback(meter)], self.unit, self.meaning)

    def unbind(self) -> None:
        super().unbind()
        self._cells: dict[tuple[str, ...], _Cell] = {}  # replaced when a series comes or goes, never changed

    @_safe
    def set(self, value: object, **labels: object) -> None:
        """The state is ``value`` now."""
        plain = number(value)
        if plain is None:
            self._drop("value", f"{value!r} is no finite number")
        elif (values := self._values(labels)) is not None:
            self._put({values: plain})

    @_safe
    def remove(self, **labels: object) -> None:
        """What it was about has ended: 0 once a reader, then gone. A series that never was is fine."""
        values = self._values(labels)
        if values is not None:
            self._end([values])

    @_safe
    def clear(self) -> None:
        """:meth:`remove` of every series."""
        self._end(self._cells)

    @_safe
    def forget(self, **labels: object) -> None:
        """The value is not known any more: gone at once, without a 0 that would be false."""
        values = self._values(labels)
        if values in self._cells:
            with self._lock:
                self._cells = {key: cell for key, cell in self._cells.items() if key != values}

    def _put(self, series: Mapping[tuple[str, ...], float]) -> None:
        """Set all of ``series`` at once: no collection sees half of them."""
        with self._lock:
            if len(series) == 1:
                ((values, value),) = series.items()
                cell = self._cells.get(values)
                if cell is not None:
                    cell.value, cell.zeros = value, None
                    return
            cells = dict(self._cells)
            for values, value in series.items():
                if values not in cells and len(cells) >= self.limit:
                    self._drop("cardinality", f"more than {self.limit} label sets")
                    continue
                cells[values] = _Cell(value, dict(zip(self.all_labels, values, strict=True)))
            self._cells = cells

    def _end(self, ended: Iterable[tuple[str, ...]]) -> None:
        with self._lock:
            for values in ended:
                cell = self._cells.get(values)
                if cell is not None and cell.zeros is None:
                    cell.zeros = self._readers

    def _observe(self) -> Iterator[Observation]:
        ended = []
        for values, cell in self._cells.items():
            if cell.zeros is None:
                yield Observation(cell.value, cell.attributes)
            else:
                ended.append(values)
                yield Observation(0.0, cell.attributes)
        if ended:
            self._count_zero(ended)
        room = self.limit - len(self._cells)
        for values, value in self._read():
            if room <= 0:
                self._drop("cardinality", f"more than {self.limit} label sets")
                continue
            room -= 1
            yield Observation(value, dict(zip(self.labels, values, strict=True)))

    def _count_zero(self, ended: Iterable[tuple[str, ...]]) -> None:
        with self._lock:
            cells = dict(self._cells)
            for values in ended:
                cell = cells.get(values)
                if cell is not None and cell.zeros is not None:  # else it came back meanwhile
                    cell.zeros -= 1
                    if cell.zeros <= 0:
                        del cells[values]
            self._cells = cells


class EnumGauge(Gauge):
    """One of ``states``: a series a state, whose own label carries the metric's name; exactly one of them is 1."""

    __slots__ = ("states",)
    type = "enum"

    def __init__(
        self, name: str, unit: str, labels: str, meaning: str, *, states: Sequence[str], limit: int = LIMIT
    ) -> None:
        self.states = tuple(states)
        super().__init__(name, unit, labels, meaning, limit=limit)

    @property
    def all_labels(self) -> tuple[str, ...]:
        return (*self.labels, self.prometheus_name)

    @_safe
    def set_state(self, state: object, **labels: object) -> None:
        """``state`` (any case, an enum by its value) is 1, every other is 0."""
        plain = (text(state) or "").lower()
        if plain not in self.states:
            self._drop("state", f"{state!r} is none of {', '.join(self.states)}")
        elif (values := self._values(labels)) is not None:
            self._put({(*values, each): float(each == plain) for each in self.states})

    @_safe
    def remove(self, **labels: object) -> None:
        """The thing itself is gone: all its states 0 once a reader, then no series."""
        values = self._values(labels)
        if values is not None:
            self._end([(*values, each) for each in self.states])


class Info(Gauge):
    """Facts as labels, the value is 1. There is one series: a new one ends the one before."""

    __slots__ = ()
    type = "info"

    @_safe
    def set_info(self, **labels: object) -> None:
        """The facts are ``labels`` now."""
        values = self._values(labels)
        if values is not None:
            self._end(key for key in self._cells if key != values)
            self._put({values: 1.0})
