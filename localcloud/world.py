"""The seeded world: which applications and machines a local cloud has, and where. Plain data."""

import hashlib
import socket
import uuid
from dataclasses import dataclass

APPLICATION_PORT = 8080
ACCOUNT_ID = "123456789012"
REGION = "eu-central-1"
ZONE_NAME = "example.internal"
SUBNETS = {"production": 1, "test": 2, "staging": 3}

_NAMES = ("billing", "shop", "crm", "stock", "orders", "search", "mail", "wiki", "jobs", "docs", "forum", "reports")
_NETWORKS = range(16, 251)
_FIRST_RACK = 100
_RACKS = 150
_MACHINES_PER_RACK = 200
_FIRST_HOST = 11


@dataclass(frozen=True)
class SourceMachine:
    """One machine in the data centre, as vCenter, Systems Manager and the network know it."""

    name: str
    application: str
    address: str
    mac: str
    os: str
    managed_instance_id: str
    uuid: str
    tier: int


@dataclass(frozen=True)
class Application:
    """An application, its servers, and the name that its clients use."""

    name: str
    servers: tuple[SourceMachine, ...]
    dns_name: str


@dataclass(frozen=True)
class World:
    """Everything that a local cloud starts with. `network` is the N of its 127.N.0.0/16."""

    network: int
    account_id: str
    region: str
    zone_name: str
    applications: tuple[Application, ...]

    @property
    def machines(self) -> tuple[SourceMachine, ...]:
        """Every source machine, in the order of the applications."""
        return tuple(server for application in self.applications for server in application.servers)

    @property
    def cidr(self) -> str:
        """The network of the VPC and the data centre."""
        return f"127.{self.network}.0.0/16"

    def subnet_cidr(self, role: str) -> str:
        """The network of the `production`, `test` or `staging` subnet."""
        return f"127.{self.network}.{SUBNETS[role]}.0/24"


def build_world(network: int, *, applications: int = 4, servers: int = 1) -> World:
    """Lay out a world on 127.`network`.0.0/16; the same numbers always give the same world.

    Args:
        network: The second octet, 16 to 250.
        applications: How many applications.
        servers: How many servers each application has.

    Raises:
        ValueError: The network is out of range, or the data centre is too small for that many machines.
    """
    if network not in _NETWORKS:
        raise ValueError(f"network must be {_NETWORKS.start} to {_NETWORKS.stop - 1}, not {network}")
    if applications * servers > _RACKS * _MACHINES_PER_RACK:
        raise ValueError(f"{applications * servers} machines do not fit, {_RACKS * _MACHINES_PER_RACK} do")
    return World(
        network=network,
        account_id=ACCOUNT_ID,
        region=REGION,
        zone_name=ZONE_NAME,
        applications=tuple(_application(network, index, servers) for index in range(applications)),
    )


def reserve_network() -> tuple[int, socket.socket]:
    """Find a 127.N.0.0/16 that no other local cloud uses.

    The returned socket holds the reservation: keep it open as long as the network is in use. The kernel frees it
    with the process, however that ends.

    Raises:
        OSError: Every network is taken.
    """
    for network in _NETWORKS:
        holder = socket.socket()
        try:
            holder.bind((f"127.{network}.0.1", APPLICATION_PORT))
        except OSError:
            holder.close()
            continue
        return network, holder
    raise OSError(f"no free network between 127.{_NETWORKS.start}.0.0 and 127.{_NETWORKS.stop - 1}.0.0")


def _application(network: int, index: int, servers: int) -> Application:
    name = _NAMES[index] if index < len(_NAMES) else f"app-{index + 1}"
    machines = tuple(_machine(network, name, index * servers + place, place + 1) for place in range(servers))
    return Application(name=name, servers=machines, dns_name=f"{name}.{ZONE_NAME}")


def _machine(network: int, application: str, index: int, number: int) -> SourceMachine:
    name = f"{application}-web-{number:02}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    rack, place = divmod(index, _MACHINES_PER_RACK)
    return SourceMachine(
        name=name,
        application=application,
        address=f"127.{network}.{_FIRST_RACK + rack}.{_FIRST_HOST + place}",
        mac=f"00:50:56:{index >> 16 & 0x3F:02x}:{index >> 8 & 0xFF:02x}:{index & 0xFF:02x}",
        os="linux",
        managed_instance_id=f"mi-{digest[:17]}",
        uuid=str(uuid.UUID(digest[17:49])),
        tier=1,
    )
