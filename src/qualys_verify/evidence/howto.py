"""`VERIFY.md`: how a stranger checks a bundle, with `sha256sum` and `ssh-keygen` alone."""

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib import resources
from importlib.abc import Traversable

from qualys_verify.evidence import digests, journal, run_json, signature
from qualys_verify.evidence.plain import state_of, utc
from qualys_verify.evidence.result import Result

NAME = "VERIFY.md"


def render_howto(result: Result) -> bytes:
    """The page for this result's bundle. What it says does not depend on whether the bundle was signed afterwards."""
    run = result.run
    return f"""\
# How to check this evidence

Run {run.id}, begun {utc(run.started)}, {state_of(run)}. It speaks for the present until {utc(run.expires)}.
Nothing of the suite that made it is needed for the first two commands; run them in this folder.

1. Is every file as it was written?

       sha256sum -c {digests.NAME}

   A file that `{digests.NAME}` does not name, except itself and its signature, was put here afterwards: `find . ! -type d | wc -l`
   counts one more than `wc -l < {digests.NAME}`, or two more where there is a signature.

2. Who vouches for it? Only if there is a `{digests.SIGNATURE}`: without one, whoever can write here can have changed
   everything. `allowed_signers` is a file of your own, outside this folder, with the signer's public key as you got it
   from the signer and not from here, one line: `name ssh-ed25519 AAAA…`

       ssh-keygen -Y verify -f ../allowed_signers -I name -n {signature.NAMESPACE} -s {digests.SIGNATURE} < {digests.NAME}

3. Do the verdicts follow from what was recorded? This derives them anew from `{journal.NAME}`, follows its chain, and
   compares; `--at` asks whether it is still to be relied on at a date. Leave `--allowed-signers` out where there is no
   `{digests.SIGNATURE}`.

       qualys-verify verify . --allowed-signers ../allowed_signers --at "$(date -u +%F)"

## Without any of our tools

* The chain: each line of `{journal.NAME}` begins with its number and the SHA-256 of the line before it, without its end, as
  `previous`; the first carries 64 zeros. This follows it, and ends with what stands in `{run_json.NAME}` as `journal.head`:

       number=0 previous=$(printf %064d 0)
       while IFS= read -r line; do
           case $line in
               "{{\\"number\\":$number,\\"previous\\":\\"$previous\\","*) ;;
               *) echo "line $((number + 1)) does not follow" ;;
           esac
           previous=$(printf %s "$line" | sha256sum | cut -c1-64) number=$((number + 1))
       done < {journal.NAME}
       echo "$previous"; grep '"head"' {run_json.NAME}

* The counts: every verdict is a line of kind `judged`: `grep -c '"verdict":"non-compliant"' {journal.NAME}`. What stands in
  the line of kind `planned` and was never judged counts as inconclusive.
* The inventory: `jq -r '.hosts[].id' {run_json.NAME} | LC_ALL=C sort | sha256sum` gives the `digest` in `run.inventories` where all
  hosts that were meant are in this evidence, under names from which nothing was taken out (those end in ` (RUN-NUMBER)`,
  which is not in the digest).
* The host: its name, `machine-id` and (over SSH) `host key` in `{run_json.NAME}`, `hosts[].identity`, are those that the host
  itself shows: `hostname -f`, `cat /etc/machine-id`, `ssh-keyscan HOST | ssh-keygen -lf -`. The agent's id is there as its
  SHA-256: `printf %s "$(cat /etc/qualys/hostid)" | sha256sum`.
* The time, only if there is a `{signature.TIMESTAMP}`: it is over `{signature.STAMPED}`, which holds the digests of all other files.
  `openssl ts -verify -data {signature.STAMPED} -in {signature.TIMESTAMP} -CAfile authority.pem`

## What this evidence does not show

Vulnerability results, pass or fail, QIDs and compliance details are visible only in the Qualys UI, 5 to 15 minutes after a
scan. It shows that the agent was there, ran, was asked, and carried out what it was asked for, as far as the host tells.
Who controls the host as root controls what it says.

Rendered by {renderer()}.
""".encode()


@cache
def renderer() -> str:
    """What made the files of a bundle: this package by its files' SHA-256, so that another version is told from a change."""
    state = sha256()
    for name, content in sorted(_files(resources.files("qualys_verify.evidence"))):
        state.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"qualys-verify's renderers {state.hexdigest()[:16]}"


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif not entry.name.endswith(".pyc"):
            yield f"{prefix}{entry.name}", entry.read_bytes()
