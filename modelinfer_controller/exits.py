"""How the process ends: exit codes that scripts may rely on, and the one line that goes with each."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How the process ends, for scripts and supervisors."""

    OK = 0
    FAILURE = 1  # a fault of the program
    USAGE = 2  # a flag, an environment variable or the configuration file
    NO_CLUSTER = 3  # no configuration of one, or nobody answers
    FORBIDDEN = 4  # the cluster does not accept the credentials, or does not allow them what is needed
    CRD_MISSING = 5
    LEADERSHIP_LOST = 6


class Exit(Exception):
    """Ends the process with that code; str() is the line for people, and says what to do."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code
