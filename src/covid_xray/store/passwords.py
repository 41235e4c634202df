"""Judge new passwords and tokens: their length and how many guesses they withstand, never what characters they have.

After NIST SP 800-63B-4, section 3.1.1.2: a shortest length, a list of common passwords and of words of the context, no
rules of composition, no forced changes. The estimate is that of zxcvbn (Wheeler, USENIX Security 2016), which knows
30,000 common passwords, names, words, dates, repeats and rows of the keyboard.
"""

from covid_xray.errors import InputRefused, UsageError

SHORTEST_PASSWORD = 12  # the standard asks for 15 where a password is the only factor: `shortest_password`
SHORTEST_TOKEN = 32
_LOG_GUESSES = 8.0  # 10^8 guesses: zxcvbn's "safely unguessable" behind a slow hash and a limit on log-ins
_LOG_TOKEN_GUESSES = 20.0
_JUDGED = 72  # characters; the estimate takes longer with each


def require_good_password(password: str, *, name: str, shortest: int = SHORTEST_PASSWORD) -> None:
    """Raise `InputRefused` (`weak-password`) for a password that is too short or easy to guess."""
    if len(password) < shortest:
        message = f"Password too short. Use at least {shortest} characters; a few words in a row are fine."
        raise InputRefused(message, code="weak-password")
    if _log_guesses(password, name, "covid-xray", "covid", "xray", "radiology", "hospital") < _LOG_GUESSES:
        message = (
            "This password is easy to guess: it is common, repeats itself or holds the user's name. Use another one; a "
            "few unrelated words in a row are fine."
        )
        raise InputRefused(message, code="weak-password")


def require_good_token(token: str) -> None:
    """Raise `UsageError` for a token of the server that is short or easy to guess."""
    if len(token) < SHORTEST_TOKEN or _log_guesses(token) < _LOG_TOKEN_GUESSES:
        raise UsageError(
            f"The token in COVID_XRAY_TOKEN is easy to guess. Use at least {SHORTEST_TOKEN} random characters, for "
            "example those of `openssl rand -hex 32`."
        )


def _log_guesses(secret: str, *context: str) -> float:
    from zxcvbn import zxcvbn

    return float(zxcvbn(secret[:_JUDGED], user_inputs=list(context))["guesses_log10"])
