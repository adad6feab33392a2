"""One thing that a verification found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` is a code ("event.changed"), `message` a sentence; events from `first` to `last`, or the number of a
    checkpoint, say where. A finding about names says whose code in the sentence."""

    what: str
    message: str
    first: int | None = None
    last: int | None = None
    checkpoint: int | None = None

    @property
    def place(self) -> str:
        """Where it is, in words."""
        places = []
        if self.first is not None:
            one = self.last is None or self.last == self.first
            places.append(f"event {self.first}" if one else f"events {self.first} to {self.last}")
        if self.checkpoint is not None:
            places.append(f"checkpoint {self.checkpoint}")
        return ", ".join(places)

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message
