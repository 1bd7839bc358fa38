"""Stand-in clusters to try the suite on with the user's own kubectl: on loopback, gone when the demo ends.

with Clusters.start((StandinCluster("demo", hosts),)) as clusters:
    subprocess.run(["kubectl", f"--kubeconfig={clusters.kubeconfig}", "--context=demo", "get", "nodes"])
"""

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from qualys_verify.standin.pods import StandinCluster
from qualys_verify.standin.process import start_server, stop_server, wait_until_ready

_SERVER = "qualys_verify.standin.apiserver"


class Clusters:
    """Running clusters. Made by `start`, ended by `close`, by leaving its `with`, or with this process.

    `kubeconfig` has a context for each; `cache` is where kubectl may keep what it learns of them.
    """

    def __init__(self, directory: Path, server: subprocess.Popen[bytes], *, temporary: bool) -> None:
        """Take over a server; for `start` only."""
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        self.cache = directory / "cache"
        self._server = server
        self._temporary = temporary
        self._owner = os.getpid()
        atexit.register(self.close)

    @classmethod
    def start(cls, clusters: tuple[StandinCluster, ...], directory: Path | None = None) -> Self:
        """Bring the clusters up, with everything of theirs below `directory`.

        `directory` must be empty or not exist, and stays at the end; None is a temporary one, which goes.
        Returns when all can be reached. Raises DemoError when they cannot.
        """
        temporary = directory is None
        place = Path(tempfile.mkdtemp(prefix="qualys-verify-demo-")) if directory is None else directory
        place = place.absolute()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = json.dumps([asdict(cluster) for cluster in clusters])
        (place / "clusters.json").write_text(written, encoding="utf-8")
        running = cls(place, start_server(_SERVER, place, temporary=temporary), temporary=temporary)
        try:
            wait_until_ready(running._server, place / "server.log")
        except BaseException:
            running.close()
            raise
        return running

    def close(self) -> None:
        """End them and all that runs on them, and remove what was temporary; again is harmless."""
        if os.getpid() != self._owner:  # a fork of the owner: they are not its to end
            return
        atexit.unregister(self.close)
        stop_server(self._server)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        """The clusters themselves, which run already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
