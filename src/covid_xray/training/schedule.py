"""Decide early stopping, learning rate and the best epoch with plain data that a checkpoint can hold.

The rules are those of Keras' EarlyStopping, ReduceLROnPlateau and ModelCheckpoint(save_best_only); Keras' own callbacks
forget their state when a run is resumed.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from covid_xray.config import Training

CLEAR = 0.01  # of the loss, from which on a network answers better than blindly


@dataclass(frozen=True)
class Schedule:
    """Where the run stands after `epoch` epochs; `best_loss` is the lowest validation loss (`None`: none yet)."""

    learning_rate: float
    epoch: int = 0
    best_loss: float | None = None
    best_epoch: int = 0
    since_best: int = 0
    since_reduced: int = 0

    @property
    def is_best(self) -> bool:
        """Say whether the epoch that just ended has the lowest validation loss so far."""
        return self.epoch > 0 and self.epoch == self.best_epoch


def start(settings: Training) -> Schedule:
    """Return the schedule before the first epoch."""
    rate = _cosine_rate(0, settings) if settings.schedule == "cosine" else settings.learning_rate
    return Schedule(learning_rate=rate)


def after_epoch(schedule: Schedule, *, val_loss: float, settings: Training) -> Schedule:
    """Return the schedule after one more epoch with this validation loss; a loss that is not finite is no better."""
    epoch = schedule.epoch + 1
    if settings.schedule == "cosine":
        return _cosine(schedule, epoch=epoch, val_loss=val_loss, settings=settings)
    if math.isfinite(val_loss) and (schedule.best_loss is None or val_loss < schedule.best_loss):
        return dataclasses.replace(
            schedule, epoch=epoch, best_loss=val_loss, best_epoch=epoch, since_best=0, since_reduced=0
        )
    waited = schedule.since_reduced + 1
    rate = schedule.learning_rate
    if waited >= settings.reduce_lr_patience:
        rate, waited = max(rate * settings.reduce_lr_factor, settings.min_learning_rate), 0
    return dataclasses.replace(
        schedule, epoch=epoch, learning_rate=rate, since_best=schedule.since_best + 1, since_reduced=waited
    )


def _cosine(schedule: Schedule, *, epoch: int, val_loss: float, settings: Training) -> Schedule:
    """Lower the rate by half a cosine to 0 (Loshchilov and Hutter 2017), and keep the last finite epoch."""
    rate = _cosine_rate(epoch, settings)
    kept = (epoch, val_loss) if math.isfinite(val_loss) else (schedule.best_epoch, schedule.best_loss)
    return dataclasses.replace(schedule, epoch=epoch, learning_rate=rate, best_epoch=kept[0], best_loss=kept[1])


def _cosine_rate(epoch: int, settings: Training) -> float:
    """Compute the rate of the epoch after `epoch`: it rises evenly over `warmup` epochs, then falls."""
    if epoch < settings.warmup:
        return settings.learning_rate * (epoch + 1) / (settings.warmup + 1)
    done = (epoch - settings.warmup) / max(1, settings.epochs - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def at_chance(rows: Sequence[Mapping[str, float]], *, shares: Sequence[float]) -> bool:
    """Say whether every epoch of history.csv was no better than always giving the same answer.

    Better on the training images alone is not at chance: a small validation part may show it late.

    Args:
        rows: the epochs so far, with loss, val_accuracy and val_loss.
        shares: share of each class in the validation part; they sum to 1.
    """
    blind = -sum(share * math.log(share) for share in shares if share)  # loss of answering the shares themselves
    learning = min(row["loss"] for row in rows) < blind - CLEAR
    return not learning and all(
        row["val_accuracy"] <= max(shares) + 1e-9 and row["val_loss"] >= blind - CLEAR for row in rows
    )


def finished(schedule: Schedule, settings: Training) -> str | None:
    """Explain why training ends now; `None` when it continues."""
    # Layers that are trained from a later epoch on get as many epochs to make it better as those before.
    waited = min(schedule.since_best, schedule.epoch - max(settings.unfreeze, default=1) + 1)
    if settings.schedule == "plateau" and waited >= settings.early_stopping_patience:
        return f"no better validation loss for {schedule.since_best} epochs"
    if schedule.epoch >= settings.epochs:
        return f"{settings.epochs} epochs done"
    return None
