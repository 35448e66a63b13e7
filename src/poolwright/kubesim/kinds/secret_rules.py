"""How much secrets and config maps hold, and what a secret of a type must have.

Source: k8s.io/kubernetes v1.36 pkg/apis/core/validation (ValidateSecret, ValidateConfigMap).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim.status import Cause, invalid, required, too_long
from poolwright.model.json_value import Json, child

_ACCOUNT = "kubernetes.io/service-account.name"
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_SIGN_IN = ("username", "password")
_DOCUMENTS = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")
_HIDDEN = "<secret contents redacted>"


_DATA_MAX_BYTES = 1024 * 1024  # pkg/apis/core, MaxSecretSize; config maps have the same


def check_data_size(where: str, plain: Json, encoded: Json) -> Iterator[Cause]:
    """All values together have a maximum; ``encoded`` ones are base64."""
    size = sum(len(text) if text.isascii() else len(text.encode()) for text in plain.values())
    size += sum(len(text) // 4 * 3 - text[-2:].count("=") for text in encoded.values())
    if size > _DATA_MAX_BYTES:
        yield too_long(where, _DATA_MAX_BYTES)


def check_secret_type(new: Mapping[str, Any]) -> Iterator[Cause]:
    """Broken rules of a secret's type."""
    kind, data = str(new.get("type") or ""), child(new, "data")
    if kind == "kubernetes.io/service-account-token":
        if not child(new, "metadata", "annotations").get(_ACCOUNT):
            yield required(f"metadata.annotations[{_ACCOUNT}]")
    elif kind == "kubernetes.io/basic-auth":
        if not any(key in data for key in _SIGN_IN):
            yield from (required(f"data[{key}]") for key in _SIGN_IN)
        return
    for key in _NEEDED.get(kind, ()):
        if key not in data or (not data[key] and kind == "kubernetes.io/ssh-auth"):
            yield required(f"data[{key}]")
        elif kind in _DOCUMENTS:
            problem = _document_problem(str(data[key] or ""))
            if problem:
                yield invalid(f"data[{key}]", _HIDDEN, problem)


def _document_problem(text: str) -> str:
    """Why base64 of a JSON object is none, in Go's words."""
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        return ""  # told elsewhere
    try:
        found = json.loads(content)
    except UnicodeDecodeError:
        return "invalid character in JSON"
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].strip()
        if not rest:
            return "unexpected end of JSON input"
        if error.msg == "Extra data":
            return f"invalid character '{rest[0]}' after top-level value"
        if error.msg.startswith("Expecting property name"):
            return f"invalid character '{rest[0]}' looking for beginning of object key string"
        return f"invalid character '{rest[0]}' looking for beginning of value"
    except RecursionError:
        return "exceeded max depth"
    if found is None or isinstance(found, dict):
        return ""
    word = next((word for kind, word in _WORDS if isinstance(found, kind)), "number")
    return f"json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"


_WORDS = ((list, "array"), (str, "string"), (bool, "bool"))
