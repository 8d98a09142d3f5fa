"""Everything that can go wrong, in one tree.

MicrocloudError
├── UserMistake             something the user can mend; pytest shows it as a UsageError
│   ├── InventoryError      hosts.ini, --hosts
│   └── CatalogError        a TOML file of board models, workloads, limits or efforts
├── BoardError              the set-up of a board is broken: pytest's "error", never a failure
│   ├── EngineError         no Docker engine answers, or it cannot build or start what is needed
│   ├── HostTooSmall        this host cannot emulate that board model
│   ├── LinkError           SSH to the board fails
│   └── DeadlineExceeded    a remote call took longer than it may
├── NotMeasured             cannot be measured here, with the reason (an image that is not to be had)
├── InvalidMeasurement      measured, but not to be trusted (load generator saturated, …)
└── LimitMissed             measured, trusted, and worse than the limit: the test fails
"""


class MicrocloudError(Exception):
    """Base of all errors of this plugin. Its text says what happened, on which board, and what to do."""


class UserMistake(MicrocloudError):
    """Something in an option or a file that the user can mend."""


class InventoryError(UserMistake):
    """The inventory or the choice of hosts from it is wrong."""


class CatalogError(UserMistake):
    """A catalog file is wrong; the text names the file and the key."""


class BoardError(MicrocloudError):
    """A board could not be brought up or kept: `board` is its inventory name, `what` a sentence."""

    def __init__(self, board: str, what: str) -> None:
        super().__init__(f"{board}: {what}")
        self.board = board
        self.what = what


class EngineError(BoardError):
    """The Docker engine (of the host, or of the board) is missing, or failed at a step."""


class HostTooSmall(BoardError):
    """The host has not the CPU or the memory to emulate this model."""


class LinkError(BoardError):
    """SSH to the board could not be made, or broke."""


class DeadlineExceeded(BoardError):
    """A remote call did not finish within its deadline."""


class NotMeasured(MicrocloudError):
    """The measurement cannot be made here; the text is the reason."""


class InvalidMeasurement(MicrocloudError):
    """The measurement was made but cannot be trusted; the text is the reason."""


class LimitMissed(MicrocloudError, AssertionError):
    """A measurement is worse than its limit: metric, value, limit and source are in the text."""
