"""What sources that make their own messages have in common: how many, how, and what goes wrong with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dataflow.model import Frozen

_A_YEAR = 366 * 86_400.0
_Rate = Annotated[float, Field(ge=0, le=1)]
_Seconds = Annotated[float, Field(ge=0, le=_A_YEAR)]
Share = _Rate | tuple[_Rate, _Rate]
Drawn = _Seconds | tuple[_Seconds, _Seconds]


class Chaos(Frozen):
    """What goes wrong with messages on their way. Delays are in seconds of event time."""

    mode: Literal["fixed", "random"] = "fixed"
    """``fixed`` takes numbers; ``random`` also takes ranges, ``[low, high]``, draws from them by the seed, and reports
    what it drew."""
    duplicate_rate: Share = 0.1
    """Share of the messages that are delivered once more; none is delivered three times."""
    late_duplicate_rate: Share = 0.2
    """Of these duplicates, the share that comes a batch late; the first batch has none of them. As a message has one
    duplicate at most, no more than 1 - ``duplicate_rate`` of them can be late."""
    slow_rate: Share = 0.05
    """Share of the deliveries that are slow, and so arrive out of order."""
    slow_delay: Drawn = 30.0
    """Mean of what a slow delivery takes longer; exponential."""
    base_delay: Drawn = 0.05
    """What every delivery takes at least."""
    jitter: Drawn = 0.02
    """Mean and standard deviation of what comes on top of it; exponential."""

    @model_validator(mode="after")
    def _ranges_are_drawn(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and self.mode == "fixed":
                raise ValueError(
                    f"{name} is a range, which chaos.mode: random draws from; give one number, or say random"
                )
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name} goes from the lower to the higher number")
        return self

    @model_validator(mode="after")
    def _late_duplicates_have_room(self) -> Self:
        twice, late = _highest(self.duplicate_rate), _highest(self.late_duplicate_rate)
        if twice > 0 and late > 1 - twice:
            raise ValueError(
                f"late_duplicate_rate may be {1 - twice:g} at most where duplicate_rate is {twice:g}: "
                "a message is delivered twice, not three times"
            )
        return self


def _highest(value: Share) -> float:
    return value[1] if isinstance(value, tuple) else value


class GenerationConfig(Frozen):
    """The options of a source that makes messages; in a configuration, the block ``generation``."""

    scale: int = Field(default=100_000, ge=0, le=1 << 40)
    """Messages, before any is delivered twice."""
    seed: int = Field(default=7, ge=0)
    """Same seed, same messages, whatever ``scale`` is: more of them go on where fewer end."""
    mode: Literal["speed", "chaos"] = "chaos"
    """``speed`` makes messages in order, once and without delay, ``chaos`` also what goes wrong with them."""
    chaos: Chaos = Chaos()
    """What goes wrong with them, in mode ``chaos``."""
    batch_size: int = Field(default=1_000_000, ge=1, le=1_000_000_000)
    """Messages that are delivered together, and landed as one unit."""
    messages_per_second: float = Field(default=10.0, ge=0.001, le=1_000_000)
    """How dense the event times are; 10 make a day of 864,000 messages."""
    partitions: int = Field(default=4, ge=1, le=1024)
    """Each message goes to one of them; ``offset`` counts in the partition."""
    id_length: int = Field(default=16, ge=8, le=64)
    """Characters of ``message_id``, all of them hexadecimal digits."""
    value_range: tuple[int, int] = (0, 1_000_000)
    """The lowest and the highest value of a message."""

    @model_validator(mode="after")
    def _messages_are_possible(self) -> Self:
        low, high = self.value_range
        if low > high:
            raise ValueError("value_range goes from the lower to the higher number")
        if low < -(1 << 63) or high >= 1 << 63:
            raise ValueError("value_range: values are integers of 64 bits")
        if self.scale > 16**self.id_length:
            raise ValueError(
                f"ids of {self.id_length} characters tell {16**self.id_length:,} messages apart, not {self.scale:,}; raise id_length"
            )
        if self.scale / self.messages_per_second > 1000 * _A_YEAR:
            raise ValueError("the messages would go on for more than 1000 years; raise messages_per_second")
        return self

    @classmethod
    def generates(cls, model: Any) -> bool:
        """Whether a source's ``Config`` takes the block ``generation``."""
        return isinstance(model, type) and issubclass(model, cls)
