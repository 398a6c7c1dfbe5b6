"""Which account a bearer key belongs to.

Keys are held as SHA-256 digests only. They are long random strings, not passwords, so a fast hash is the right one; and a
look-up by digest tells a guesser nothing through its timing.
"""

from collections.abc import Mapping
from hashlib import sha256

from bookwheel.errors import InvalidKey
from bookwheel.settings import AccountSettings, key_digest

DEFAULT_ACCOUNT = "default"


class Keys:
    """The keys in force. Without any, every caller is the default account."""

    def __init__(self, accounts: Mapping[str, AccountSettings]) -> None:
        self.replace(accounts)

    def replace(self, accounts: Mapping[str, AccountSettings]) -> None:
        """Have other keys from now on. Answers that are under way go on."""
        self._accounts = {
            key_digest(key.get_secret_value()): name for name, account in accounts.items() for key in account.keys
        }

    @property
    def required(self) -> bool:
        return bool(self._accounts)

    def account_of(self, authorization: str | None) -> str:
        """The account behind an `Authorization` header. Raises InvalidKey."""
        if not self._accounts:
            return DEFAULT_ACCOUNT
        scheme, _, key = (authorization or "").partition(" ")
        account = self._accounts.get(sha256(key.strip().encode()).hexdigest())
        if scheme.lower() != "bearer" or account is None:
            raise InvalidKey
        return account
