"""The error of this package: something the user gave cannot be used, said in one line."""


class InputError(ValueError):
    """Input (a file, a column, an option, a checkpoint) that cannot be used.

    The message is one line that names the file, series, column or key and says what to do. Root scripts print it
    and exit with code 1; as a `ValueError` it reads naturally from the Python API too.
    """
