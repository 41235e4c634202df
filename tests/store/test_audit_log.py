"""The audit trail: every act is a line, looking twice within a minute is one."""

from covid_xray.store.accounts import Principal
from covid_xray.store.audit_log import AuditLog

DOE, ROE = Principal("doe", "reader", "session"), Principal("roe", "admin", "token")


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str | None]] = []

    def record(self, who: str, action: str, what: str | None = None) -> None:
        self.lines.append((who, action, what))


def test_looks_are_lines_once_a_minute_and_acts_always() -> None:
    log, now = Log(), [0.0]
    audit = AuditLog(log, clock=lambda: now[0])
    for _ in range(3):
        audit.record(DOE, "view", "a")
        audit.record(DOE, "delete", "a")
    audit.record(DOE, "view", "b")
    audit.record(ROE, "view", "a")
    now[0] = 61.0
    audit.record(DOE, "view", "a")
    views = [line for line in log.lines if line[1] == "view"]
    assert views == [("doe", "view", "a"), ("doe", "view", "b"), ("roe", "view", "a"), ("doe", "view", "a")]
    assert len(log.lines) - len(views) == 3
