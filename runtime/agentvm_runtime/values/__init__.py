"""Values: what a run computes, as bytes that outlive the process, as keys, and as copies.

A *value* is anything with a codec: builtin types, the standard library's value
types, enums, dataclasses, pydantic models, exceptions, numpy arrays, and classes
and module-level functions by name. `decode(encode(v))` is `v` again, shared
parts and cycles included. Never pickle: bytes cannot make anything run.
"""

from . import array_kinds, builtin_kinds, instance_kinds, pydantic_kinds  # noqa: F401  (they register their kinds)
from .copying import copy_value, shallow_copy
from .keys import call_digest, digest, key_digest, list_token, token, tuple_key
from .reader import decode
from .writer import encode

__all__ = [
    "call_digest",
    "copy_value",
    "decode",
    "digest",
    "encode",
    "key_digest",
    "list_token",
    "shallow_copy",
    "token",
    "tuple_key",
]
