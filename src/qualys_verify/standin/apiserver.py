"""The process behind the stand-in clusters: an API server on loopback, and the pods of all of them.

`python -m qualys_verify.standin.apiserver DIR` reads `DIR/clusters.json`, installs each pod's host below
`DIR/pods/CLUSTER/POD`, writes a certificate and `DIR/kubeconfig` with a context for each cluster, and prints
`ready`. It ends when its standard input does, or on SIGTERM.

It knows what the suite and a curious user ask of a cluster: versions and discovery, pods, DaemonSets and nodes
(get, list in pages, watch), and `pods/exec` over WebSocket or SPDY, as the client asks: the former is authorised as
`get` and as `create`, the latter as `create`, like clusters from 1.35 on. What is asked is written to
`DIR/requests.log`.

Files in a pod's `run/` are wishes: `hang-up` loses its connections, `restart` kills and restarts its container,
`delete` deletes it, `reschedule` has the DaemonSet make another in its place, `lose-node` loses its node.
"""

import asyncio
import base64
import json
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from qualys_verify.standin import pods as kinds
from qualys_verify.standin import serving, spdy
from qualys_verify.standin.certificate import write_certificate
from qualys_verify.standin.channels import STATUS, Channels
from qualys_verify.standin.daemon import TICK_INTERVAL, Daemon
from qualys_verify.standin.faults import FAULTS, Site, make_changes
from qualys_verify.standin.install import StandinHost, install
from qualys_verify.standin.podshell import PodShell, make_pod
from qualys_verify.standin.spdy import Spdy
from qualys_verify.standin.websocket import WebSocket

_LOOPBACK = "127.0.0.1"
_EXEC = "/api/v1/namespaces/{namespace}/{resource:pods}/{name}/exec"
_WISHES = ("hang-up", "restart", "delete", "reschedule", "lose-node")
_GAP = 2.0  # seconds until a DaemonSet has made another pod
_VERSION = {"major": "1", "minor": "33", "gitVersion": "v1.33.0-standin", "platform": "linux/amd64"}
_RESOURCES = {
    "v1": (
        ("pods", "Pod", True, ["get", "list", "watch"], ["po"]),
        ("pods/exec", "PodExecOptions", True, ["create", "get"], []),
        ("nodes", "Node", False, ["get", "list", "watch"], ["no"]),
    ),
    "apps/v1": (("daemonsets", "DaemonSet", True, ["get", "list", "watch"], ["ds"]),),
}


class _Pod:
    """A pod with its tree, its agent, and the connections into it."""

    def __init__(self, pod: kinds.Pod, root: Path, agent: Daemon | None) -> None:
        self.pod = pod
        self.root = root
        self.agent = agent
        self.connections: set[Channels] = set()

    def wishes(self) -> Iterator[str]:
        """What the pod's own `run/` asks for, each once."""
        for wish in _WISHES:
            path = self.root / "run" / wish
            if path.exists():
                path.unlink(missing_ok=True)
                yield wish

    def hang_up(self) -> None:
        """Lose all connections, as when a machine in between is switched off."""
        for channels in list(self.connections):
            channels.abort()


class _Cluster:
    """One cluster's objects."""

    def __init__(self, name: str, trait: kinds.Trait, desired: int) -> None:
        self.name = name
        self.trait = trait
        self.desired = desired
        self.pods: dict[str, _Pod] = {}
        self.nodes: list[str] = []
        self.lost: set[str] = set()
        self.version = 1
        self.watchers: set[asyncio.Queue[dict[str, Any]]] = set()

    def objects(self, resource: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        if resource == "pods":
            return [item.pod.as_object(self.version) for _, item in sorted(self.pods.items())]
        if resource == "nodes":
            return [
                kinds.node_object(name, kinds.LOST_NODE if name in self.lost else self.trait.node)
                for name in self.nodes
            ]
        if self.trait.daemonset.get("absent"):
            return []
        ready = sum("status" not in self.trait.pod for _ in self.pods)
        return [kinds.daemonset_object(self.desired, ready, self.trait.daemonset)]

    def tell(self, kind: str, pod: kinds.Pod) -> None:
        """Tell whoever watches."""
        self.version += 1
        for queue in self.watchers:
            queue.put_nowait({"type": kind, "object": pod.as_object(self.version)})

    def _make_again(self, item: _Pod) -> None:
        again = kinds.Pod(f"{item.pod.name}-2", item.pod.node, item.pod.changes)
        self.pods[again.name] = _Pod(again, item.root, item.agent)
        self.tell("ADDED", again)

    async def fulfil(self, item: _Pod, wish: str) -> None:
        """Do what a pod's `run/` asks for."""
        if wish == "restart":
            item.pod = item.pod.restarted()
            self.tell("MODIFIED", item.pod)
        elif wish == "lose-node":
            self.lost.add(item.pod.node)
            item.pod = replace(item.pod, changes=kinds.merged(item.pod.changes, kinds.POD_OF_LOST_NODE))
        elif wish in {"delete", "reschedule"}:
            del self.pods[item.pod.name]
            self.tell("DELETED", item.pod)
            if wish == "reschedule":
                asyncio.get_running_loop().call_later(_GAP, self._make_again, item)
        item.hang_up()


class _Server:
    """The API of all clusters, each below a path of its own."""

    def __init__(self, directory: Path, clusters: Mapping[str, _Cluster], token: str) -> None:
        self._directory = directory
        self._clusters = clusters
        self._token = token
        self._shells: set[PodShell] = set()

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._guard])
        for path, handler in {
            "/version": self._version,
            "/api": self._core,
            "/apis": self._groups,
            "/api/v1": self._resources,
            "/apis/apps/v1": self._resources,
            "/api/v1/{resource:nodes}": self._list,
            "/api/v1/{resource:nodes}/{name}": self._get,
            "/api/v1/namespaces/{name}": self._namespace,
            "/api/v1/namespaces/{namespace}/{resource:pods}": self._list,
            "/api/v1/namespaces/{namespace}/{resource:pods}/{name}": self._get,
            "/apis/apps/v1/namespaces/{namespace}/{resource:daemonsets}": self._list,
            "/apis/apps/v1/namespaces/{namespace}/{resource:daemonsets}/{name}": self._get,
            _EXEC: self._exec,
        }.items():
            app.router.add_get("/{cluster}" + path, handler)
        app.router.add_post("/{cluster}" + _EXEC, self._exec)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Who asks for what, and may they? As slowly as the cluster is told to answer."""
        cluster = self._clusters.get(request.path.split("/")[1])
        if cluster is None:
            return _json(kinds.failure(404, "no such cluster"), 404)
        if cluster.trait.slow:
            await asyncio.sleep(cluster.trait.slow)
        verb, resource = _asked(request)
        self._note(cluster.name, verb, resource, request)
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return _json(kinds.refusal(401, verb, resource), 401)
        verbs = ("get", verb) if resource == "pods/exec" and request.method == "GET" else (verb,)
        for asked in verbs:
            code = cluster.trait.refuse.get("*") or cluster.trait.refuse.get(f"{asked} {resource}")
            if code:
                return _json(kinds.refusal(code, asked, resource), code)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return _json(kinds.failure(404, "the server could not find the requested resource"), 404)

    def _note(self, cluster: str, verb: str, resource: str, request: web.Request) -> None:
        asked = {
            "cluster": cluster,
            "verb": verb,
            "resource": resource,
            "path": request.path_qs,
            "upgrade": request.headers.get("Upgrade", ""),
        }
        with (self._directory / "requests.log").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asked) + "\n")

    def _cluster(self, request: web.Request) -> _Cluster:
        return self._clusters[request.match_info["cluster"]]

    async def _version(self, request: web.Request) -> web.Response:  # noqa: ARG002  # as a handler is called
        return _json(_VERSION)

    async def _core(self, request: web.Request) -> web.Response:  # noqa: ARG002  # as a handler is called
        return _json({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})

    async def _groups(self, request: web.Request) -> web.Response:  # noqa: ARG002  # as a handler is called
        version = {"groupVersion": "apps/v1", "version": "v1"}
        group = {"name": "apps", "versions": [version], "preferredVersion": version}
        return _json({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})

    async def _resources(self, request: web.Request) -> web.Response:
        version = "apps/v1" if request.path.endswith("/apis/apps/v1") else "v1"
        found = [
            {
                "name": name,
                "singularName": kind.lower(),
                "namespaced": spaced,
                "kind": kind,
                "verbs": verbs,
                "shortNames": short,
            }
            for name, kind, spaced, verbs, short in _RESOURCES[version]
        ]
        return _json(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": found}
        )

    async def _get(self, request: web.Request) -> web.Response:
        resource, name = request.match_info["resource"], request.match_info["name"]
        found = _named(self._found(request), name)
        return _json(found) if found else _json(kinds.not_found(resource, name), 404)

    async def _namespace(self, request: web.Request) -> web.Response:
        """Kubectl asks for it where it has not found something in it."""
        name = request.match_info["name"]
        if name != kinds.NAMESPACE:
            return _json(kinds.not_found("namespaces", name), 404)
        return _json({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})

    def _found(self, request: web.Request) -> list[dict[str, Any]]:
        """The objects of a request's kind, in its namespace, that its selectors take."""
        if request.match_info.get("namespace", kinds.NAMESPACE) != kinds.NAMESPACE:
            return []
        items = self._cluster(request).objects(request.match_info["resource"])
        labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
        return [
            item
            for item in items
            if _takes(labels, item["metadata"].get("labels", {}))
            and _takes(fields, {"metadata.name": item["metadata"]["name"]})
        ]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        """A list, in pages where the client or the cluster wants them; or a watch."""
        if request.query.get("watch") in {"true", "1"}:
            return await self._watch(request)
        cluster, items = self._cluster(request), self._found(request)
        limits = [size for size in (int(request.query.get("limit", "0")), cluster.trait.page) if size]
        start = int(base64.b64decode(request.query.get("continue", "")) or 0)
        page = items[start : start + min(limits)] if limits else items[start:]
        left = len(items) - start - len(page)
        more = (
            {
                "continue": base64.b64encode(str(start + len(page)).encode()).decode(),
                "remainingItemCount": left,
            }
            if left
            else {}
        )
        kind = {"pods": "PodList", "nodes": "NodeList"}.get(request.match_info["resource"], "DaemonSetList")
        version = "apps/v1" if kind == "DaemonSetList" else "v1"
        meta = {"resourceVersion": str(cluster.version), **more}
        return _json({"kind": kind, "apiVersion": version, "metadata": meta, "items": page})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """Changes of pods, as they happen, until the client goes or its time is over."""
        cluster, queue = self._cluster(request), asyncio.Queue[dict[str, Any]]()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        cluster.watchers.add(queue)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", "300"))):
                while True:
                    await response.write(json.dumps(await queue.get()).encode() + b"\n")
        except (TimeoutError, ConnectionError):
            return response
        finally:
            cluster.watchers.discard(queue)

    def _not_entered(self, request: web.Request) -> web.Response | None:
        """Why a pod cannot be entered, as the API tells it; None where it can."""
        name = request.match_info["name"]
        item = self._cluster(request).pods.get(name)
        if item is None:
            return _json(kinds.not_found("pods", name), 404)
        shown = item.pod.as_object(0)
        container = request.query.get("container") or kinds.CONTAINER
        if container not in [known["name"] for known in shown["spec"]["containers"]]:
            return _json(kinds.failure(400, f"container {container} is not valid for pod {name}"), 400)
        if shown["status"]["phase"] != "Running":
            return _json(kinds.failure(400, f'container not found ("{container}")'), 400)
        return None

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        """`kubectl exec`: a process in the pod, its streams in the protocol's channels, its status at the end."""
        refused = self._not_entered(request)
        if refused is not None:
            return refused
        cluster = self._cluster(request)
        item = cluster.pods[request.match_info["name"]]
        channels: Channels = await (Spdy if spdy.is_asked(request) else WebSocket).accept(request)
        item.connections.add(channels)
        try:
            if cluster.trait.drops:
                channels.abort()
            elif await channels.opened():
                await self._serve(channels, item.root, request.query.getall("command"))
            await channels.close()
        finally:
            item.connections.discard(channels)
        return channels.response

    async def _serve(self, channels: Channels, root: Path, command: list[str]) -> None:
        try:
            shell = await PodShell.start(root, command)
        except OSError as error:
            told = kinds.failure(500, _not_started(command[0], error))
            await channels.send(STATUS, json.dumps(told).encode())
            return
        self._shells.add(shell)
        typing = asyncio.create_task(_type(channels, shell))
        running = asyncio.create_task(shell.run(channels.send))
        try:
            await asyncio.wait({typing, running}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await channels.send(STATUS, json.dumps(_ended(running.result())).encode())
        finally:
            typing.cancel()
            running.cancel()
            await shell.kill()
            self._shells.discard(shell)

    async def close(self) -> None:
        """End what still runs in the pods."""
        for shell in list(self._shells):
            await shell.kill()


async def _type(channels: Channels, shell: PodShell) -> None:
    """Pass on what the client types, until it goes. That it closes its input is not that it goes."""
    async for data in channels.typed():
        await (shell.type(data) if data else shell.end_of_input())


def _not_started(program: str, error: OSError) -> str:
    """In containerd's words."""
    return (
        "Internal error occurred: error executing command in container: failed to exec in container: failed to start "
        f'exec: OCI runtime exec failed: exec failed: unable to start container process: exec: "{program}": '
        f"{str(error.strerror).lower()}: unknown"
    )


def _ended(status: int) -> dict[str, Any]:
    """How the process ended, as the API tells it."""
    if status == 0:
        return {"metadata": {}, "status": "Success"}
    code = status if status > 0 else 128 - status
    told = kinds.failure(500, f"command terminated with non-zero exit code: exit status {code}")
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return told | {"reason": "NonZeroExitCode", "details": {"causes": causes}}


def _asked(request: web.Request) -> tuple[str, str]:
    """Verb and resource, as RBAC names them."""
    words = request.path.strip("/").split("/")[1:]
    if words[-1] == "exec":
        return "create", "pods/exec"
    kind = next((word for word in ("pods", "daemonsets", "nodes") if word in words), "")
    if not kind:
        return "get", "/".join(words)
    if words[-1] != kind:
        return "get", kind
    return ("watch" if request.query.get("watch") in {"true", "1"} else "list"), kind


def _takes(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether a selector of `a=b`, `a==b`, `a!=b`, `a`, `!a` takes these labels."""
    for part in filter(None, selector.split(",")):
        key, equals, value = part.replace("==", "=").partition("=")
        is_not = key.endswith("!") or key.startswith("!")
        has = labels.get(key.strip("!")) == value if equals else key.strip("!") in labels
        if has == is_not:
            return False
    return True


def _named(items: Iterable[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((item for item in items if item["metadata"]["name"] == name), None)


def _json(data: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(data, status=status)


# --- the process -----------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end; return the exit status."""
    return serving.run(__spec__.name, __doc__, _run, arguments)


async def _run(directory: Path, ended: asyncio.Event) -> None:
    player = f"-m {__spec__.name} {directory}"
    written = json.loads((directory / "clusters.json").read_text(encoding="utf-8"))
    clusters = {item["name"]: _make_cluster(directory, item, player) for item in written}
    token = base64.urlsafe_b64encode(os.urandom(24)).decode()
    certificate, key = write_certificate(directory, _LOOPBACK)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = _Server(directory, clusters, token)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, _LOOPBACK, 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    _write_kubeconfig(directory, certificate, clusters, f"https://{_LOOPBACK}:{port}", token)
    print("ready", flush=True)  # noqa: T201  # the line that whoever started it waits for
    await _keep_going(list(clusters.values()), ended)
    for cluster in clusters.values():
        for item in cluster.pods.values():
            item.hang_up()
    await server.close()
    await runner.cleanup()


def _make_cluster(directory: Path, written: Mapping[str, Any], player: str) -> _Cluster:
    """A cluster as it was written down: a node and, unless it lacks it, a pod for each host."""
    trait = kinds.Trait(**written["trait"])
    hosts = [StandinHost(**host) for host in written["hosts"]]
    cluster = _Cluster(written["name"], trait, len(hosts))
    for number, host in enumerate(hosts, 1):
        node = f"ip-192-0-2-{number}.ec2.internal"
        cluster.nodes.append(node)
        if trait.lacking:
            continue
        root = directory / "pods" / cluster.name / host.name
        (root / "run").mkdir(parents=True)
        pod = kinds.Pod(host.name, node, trait.pod)
        cluster.pods[host.name] = _Pod(pod, root, _make_agent(root, host, player))
    return cluster


def _make_agent(root: Path, host: StandinHost, player: str) -> Daemon | None:
    """Install a pod's host, with its fault if it has one, and start its agent if it can be started."""
    install(root, host, prefix_in_scripts=root)
    make_pod(root, host, player)
    kind = Daemon
    if host.fault:
        fault = FAULTS[host.fault]
        make_changes(fault, Site(host.name, root, time.time(), None))
        kind = fault.daemon
    if not host.agent:
        return None
    try:
        agent = kind(root)
        agent.start(time.time())
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201  # goes to the demo's log
        return None
    return agent


def _write_kubeconfig(
    directory: Path, certificate: Path, clusters: Iterable[str], address: str, token: str
) -> None:
    """A kubeconfig with a context for each cluster; JSON is YAML."""
    authority = base64.b64encode(certificate.read_bytes()).decode()
    names = list(clusters)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": f"{address}/{name}", "certificate-authority-data": authority},
            }
            for name in names
        ],
        "users": [{"name": "standin", "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "standin"}} for name in names],
        "current-context": names[0],
    }
    (directory / "kubeconfig").write_text(json.dumps(config, indent=1), encoding="utf-8")


async def _keep_going(clusters: list[_Cluster], ended: asyncio.Event) -> None:
    """Tick the agents and fulfil wishes until the end."""
    while not ended.is_set():
        for cluster in clusters:
            for item in list(cluster.pods.values()):
                try:
                    for wish in item.wishes():
                        await cluster.fulfil(item, wish)
                    if item.agent:
                        item.agent.tick(time.time())
                except (OSError, ValueError) as error:  # one pod's broken tree is not the others' end
                    print(error, file=sys.stderr, flush=True)  # noqa: T201  # goes to the demo's log
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), TICK_INTERVAL)


if __name__ == "__main__":
    sys.exit(main())
