"""Where a server is, which model of it is asked, and what the client shows to be let in."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from fcn_tf.errors import InputError

# Variables of the environment: the token of "Authorization: Bearer TOKEN", or all of the header.
TOKEN = "FCN_TF_TOKEN"
AUTHORIZATION = "FCN_TF_AUTHORIZATION"

HIDDEN = "***"
VERSION = r"(/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/]+))?"
PATHS = {"http": r".*/v1/models/(?P<name>[^/]+)" + VERSION, "grpc": r"/(?P<name>[^/]+)" + VERSION}


@dataclass(frozen=True, kw_only=True)
class Address:
    """A model on a server.

    Args:
        scheme: "http", "https", "grpc" or "grpcs".
        host: HOST:PORT.
        path: of the URL, without a slash at its end.
        name: of the model.
        version: of the model, a number, or None.
        label: of a version of the model, or None.
        authorization: the header of that name, or None.
        secrets: what must not be printed.
    """

    scheme: str
    host: str
    path: str
    name: str
    version: int | None = None
    label: str | None = None
    authorization: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def url(self) -> str:
        """The URL, without a user and a password."""
        return f"{self.scheme}://{self.host}{self.path}"

    def hidden(self, text: str) -> str:
        """A text, a server's answer for instance, without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


def address_of(url: str, environment: Mapping[str, str]) -> Address:
    """Takes a URL apart.

    Args:
        url: http[s]://HOST:PORT/v1/models/NAME or grpc[s]://HOST:PORT/NAME, either with
            /versions/N or /labels/LABEL behind it for one version, and with USER:PASSWORD@ before
            HOST for a server that asks for them.
        environment: may hold a token, or a header.

    Raises:
        InputError: a URL of another form, or an authorization that cannot be sent.
    """
    try:
        parts = urlsplit(url)
        is_plain = parts.hostname and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        parts, is_plain = urlsplit(""), False
    path = parts.path.rstrip("/")
    pattern = PATHS.get(parts.scheme.removesuffix("s"))
    match = re.fullmatch(pattern, path) if pattern and is_plain else None
    if not match:
        shown = re.sub(r"^(.*?//)?.*@", rf"\1{HIDDEN}@", url, flags=re.DOTALL)
        raise InputError(
            f"--url {shown}: it must be http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME, "
            "either with /versions/N or /labels/LABEL behind it; https and grpcs are encrypted."
        )
    authorization, secrets = _authorization(parts, environment)
    return Address(
        scheme=parts.scheme,
        host=parts.netloc.rpartition("@")[2],
        path=path,
        name=match["name"],
        version=int(match["version"]) if match["version"] else None,
        label=match["label"],
        authorization=authorization,
        secrets=secrets,
    )


def _authorization(
    parts: SplitResult, environment: Mapping[str, str]
) -> tuple[str | None, tuple[str, ...]]:
    """The header, or None, and what of it must not be printed, the longest first."""
    token, whole = (environment.get(name, "").strip() for name in (TOKEN, AUTHORIZATION))
    found = {}
    if token:
        found[TOKEN] = f"Bearer {token}"
    if whole:
        found[AUTHORIZATION] = whole
    password = unquote(parts.password or "")
    if parts.username or password:
        pair = f"{unquote(parts.username or '')}:{password}".encode()
        found["the user of --url"] = f"Basic {base64.b64encode(pair).decode()}"
    if len(found) > 1:
        raise InputError(f"{' and '.join(found)} are given: a server takes one authorization.")
    for name, header in found.items():
        if not (header.isascii() and header.isprintable()):
            raise InputError(f"{name} has a character that no header can have.")
        secrets = {header, header.partition(" ")[2], password, parts.password or ""} - {""}
        return header, tuple(sorted(secrets, key=len, reverse=True))
    return None, ()
