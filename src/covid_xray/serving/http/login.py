"""Log in and out, and change one's own password; the audit log gets a line of each, also when it is refused."""

from fastapi import Request, Response

from covid_xray.errors import CovidXrayError, InputRefused, NotAllowed, NotLoggedIn, TooOften
from covid_xray.serving.http import access
from covid_xray.serving.service import Service
from covid_xray.store.lockouts import by_address, by_name
from covid_xray.store.principals import Principal


def log_in(service: Service, request: Request, response: Response, *, name: str, password: str) -> None:
    """Start a session and set its cookie; the browser's previous session ends.

    Raises:
        NotLoggedIn: wrong name or password (`bad-login`).
        TooOften: too many failures with this name or from this address.
    """
    check_password(service, request, name=name, password=password)
    start_session(service, request, response, name=name)


def check_password(service: Service, request: Request, *, name: str, password: str) -> None:
    """Check a password and count failures. Raises what `log_in` raises."""
    address = access.client_address(request)
    clients = (by_name(name), by_address(address))
    if service.settings.openid and not service.settings.openid.passwords:
        raise NotAllowed("Log-in with a password is switched off. Log in by OpenID Connect.", code="no-password")
    try:
        for client in clients:
            service.failed_logins.check(client)
        service.lockouts.check(*clients)
        service.accounts.check_password(name, password)
    except TooOften as error:
        service.audit.record(_claimed(service, name, address), "log-in-refused", code=error.code)
        raise
    except CovidXrayError as error:
        for client in clients:
            service.failed_logins.spend(client)
        if isinstance(error, NotLoggedIn):
            _note_failure(service, name, address, error)
        raise
    service.lockouts.clear(by_name(name))


def start_session(service: Service, request: Request, response: Response, *, name: str) -> None:
    """Start a session of an authenticated user and set its cookie; the browser's previous session ends."""
    if old := request.cookies.get(access.COOKIE):
        service.accounts.log_out(old)
    cookie = service.accounts.start_session(name, hours=service.settings.session_hours)
    access.set_cookie(request, response, cookie)
    who = Principal(name, "reader", "session", access.client_address(request))
    service.audit.record(who, "log-in", name)


def log_out(
    service: Service, request: Request, response: Response, who: Principal, *, everywhere: bool = False
) -> None:
    """End the session, or all of the user, and delete its cookie."""
    if cookie := request.cookies.get(access.COOKIE):
        service.accounts.log_out(cookie)
    if everywhere:
        service.accounts.log_out_user(who.name)
    response.delete_cookie(access.COOKIE, path="/")
    service.audit.record(who, "log-out", "everywhere" if everywhere else None)


def change_password(service: Service, request: Request, who: Principal, *, current: str, new: str) -> None:
    """Change the password of the user who is logged in; their other sessions end.

    Raises:
        NotAllowed: no user has logged in (`no-session`), or the current password is wrong (`wrong-password`).
        TooOften: too many wrong passwords.
        InputRefused: the new password is weak.
    """
    require_session(who)
    try:
        check_password(service, request, name=who.name, password=current)
    except NotLoggedIn:
        raise InputRefused("The current password is wrong.", code="wrong-password") from None
    service.accounts.set_password(who.name, new, keep=request.cookies.get(access.COOKIE))
    service.audit.record(who, "change-password", who.name)


def require_session(who: Principal) -> None:
    """Raise `NotAllowed` (`no-session`) unless a user has logged in: a stolen token must not make another one."""
    if who.how != "session":
        raise NotAllowed("Log in as a user to do this; a token cannot.", code="no-session")


def _note_failure(service: Service, name: str, address: str, error: NotLoggedIn) -> None:
    who = _claimed(service, name, address)
    service.audit.record(who, "log-in-failed", code=error.code)
    for client in service.lockouts.fail((by_name(name), by_address(address))):
        what = who.name if client == by_name(name) else address
        service.audit.record(who, "lock-out", what, code="locked-out")


def _claimed(service: Service, name: str, address: str) -> Principal:
    """Return the author of a failed log-in; a name that no user has may be a password and is not recorded."""
    known = any(user.name == name for user in service.accounts.all())
    return Principal(name if known else "unknown", "reader", "session", address)
