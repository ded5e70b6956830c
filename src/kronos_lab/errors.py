"""The error of this package: something the user gave cannot be used, said in one line."""


class InputError(ValueError):
    """Input (a file, a column, an option, a checkpoint) that cannot be used.

    The message is one line that names the file, series, column or key and says what to do. Root scripts print it
    and exit with code 1; as a `ValueError` it reads naturally from the Python API too.
    """


class Interrupted(KeyboardInterrupt):  # no error: somebody asked for it
    """A signal asked the run to stop, and it did, where that was safe.

    Attributes:
        number: of the signal; root scripts exit with 128 + number, as shells count.
    """

    def __init__(self, number: int, line: str) -> None:
        super().__init__(line)
        self.number = number
