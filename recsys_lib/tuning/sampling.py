"""The order of trials: the model's own settings first, then proposals by Optuna's TPE."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from recsys_lib.seeding import seed_from
from recsys_lib.tuning.studies import rank_of


class RankedTPE(BaseSampler):  # type: ignore[misc]
    """TPE [1]_ whose proposals depend only on the seed, the trial's rank and earlier results.

    Optuna's samplers carry a random state that begins anew in each process, so that a search that
    was stopped would not go on as it would have. Here every trial has a stream of its own.

    Parameters
    ----------
    distributions : mapping of str to distribution
        All that is searched.
    first : mapping of str to object
        The settings of the first trial.
    seed : int

    References
    ----------
    .. [1] J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl, "Algorithms for Hyper-Parameter
       Optimization", NeurIPS 2011, section 4.
    """

    def __init__(
        self, distributions: Mapping[str, BaseDistribution], first: Mapping[str, Any], seed: int
    ) -> None:
        self._distributions, self._first, self._seed = dict(distributions), dict(first), seed
        # Random trials before the model of TPE has something to go by.
        self._startup = min(10, 2 + 2 * len(self._distributions))
        self._rank = 0
        self._tpe: TPESampler | None = None

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Start the random stream of a trial."""
        self._rank = rank_of(study, trial.number)
        self._tpe = TPESampler(
            seed=seed_from(self._seed, "trial", str(self._rank)),
            n_startup_trials=self._startup,
            multivariate=True,
            constant_liar=True,
        )

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space; it is fixed from the start."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return all settings of a trial; none during the random start-up trials."""
        if self._rank == 0:
            return self._first
        assert self._tpe is not None
        return dict(self._tpe.sample_relative(study, trial, search_space))

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return one setting, at random."""
        assert self._tpe is not None
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)
