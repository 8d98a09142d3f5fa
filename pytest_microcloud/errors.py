"""Everything that can go wrong, in one tree.

MicrocloudError
├── UserMistake             something the user can mend; pytest shows it as a UsageError
│   ├── InventoryError      hosts.ini, --hosts
│   ├── CatalogError        a TOML file of board models, workloads, limits or efforts
│   └── RunError            a stored run that cannot be read, or compared with another
├── BoardError              the set-up of a board is broken: pytest's "error", never a failure
│   ├── EngineError         no Docker engine responds, or it cannot build or start what is needed
│   │   ├── EngineMissing   there is none at the socket
│   │   ├── EngineForbidden the user may not use its socket
│   │   └── EngineTooOld    it speaks an API from before 1.24
│   ├── HostTooSmall        this host cannot emulate that board model
│   ├── LinkError           SSH to the board fails
│   │   ├── HostKeyUnknown  nobody has vouched for the board's host key yet
│   │   ├── HostKeyChanged  the board shows another host key than it did
│   │   └── LoginRejected   sshd does not let the user in
│   ├── BoardBusy           another session works on the board
│   ├── MemoryCgroupOff     the kernel does not account for containers' memory
│   ├── SudoNeedsPassword   what only root may do cannot be done
│   ├── ToolMissing         a program that an experiment runs on the board is not there
│   ├── WrongBoard          the hardware is not that of the model that the inventory says
│   └── DeadlineExceeded    a remote call took longer than it may
├── NotMeasured             cannot be measured here, with the reason (an image that is not available)
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


class RunError(UserMistake):
    """A stored run is broken, foreign or missing, or does not go with the other one."""


class BoardError(MicrocloudError):
    """A board could not be brought up or kept: `board` is its inventory name, `what` a sentence.

    The sentence may quote the board: control characters, which a terminal would obey, are taken out of it.
    """

    def __init__(self, board: str, what: str) -> None:
        super().__init__()
        self.board = board
        self._say(what)

    def preface(self, happened: str) -> None:
        """Say first what turned out to have happened to the board, and then what was seen of it."""
        self._say(f"{happened}: {self.what}")

    def _say(self, what: str) -> None:
        self.what = "".join(
            c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in what
        )
        self.args = (f"{self.board}: {self.what}",)


class EngineError(BoardError):
    """The Docker engine (of the host, or of the board) is missing, or failed at a step."""


class EngineMissing(EngineError):
    """Nothing that is an engine's socket is where the board's engine should be."""


class EngineForbidden(EngineError):
    """The user who logs in may not read and write the engine's socket."""


class EngineTooOld(EngineError):
    """The engine's API is older than 1.24, that is Docker's older than 1.12."""


class HostTooSmall(BoardError):
    """The host has not the CPU or the memory to emulate this model."""


class LinkError(BoardError):
    """SSH to the board could not be made, or broke."""


class HostKeyUnknown(LinkError):
    """The host key is in no file of known hosts; the text has its fingerprint, and how to accept it."""


class HostKeyChanged(LinkError):
    """The host key is not the one that is known; the text has the command that forgets the old one."""


class LoginRejected(LinkError):
    """The host is there, but the key or the user is not accepted, or the key cannot be used."""


class BoardBusy(BoardError):
    """Another session holds the board's lock; the text says whose it is, since when, and how to wait."""


class MemoryCgroupOff(BoardError):
    """The board's engine has no memory cgroup, so that a container has neither memory figures nor limits."""


class SudoNeedsPassword(BoardError):
    """A command has to run as root, and sudo asks for a password, or there is no sudo."""


class ToolMissing(BoardError):
    """A program is not on the board; the text names the package, or why it could not be installed."""


class WrongBoard(BoardError):
    """The hardware is known, and is not that of the inventory's model; the text names both."""


class DeadlineExceeded(BoardError):
    """A remote call did not finish within its deadline."""


class NotMeasured(MicrocloudError):
    """The measurement cannot be made here; the text is the reason."""


class InvalidMeasurement(MicrocloudError):
    """The measurement was made but is invalid; the text is the reason."""


class LimitMissed(MicrocloudError, AssertionError):
    """A measurement is worse than its limit: metric, value, limit and source are in the text."""
