"""What ends the command early: one message with what to do next, and an exit code of launch/ERRORS.md."""

USAGE, DAMAGED, FAILED_TO_WRITE, REFUSED = 2, 65, 73, 78


class Refusal(Exception):
    def __init__(self, message, code=REFUSED):
        super().__init__(message)
        self.code = code
