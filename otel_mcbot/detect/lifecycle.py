"""The state of a pod: production, warning, probation, retired. Only a shift of the mean return moves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from otel_mcbot.detect.inputs import daily_return as usable_return
from otel_mcbot.detect.severity import Severity
from otel_mcbot.detect.shift import PageHinkleyDetector, ShiftDetector


class LifecycleState(StrEnum):
    """The values of the state label."""

    INCUBATION = "incubation"
    PRODUCTION = "production"
    WARNING = "warning"
    PROBATION = "probation"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class LifecycleResult:
    """One day's state.

    Attributes:
        previous: the state before this return; ``changed`` when it differs.
        days_in_state: returns since the state was entered (0 on the day of the change).
        score, threshold: of the driver, in its own unit.
        detected: the score is beyond the threshold today.
        ph: "PH: 2/3", how many thirds of the threshold the score has reached; 3/3 is an alarm.
        status: "HEALTHY", "DEGRADING (PH: 2/3)" (warning and probation) or "RETIRED".
        severity: WARNING for warning and probation, CRITICAL for retired.
        valid: this call's return was usable.
        message: the change in words; empty without one.
    """

    state: LifecycleState
    previous: LifecycleState
    days_in_state: int
    score: float
    threshold: float
    detected: bool
    ph: str
    status: str
    severity: Severity
    valid: bool
    message: str

    @property
    def changed(self) -> bool:
        """The state is another one than before."""
        return self.state is not self.previous


class PodLifecycle:
    """Moves one pod from production to warning, probation and retirement, and back.

    production -> warning: the driver alarms.
    warning, probation -> production: the score is below ``recovery`` x threshold after at least ``settle_days``.
    warning -> probation: ``warning_days`` have passed without recovery.
    probation -> retired: ``grace_days`` have passed without recovery. Retired is final until ``reinstate``.
    A driver that can restart (the calibrated ones) starts warning and probation at half of its threshold; alarming
    again from there moves the pod on before its time is over. The driver is fed in every state: else no recovery.

    Days are usable returns, so the mathematics needs no clock.

    Args:
        driver: default ``PageHinkleyDetector()``, as blind as it is.
        warning_days: default 30. grace_days: default 30. settle_days: default 5. recovery: default 0.2.
        state: where the pod starts; an incubating pod stays there until ``graduate``.

    Raises:
        ValueError: a number of days below 1 or a recovery outside 0 to 1.
    """

    def __init__(
        self,
        driver: ShiftDetector | None = None,
        *,
        warning_days: int = 30,
        grace_days: int = 30,
        settle_days: int = 5,
        recovery: float = 0.2,
        state: LifecycleState = LifecycleState.PRODUCTION,
    ) -> None:
        if min(warning_days, grace_days, settle_days) < 1 or not 0.0 <= recovery <= 1.0:
            raise ValueError("days must be at least 1 and recovery 0 to 1")
        self.driver: ShiftDetector = PageHinkleyDetector() if driver is None else driver
        self._warning_days, self._grace_days = warning_days, grace_days
        self._settle_days, self._recovery = settle_days, recovery
        self._state, self._days = LifecycleState(state), 0

    @property
    def state(self) -> LifecycleState:
        """The state now."""
        return self._state

    def update(self, daily_return: object) -> LifecycleResult:
        """Take one simple daily return. Never raises; what is no return changes nothing."""
        before = self._state
        if usable_return(daily_return) is None:
            return self._result(before, detected=False, valid=False)
        detected = self.driver.update(daily_return)
        self._days += 1
        after = self._next(detected)
        if after is not before:
            self._enter(after)
        return self._result(before, detected=detected, valid=True)

    @property
    def result(self) -> LifecycleResult:
        """Where the pod stands, without a new day."""
        return self._result(self._state, detected=False, valid=True)

    def graduate(self) -> None:
        """Incubation -> production; whoever judges a new pod decides."""
        if self._state is LifecycleState.INCUBATION:
            self._enter(LifecycleState.PRODUCTION)

    def reinstate(self) -> None:
        """Any state -> production with a fresh score: a person has decided."""
        self._enter(LifecycleState.PRODUCTION)

    def to_dict(self) -> dict[str, Any]:
        """State, days and driver, for JSON."""
        return {"state": self._state.value, "days": self._days, "driver": self.driver.to_dict()}

    def restore_from_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``to_dict`` was called. KeyError, TypeError or ValueError for anything else."""
        restored, days = LifecycleState(state["state"]), int(state["days"])
        self.driver.restore_from_dict(state["driver"])
        self._state, self._days = restored, days

    def _next(self, detected: bool) -> LifecycleState:
        state = self._state
        if state is LifecycleState.PRODUCTION:
            return LifecycleState.WARNING if detected else state
        if state not in (LifecycleState.WARNING, LifecycleState.PROBATION):
            return state
        if self._days >= self._settle_days and self.driver.score < self._recovery * self.driver.threshold:
            return LifecycleState.PRODUCTION
        in_warning = state is LifecycleState.WARNING
        time_is_up = self._days >= (self._warning_days if in_warning else self._grace_days)
        if time_is_up or (detected and self.driver.restarts):
            return LifecycleState.PROBATION if in_warning else LifecycleState.RETIRED
        return state

    def _enter(self, state: LifecycleState) -> None:
        self._state, self._days = state, 0
        if state is LifecycleState.PRODUCTION:
            self.driver.reset()
        elif self.driver.restarts and state is not LifecycleState.RETIRED:
            self.driver.restart(0.5)

    def _result(self, before: LifecycleState, *, detected: bool, valid: bool) -> LifecycleResult:
        score, threshold = self.driver.score, self.driver.threshold
        thirds = 3 if detected else min(3, max(0, int(3.0 * score / threshold)))
        ph = f"PH: {thirds}/3"
        severity, status = Severity.NORMAL, "HEALTHY"
        if self._state in (LifecycleState.WARNING, LifecycleState.PROBATION):
            severity, status = Severity.WARNING, f"DEGRADING ({ph})"
        elif self._state is LifecycleState.RETIRED:
            severity, status = Severity.CRITICAL, "RETIRED"
        message = "" if self._state is before else f"{before.value} -> {self._state.value} ({ph})"
        return LifecycleResult(
            self._state, before, self._days, score, threshold, detected, ph, status, severity, valid, message
        )
