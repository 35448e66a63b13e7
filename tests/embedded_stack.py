"""The embedded Kubernetes as people have it: ``poolwright up`` and a cluster made by its CLI."""

from __future__ import annotations

from pathlib import Path

from server_process import ServerProcess

SIZE = "Standard_D32s_v5"
"""Its 32 cores are those of the real stack's nodes."""


class EmbeddedStack:
    """A server with one cluster of untainted nodes, in real time once it stands, or fast still."""

    def __init__(
        self, folder: Path, *, nodes: int = 3, version: str = "", stays_fast: bool = False
    ):
        self.folder = folder
        self.nodes = nodes
        self.kubeconfig = folder / "kubeconfig"
        self._version = version
        self._stays_fast = stays_fast
        folder.mkdir(parents=True, exist_ok=True)
        self.server = ServerProcess(folder / "data", speed=600)

    def start(self) -> None:
        """Make the cluster in fast time, then serve it at the speed of the world."""
        self.server.start()
        try:
            self.server.run("group create -n kubernetes -l eastus")
            create = f"aks create -g kubernetes -n cluster -c {self.nodes} -s {SIZE}"
            self.server.run(f"{create} -k {self._version}" if self._version else create)
            self.server.run(
                f"aks get-credentials -g kubernetes -n cluster --admin -f {self.kubeconfig}"
            )
            if self._stays_fast:
                return
            self.server.stop()
            self.server.speed = 1
            self.server.start()
        except BaseException:
            self.server.stop()
            raise

    def stop(self) -> None:
        self.server.stop()

    def restart(self) -> None:
        """Kill the server and start it again over the same state and port."""
        self.server.kill()
        self.server.start()
