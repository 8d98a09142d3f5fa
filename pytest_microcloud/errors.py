"""All errors of this plugin, in one tree.

MicrocloudError
├── UserMistake             something the user can fix; pytest shows it as a UsageError
│   ├── InventoryError      hosts.ini, --hosts
│   ├── CatalogError        a TOML file of board models, workloads, limits or efforts
│   └── RunError            a stored run that cannot be read or compared
├── BoardError              the set-up of a board is broken: pytest's "error", never a failure
│   ├── EngineError         the Docker engine does not respond, or fails to build or start something
│   │   ├── EngineMissing   no engine listens on the socket
│   │   ├── EngineForbidden the user may not use the engine's socket
│   │   └── EngineTooOld    the engine's API is older than 1.24
│   ├── HostTooSmall        this host cannot emulate that board model
│   ├── LinkError           SSH to the board fails
│   │   ├── HostKeyUnknown  the board's host key is in no known_hosts file
│   │   ├── HostKeyChanged  the board's host key differs from the one in known_hosts
│   │   └── LoginRejected   sshd rejects the user or the key
│   ├── BoardBusy           another session uses the board
│   ├── MemoryCgroupOff     the kernel does not account for containers' memory
│   ├── SudoNeedsPassword   a command needs root, and sudo asks for a password
│   ├── ToolMissing         a program that an experiment needs is not on the board
│   ├── WrongBoard          the hardware is not of the model in the inventory
│   └── DeadlineExceeded    a remote call exceeded its deadline
├── NotMeasured             a measurement is not possible, for example because an image is not available
├── InvalidMeasurement      measured, but invalid (load generator saturated, …)
└── LimitMissed             measured, valid, and worse than the limit: the test fails
"""


class MicrocloudError(Exception):
    """Base of all errors of this plugin. Its text says what happened, on which board, and what to do."""


class UserMistake(MicrocloudError):
    """A mistake in an option or a file, which the user can fix."""


class InventoryError(UserMistake):
    """The inventory, or the selection of hosts from it, is wrong."""


class CatalogError(UserMistake):
    """A catalog file is wrong; the text names the file and the key."""


class RunError(UserMistake):
    """A stored run is missing or broken, is not a run of this plugin, or cannot be compared."""


class BoardError(MicrocloudError):
    """A board could not be brought up, or broke later.

    `board` is the board's name in the inventory, and `what` is a sentence about what happened. The sentence
    may quote output of the board, so control characters in the sentence are replaced.
    """

    def __init__(self, board: str, what: str) -> None:
        super().__init__()
        self.board = board
        self._say(what)

    def preface(self, happened: str) -> None:
        """Prepend to `what` the cause of the error, which was diagnosed afterwards."""
        self._say(f"{happened}: {self.what}")

    def _say(self, what: str) -> None:
        self.what = "".join(
            c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in what
        )
        self.args = (f"{self.board}: {self.what}",)


class EngineError(BoardError):
    """The Docker engine of the host or of a board is missing, does not respond, or could not do its work."""


class EngineMissing(EngineError):
    """No engine listens on the socket of the board's or the host's engine."""


class EngineForbidden(EngineError):
    """The login user may not read and write the engine's socket."""


class EngineTooOld(EngineError):
    """The engine's API is older than 1.24, the API of Docker 1.12."""


class HostTooSmall(BoardError):
    """The host does not have enough CPU or memory to emulate this model."""


class LinkError(BoardError):
    """The SSH connection to the board failed or broke."""


class HostKeyUnknown(LinkError):
    """No known_hosts file has the host key; the text has the key's fingerprint, and how to accept the key."""


class HostKeyChanged(LinkError):
    """The host key differs from the one in known_hosts; the text has the command that removes that entry."""


class LoginRejected(LinkError):
    """The host responds, but rejects the user or the key, or the key cannot be used."""


class BoardBusy(BoardError):
    """Another session holds the board's lock; the text says who holds it, since when, and how to wait."""


class MemoryCgroupOff(BoardError):
    """The board's engine has no memory cgroup, so containers have no memory figures or limits."""


class SudoNeedsPassword(BoardError):
    """A command has to run as root, but sudo asks for a password or is not installed."""


class ToolMissing(BoardError):
    """A program is not on the board; the text names its package, or says why that was not installed."""


class WrongBoard(BoardError):
    """The hardware was recognised and is not of the model in the inventory; the text names both models."""


class DeadlineExceeded(BoardError):
    """A remote call did not finish within its deadline."""


class NotMeasured(MicrocloudError):
    """The measurement is not possible with this board or this controller; the text is the reason."""


class InvalidMeasurement(MicrocloudError):
    """The measurement was made but is invalid; the text is the reason."""


class LimitMissed(MicrocloudError, AssertionError):
    """A measurement is worse than its limit; the text has metric, value, limit and source."""
