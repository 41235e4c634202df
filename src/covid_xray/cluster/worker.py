"""What a worker process is: one scorer, opened once, that answers one partition after the other."""

from covid_xray.cluster import crash_isolation
from covid_xray.cluster.partition_scorer import Done, Scorer, Work
from covid_xray.cluster.plan import Part
from covid_xray.errors import CovidXrayError


class Worker:
    """Answers partitions; a partition that cost lives before is answered with more care."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._scorer = Scorer(work)

    def answer(self, part: Part, *, attempt: int) -> Done | CovidXrayError:
        """The finished partition, or the error that ends the run.

        An error is handed back and not raised, so that an engine which tries again what raised does not try in vain.

        Args:
            part: the inputs.
            attempt: 1, or how often a worker has begun this partition by now.
        """
        try:
            if attempt >= crash_isolation.FROM_TRY:
                return self._scorer.finished(part, crash_isolation.chunks(self.work, part))
            return self._scorer.score(part)
        except CovidXrayError as error:
            return error
