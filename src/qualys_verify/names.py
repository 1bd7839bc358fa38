"""What of a target's id lasts: a rollout gives every node another pod, and the node is what an auditor follows."""

import re

_ON_A_NODE = re.compile(r"((?:kubectl|demo)://(?!no-node-yet/|unknown-node-\d+/)[^/?]+)/[^/?]+(\?.*)?")


def without_pod(target_id: str) -> str:
    """`kubectl://NODE?…` of `kubectl://NODE/POD?…`; any other id as it is."""
    match = _ON_A_NODE.fullmatch(target_id)
    return match[1] + (match[2] or "") if match else target_id
