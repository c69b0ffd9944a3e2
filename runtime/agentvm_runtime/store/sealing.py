"""Encryption at rest: what an encrypted store hides, and how.

What users and models wrote is *sealed*: values, details of events, and what
accompanies runs, with AES-256-GCM under a fresh nonce each, bound to the place
it belongs to. Digests and execution keys are hashes of the same content, which
a reader could guess at and check; they are sealed too, with AES-SIV, which gives
equal names for equal digests, as deduplication needs, and tells nothing else.
Ids, agents, paths, kinds, times, statuses and sizes stay readable: the database
is searched by them.

The columns that are sealed say so in `schema.py`.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Any

from agentvm_compiler.errors import ConfigError
from agentvm_runtime.errors import StoreError

VARIABLE = "AGENTVM_ENCRYPTION_KEY"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_MAKE_ONE = "python -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'"


class Vault:
    """Seals and opens under one key."""

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError:
            raise ConfigError(
                f"{VARIABLE} is set, but encryption is not installed: pip install 'agentvm[encryption]'"
            ) from None

        def derived(purpose: bytes, length: int) -> bytes:
            return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"agentvm " + purpose).derive(key)

        self._invalid = InvalidTag
        self._content = AESGCM(derived(b"content", 32))
        self._names = AESSIV(derived(b"names", 64))

    def name(self, text: str) -> str:
        """A digest or key, always sealed alike."""
        return base64.urlsafe_b64encode(self._names.encrypt(text.encode(), None)).decode()

    def open_name(self, sealed: str) -> str:
        try:
            return self._names.decrypt(base64.urlsafe_b64decode(sealed), None).decode()
        except (self._invalid, binascii.Error, ValueError):
            raise _damaged("name") from None

    def data(self, data: bytes, about: str) -> bytes:
        """Bytes, which can only be opened as being about the same."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._content.encrypt(nonce, bytes(data), about.encode())

    def open_data(self, sealed: bytes, about: str) -> bytes:
        try:
            return self._content.decrypt(sealed[:_NONCE_BYTES], bytes(sealed[_NONCE_BYTES:]), about.encode())
        except (self._invalid, ValueError):
            raise _damaged(about) from None

    def text(self, text: str, about: str) -> str:
        return base64.b64encode(self.data(text.encode("utf-8", "surrogatepass"), about)).decode()

    def open_text(self, sealed: str, about: str) -> str:
        try:
            data = base64.b64decode(sealed, validate=True)
        except ValueError:
            raise _damaged(about) from None
        return self.open_data(data, about).decode("utf-8", "surrogatepass")

    def seal(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
        """A statement's parameters with those sealed that belong to such columns."""
        sealed = {
            column: self.name(row[column]) if how == "name" else self.text(row[column], column)
            for column, how in columns.items()
            if row.get(column)
        }
        return {**row, **sealed} if sealed else row

    def open(self, row: tuple[Any, ...], columns: list[tuple[str, str | None]]) -> tuple[Any, ...]:
        """A row of a query, opened."""
        return tuple(
            value
            if how is None or not value
            else self.open_name(value)
            if how == "name"
            else self.open_text(value, column)
            for value, (column, how) in zip(row, columns, strict=True)
        )

    def token(self) -> str:
        """For the database: what only this key opens."""
        return self.text("agentvm", VARIABLE)

    def fits(self, token: str) -> bool:
        try:
            return self.open_text(token, VARIABLE) == "agentvm"
        except StoreError:
            return False


def _damaged(what: str) -> StoreError:
    return StoreError(f"what is recorded ({what}) is damaged: it does not open under the store's key")


def vault_of(environment: Mapping[str, str]) -> Vault | None:
    """The vault of the environment's key, if it has one. Raises ConfigError if it is none."""
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        key = base64.b64decode(text, altchars=None, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{VARIABLE} must be 32 random bytes in base64. Make one: {_MAKE_ONE}")
    return Vault(key)


def check(name: str, token: str | None, vault: Vault | None) -> None:
    """Raises ConfigError if the database called `name`, which has this token, is not for this key."""
    if token is None and vault is not None:
        raise ConfigError(
            f"{name}: it is not encrypted, but {VARIABLE} is set. Unset it, or choose another --store: "
            "a store is encrypted from its making or never."
        )
    if token is not None and vault is None:
        raise ConfigError(f"{name}: it is encrypted. Set {VARIABLE} to the key it was made with.")
    if token is not None and vault is not None and not vault.fits(token):
        raise ConfigError(
            f"{name}: it was encrypted with another key than {VARIABLE} has now. "
            "Set that to the key it was made with."
        )
