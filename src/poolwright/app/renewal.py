"""A certificate that somebody else renews in its files: cert-manager does, weeks before its end."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from typing import Any

import structlog

from poolwright.app.certificates import Certificates

_SECONDS = 5
"""Between two looks at the files; kubelet itself takes a minute to write what a Secret has."""
_log: Any = structlog.get_logger("poolwright.server")


class Renewal:
    """Serves new connections with the pair that the files have now; those that are open go on."""

    def __init__(self, context: ssl.SSLContext, certificates: Certificates) -> None:
        self._context = context
        self._files = (certificates.certificate, certificates.key)
        self._seen = self._read()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            self.look()

    def look(self) -> None:
        """Take what is new and can be used; what cannot be is told once and left."""
        found = self._read()
        if found == self._seen:
            return
        self._seen = found
        try:
            with tempfile.NamedTemporaryFile() as pair:  # ssl reads certificates from files
                pair.write(b"\n".join(found))
                pair.flush()
                # A pair that does not fit would leave the context in use with half of it.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.name, password="")
                self._context.load_cert_chain(pair.name, password="")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            _log.warning("new certificate cannot be used", error=str(error))
        else:
            _log.info("new certificate", file=str(self._files[0]))

    def _read(self) -> tuple[bytes, ...]:
        try:
            return tuple(file.read_bytes() for file in self._files)
        except OSError:
            return ()
