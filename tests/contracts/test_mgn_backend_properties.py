"""Whatever is asked of MGN in whatever order: what always holds of servers, jobs and instances."""

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from moto.ec2.models import ec2_backends

from localcloud.aws.mgn import MGNBackend, MgnError, MgnSettings, Quotas, configure, mgn_backends, register
from tests.contracts.mgn_site import GIB, LAUNCHED, REGION, START, SYNCED, DataCentre, Plan

ACCOUNTS = count(300_000_000_001)
QUOTAS = Quotas(concurrent_jobs=2, servers_in_a_job=2, servers_in_all_jobs=3, replicating_servers=3)
NAMES = ("web-01", "web-02", "web-03")
EDGES = {
    "start_test": {("READY_FOR_TEST", "TESTING"), ("TESTING", "TESTING")},
    "start_cutover": {("READY_FOR_CUTOVER", "CUTTING_OVER")},
    "terminate_target_instances": set(),
    "READY_FOR_TEST": {("TESTING", "READY_FOR_TEST"), ("READY_FOR_CUTOVER", "READY_FOR_TEST")},
    "READY_FOR_CUTOVER": {
        ("READY_FOR_TEST", "READY_FOR_CUTOVER"),
        ("TESTING", "READY_FOR_CUTOVER"),
        ("CUTTING_OVER", "READY_FOR_CUTOVER"),
    },
    "CUTOVER": {("DISCONNECTED", "CUTOVER")},
    "finalize_cutover": {("CUTTING_OVER", "CUTOVER")},
    "start_replication": {("STOPPED", "NOT_READY")},
    "time": {("NOT_READY", "READY_FOR_TEST")},
}
"""Where an operation may lead; DISCONNECTED and STOPPED may follow on everything that replicates."""

SERVERS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)
SERVER = st.sampled_from(NAMES)
REPLICATE = ("start_replication", "pause_replication", "resume_replication", "retry_data_replication")


class Mgn(RuleBasedStateMachine):
    """One account with three machines, a clock, a data centre and a plan of faults."""

    def __init__(self) -> None:
        super().__init__()
        register()
        self.now, self.world, self.plan = START, DataCentre(), Plan()
        account = str(next(ACCOUNTS))
        self.backend: MGNBackend = mgn_backends[account][REGION]
        self.ec2: Any = ec2_backends[account][REGION]
        configure(MgnSettings(clock=lambda: self.now, quotas=QUOTAS), world=self.world, faults=self.plan)
        self.ids: dict[str, str] = {}

    @initialize()
    def begin(self) -> None:
        self.backend.initialize_service()
        for name in NAMES:
            self.install(name)
        self.wait(SYNCED)

    def teardown(self) -> None:
        configure()

    def install(self, name: str) -> None:
        self.ids[name] = self.backend.register_agent(
            hostname=name,
            fqdn=f"{name}.example.internal",
            ip="10.1.0.11",
            mac="00:50:56:00:00:01",
            user_provided_id=f"id-{name}",
            os="Ubuntu 22.04.4 LTS",
            disks=[("/dev/sda", GIB)],
            tags={},
        )

    def states(self) -> dict[str, str]:
        return {server.id: server.state for server in self.backend.servers.values()}

    def ask(self, call: Callable[..., Any], *parameters: Any, edges: set[tuple[str, str]]) -> None:
        """Carry an operation out: it goes along its edges, or is refused and changes no state."""
        self.backend.advance()
        before = self.states()
        try:
            call(*parameters)
        except MgnError:
            assert self.states() == before
            return
        after = self.states()
        moved = {(before[each], after[each]) for each in before if each in after and before[each] != after[each]}
        assert moved <= edges

    @rule(
        names=SERVERS,
        operation=st.sampled_from(["start_test", "start_cutover", "terminate_target_instances"]),
        then=st.sampled_from([0, 30, LAUNCHED]),
    )
    def start_a_job(self, names: list[str], operation: str, then: int) -> None:
        ids = [self.ids[name] for name in names]
        self.ask(getattr(self.backend, operation), ids, {"mark": "x"}, edges=EDGES[operation])
        self.wait(then)

    @rule(name=SERVER, then=st.sampled_from([30, LAUNCHED, LAUNCHED]))
    def take_the_usual_way(self, name: str, then: int) -> None:
        """One step onwards, so that the far states are reached too."""
        ids, state = [self.ids[name]], self.backend.servers[self.ids[name]].state
        if state == "READY_FOR_TEST":
            self.ask(self.backend.start_test, ids, {}, edges=EDGES["start_test"])
        elif state == "READY_FOR_CUTOVER":
            self.ask(self.backend.start_cutover, ids, {}, edges=EDGES["start_cutover"])
        elif state == "TESTING":
            self.change_the_state(name, "READY_FOR_CUTOVER")
        elif state == "CUTTING_OVER":
            self.operate(name, "finalize_cutover")
        self.wait(then)

    @rule(
        name=SERVER,
        wanted=st.sampled_from(["READY_FOR_TEST", "READY_FOR_CUTOVER", "CUTOVER", "finalize_cutover", *REPLICATE]),
    )
    def call(self, name: str, wanted: str) -> None:
        if wanted.isupper():
            self.change_the_state(name, wanted)
        else:
            self.operate(name, wanted)

    @rule(name=SERVER, what=st.sampled_from(["source", "snapshot", "conversion", "launch", "stop", "leave"]))
    def disturb(self, name: str, what: str) -> None:
        if what == "source":
            history = self.world.power.setdefault(f"id-{name}", [])
            history.append((self.now, not (history[-1][1] if history else True)))
        elif what == "stop":
            edges = {(state, "STOPPED") for state in self.states().values()} - {("CUTOVER", "STOPPED")}
            self.ask(self.backend.stop_replication, self.ids[name], edges=edges)
        elif what == "leave":
            self.leave_and_come_back(name)
        else:
            for kind in ("test", "cutover"):
                plan = self.world.faults if what == "launch" else self.plan.faults
                key = f"id-{name} {kind}" if what == "launch" else f"{what} id-{name} {kind}"
                if not plan.pop(key, None):
                    plan[key] = "as planned"

    @rule(seconds=st.sampled_from([1, 30, 120, 600]))
    def wait(self, seconds: int) -> None:
        before = self.states()
        self.now += seconds
        self.backend.advance()
        after = self.states()
        assert {(before[each], after[each]) for each in after if before[each] != after[each]} <= EDGES["time"]

    @rule(number=st.integers(0, 5))
    def delete_a_job(self, number: int) -> None:
        known = list(self.backend.jobs)
        if number < len(known):
            active = self.backend.jobs[known[number]].active
            self.ask(self.backend.delete_job, known[number], edges=set())
            assert (known[number] in self.backend.jobs) is active

    def change_the_state(self, name: str, wanted: str) -> None:
        self.ask(self.backend.change_server_life_cycle_state, self.ids[name], wanted, edges=EDGES[wanted])

    def operate(self, name: str, operation: str) -> None:
        self.ask(getattr(self.backend, operation), self.ids[name], edges=EDGES.get(operation, set()))

    def leave_and_come_back(self, name: str) -> None:
        edges = {(state, "DISCONNECTED") for state in self.states().values()} - {("CUTOVER", "DISCONNECTED")}
        self.ask(self.backend.disconnect_from_service, self.ids[name], edges=edges)
        self.ask(self.backend.mark_as_archived, self.ids[name], edges=set())
        if self.backend.servers[self.ids[name]].archived:
            self.install(name)

    @invariant()
    def a_server_is_in_one_active_job_at_most(self) -> None:
        busy = Counter(each.server.id for job in self.backend.active_jobs() for each in job.participants)
        assert all(number == 1 for number in busy.values())
        assert len(self.backend.active_jobs()) <= QUOTAS.concurrent_jobs
        assert sum(busy.values()) <= QUOTAS.servers_in_all_jobs

    @invariant()
    def every_launch_has_its_instance_and_no_instance_is_without_a_launch(self) -> None:
        made = {each.id: each.state for reservation in self.ec2.reservations.values() for each in reservation.instances}
        assert set(made) == {launch[2] for launch in self.world.launches}
        assert {each for each, state in made.items() if state == "terminated"} == set(self.world.terminations)
        alive = {each for each, state in made.items() if state == "running"}
        assert alive == {server.instance_id for server in self.backend.servers.values() if server.instance_id}
        for job in self.backend.jobs.values():
            for each in job.participants:
                assert (each.launch_status == "LAUNCHED") <= (each.instance_id in made)

    @invariant()
    def jobs_end_in_order_and_tell_it_in_their_log(self) -> None:
        for job in self.backend.jobs.values():
            times = [item["logDateTime"] for item in job.log]
            assert times == sorted(times)
            events = [item["event"] for item in job.log]
            assert (job.status == "COMPLETED") is (events[-1:] == ["JOB_END"]) is (not job.due)
            assert (job.status == "PENDING") is (events == [])
            if not job.active:
                assert {each.launch_status for each in job.participants} <= {"LAUNCHED", "FAILED", "TERMINATED"}

    @invariant()
    def a_replication_shows_no_lag_that_it_cannot_have(self) -> None:
        for server in self.backend.servers.values():
            copy = server.replica(self.now)
            if copy.state in {"STOPPED", "DISCONNECTED", "INITIAL_SYNC", "BACKLOG", "CREATING_SNAPSHOT"}:
                assert copy.lag is None
            if copy.lag is not None:
                assert copy.lag >= 0
                assert copy.data_as_of is not None
                assert copy.data_as_of <= self.now
            assert (copy.state == "STALLED") is (copy.trouble is not None)
            assert server.disconnected is (server.state in {"DISCONNECTED", "CUTOVER"})


TestMgn = Mgn.TestCase
TestMgn.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
