"""Score partitions one after the other in a worker process."""

from covid_xray.cluster import crash_isolation
from covid_xray.cluster.partition_scorer import PartitionScorer, ScoredPartition, ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.errors import CovidXrayError


class Worker:
    """Score partitions, isolating one at which workers died before."""

    def __init__(self, setup: ScoringSetup) -> None:
        self.setup = setup
        self._scorer = PartitionScorer(setup)

    def score(self, part: Partition, *, attempt: int) -> ScoredPartition | CovidXrayError:
        """Score a partition that was begun `attempt` times; return an error, which ends the run, without raising it."""
        try:
            if attempt >= crash_isolation.ISOLATE_FROM:
                return self._scorer.assemble(part, crash_isolation.score_isolated(self.setup, part))
            return self._scorer.score(part)
        except CovidXrayError as error:
            return error
