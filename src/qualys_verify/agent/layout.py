"""Where an agent keeps its files (facts, section 2: the usual places and the other layouts)."""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from qualys_verify.agent.configuration import Configuration, is_set

UNIT = "qualys-cloud-agent.service"
DAEMON = "qualys-cloud-agent"
HOME = PurePosixPath("/usr/local/qualys/cloud-agent")
CONFIGURATION_PLACES = (
    PurePosixPath("/etc/qualys/cloud-agent/qualys-cloud-agent.conf"),
    PurePosixPath("/etc/opt/qualys/cloud-agent/qualys-cloud-agent.conf"),
)
LOG_NAME = "qualys-cloud-agent.log"
LOGS = PurePosixPath("/var/log/qualys")
# Where an agent below /opt may log as well; the facts do not tell it exactly.
LOGS_OF_OPT = (PurePosixPath("/var/opt/qualys/cloud-agent/log"), PurePosixPath("/var/opt/qualys/log"))


@dataclass(frozen=True)
class Layout:
    """The paths of one host's agent. Each is a setting; None means "find it"."""

    unit: str = UNIT
    home: PurePosixPath | None = None
    configuration: PurePosixPath | None = None
    hostid: PurePosixPath | None = None
    log: PurePosixPath | None = None

    def at(self, executable: PurePosixPath | None) -> "Layout":
        """The layout with its home where the unit's daemon lies: `<home>/bin/qualys-cloud-agent`."""
        if self.home is not None:
            return self
        if executable is not None and executable.name == DAEMON and executable.parent.name == "bin":
            return replace(self, home=executable.parent.parent)
        return self

    @property
    def configuration_places(self) -> tuple[PurePosixPath, ...]:
        """Where to look for the configuration, most likely first."""
        return (self.configuration,) if self.configuration else CONFIGURATION_PLACES

    @property
    def own_configuration(self) -> PurePosixPath | None:
        """The one of these places that belongs to this home; None where the home does not tell."""
        if self.configuration or self.home is None or self.home.parts[-2:] != HOME.parts[-2:]:
            return self.configuration
        usual, below_opt = CONFIGURATION_PLACES
        above = self.home.parent.parent.name  # usrlocal: ostree hosts
        return below_opt if above == "opt" else usual if above in {"local", "usrlocal"} else None

    def hostid_beside(self, configuration: PurePosixPath) -> PurePosixPath:
        """`…/qualys/hostid`, two levels above the configuration file."""
        return self.hostid or configuration.parent.parent / "hostid"

    def log_places(self, configuration: Configuration) -> tuple[PurePosixPath, ...]:
        """Where the agent's log may be: as set, else in the configured LogFileDir, else in the usual places."""
        if self.log:
            return (self.log,)
        if configuration.log_directory:
            return (configuration.log_directory / LOG_NAME,)
        others = LOGS_OF_OPT if self.root.is_relative_to("/opt") else ()
        return tuple(directory / LOG_NAME for directory in (LOGS, *others))

    def log_of(self, configuration: Configuration) -> PurePosixPath:
        """The most likely of these places."""
        return self.log_places(configuration)[0]

    @property
    def root(self) -> PurePosixPath:
        """The agent's home; the vendor's usual one where nothing else is known."""
        return self.home or HOME

    @property
    def program(self) -> PurePosixPath:
        """The daemon."""
        return self.root / "bin" / DAEMON

    @property
    def script(self) -> PurePosixPath:
        """`qualys-cloud-agent.sh`: the runbook's verbs, or the vendor's Key=Value."""
        return self.root / "bin" / "qualys-cloud-agent.sh"

    @property
    def control(self) -> PurePosixPath:
        """`cloudagentctl.sh`: the vendor's on-demand tool."""
        return self.root / "bin" / "cloudagentctl.sh"

    @property
    def requests(self) -> PurePosixPath:
        """Where the on-demand tool leaves its requests for the daemon."""
        return self.root / ".on-demand-scan"


@dataclass(frozen=True)
class Installation:
    """An agent as it was found on a host: its paths, its configuration, and its id on the platform.

    `hostid` is a UUID; empty for an agent that was never provisioned, None where there is no such file.
    """

    layout: Layout
    configuration: Configuration
    hostid: str | None

    @property
    def state(self) -> str:
        """`activated`, or what is missing. Ids are secrets and are not shown."""
        return self.configuration.state

    @property
    def provisioning(self) -> str:
        """`provisioned` when the platform has given this agent an id (facts: empty hostid = never)."""
        return "provisioned" if is_set(self.hostid) else "never provisioned: hostid is empty or missing"

    @property
    def log(self) -> PurePosixPath:
        """The agent's log."""
        return self.layout.log_of(self.configuration)

    def __str__(self) -> str:
        """What the report shows as observed."""
        return f"{self.state}, {self.provisioning}"


@dataclass(frozen=True)
class Program:
    """The daemon's file, by a listing of its folder."""

    path: PurePosixPath
    listing: str

    @property
    def state(self) -> str:
        """`in place`, or that the file is gone from under the process."""
        names = {line.split(" -> ")[0].split()[-1] for line in self.listing.splitlines() if line.strip()}
        return "in place" if self.path.name in names else f"{self.path} is missing"

    def __str__(self) -> str:
        """What the report shows as observed."""
        return self.state
