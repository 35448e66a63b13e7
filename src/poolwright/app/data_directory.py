"""The data directory: what lies in it, and the environment file for the clients."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from poolwright.app.certificates import write_secret
from poolwright.app.settings import SettingsError

CLIENT_ID = "poolwright-development"


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A folder that holds one server's state."""

    root: Path

    @classmethod
    def open(cls, path: Path) -> DataDirectory:
        """The directory at ``path``; made if it is not there.

        Raises:
            SettingsError: it cannot be made or written.
        """
        try:
            root = path.expanduser().resolve()
        except (RuntimeError, ValueError) as error:  # nobody's home; a NUL
            raise SettingsError(f"data directory {str(path)!r}: {error}") from error
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise SettingsError(f"data directory {root}: is a file") from None
        except OSError as error:
            raise SettingsError(
                f"data directory {root}: cannot be made: {error.strerror}"
            ) from error
        if not os.access(root, os.W_OK | os.X_OK, effective_ids=True):
            raise SettingsError(f"data directory {root}: cannot be written")
        return cls(root)

    @property
    def store(self) -> Path:
        """Where SQLite keeps the state."""
        return self.root / "state"

    @property
    def clock(self) -> Path:
        """Where the world's position is noted."""
        return self.root / "clock.json"

    @property
    def environment(self) -> Path:
        """The file to ``source``."""
        return self.root / "env.sh"

    def write_environment(self, variables: Mapping[str, str]) -> None:
        """Write ``env.sh``: exports for az, the SDKs, Terraform, kubectl and our command line.

        az and kubectl get a configuration of their own below the directory, so that nobody's
        real ones are ever pointed here.
        """
        lines = [
            "# Points az, the Azure SDKs, Terraform, kubectl and poolwright at this server:",
            f"#   source {shlex.quote(str(self.environment))}",
            *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        ]
        write_secret(self.environment, ("\n".join(lines) + "\n").encode())


def client_environment(
    directory: DataDirectory, *, endpoint: str, subscription: str, secret: str, bundle: Path
) -> dict[str, str]:
    """The variables of ``env.sh``, with what reads each of them.

    Source: the clients' own documentation; ADFS-style tenant so that none of them asks
    login.microsoftonline.com for its instance discovery.
    """
    return {
        "POOLWRIGHT_ENDPOINT": endpoint,
        "REQUESTS_CA_BUNDLE": str(bundle),  # az, Python SDKs
        "SSL_CERT_FILE": str(bundle),  # Terraform and other Go programs, urllib
        "AZURE_CONFIG_DIR": str(directory.root / "azure"),  # az
        "AZURE_CORE_COLLECT_TELEMETRY": "0",
        "AZURE_CORE_NO_COLOR": "1",
        "KUBECONFIG": str(directory.root / "kubeconfig"),  # kubectl, az aks get-credentials
        "AZURE_SUBSCRIPTION_ID": subscription,
        "AZURE_TENANT_ID": "adfs",
        "AZURE_CLIENT_ID": CLIENT_ID,
        "AZURE_CLIENT_SECRET": secret,
        "AZURE_AUTHORITY_HOST": endpoint,  # azure-identity
        "ARM_ENVIRONMENT": "custom",  # Terraform azapi
        "ARM_RESOURCE_MANAGER_ENDPOINT": endpoint,
        "ARM_RESOURCE_MANAGER_AUDIENCE": f"{endpoint}/",
        "ARM_ACTIVE_DIRECTORY_AUTHORITY_HOST": f"{endpoint}/",
        "ARM_METADATA_HOSTNAME": endpoint.removeprefix("https://"),  # Terraform azurerm
        "ARM_SUBSCRIPTION_ID": subscription,
        "ARM_TENANT_ID": "adfs",
        "ARM_CLIENT_ID": CLIENT_ID,
        "ARM_CLIENT_SECRET": secret,
        "ARM_USE_CLI": "false",
    }
