"""The one exception that means "the user can mend this"."""


class InputError(Exception):
    """A mistake in configuration or data: what, where, found, expected, and the way out.

    A stage that ends with it prints the message without a traceback and exits with code 2.
    """
