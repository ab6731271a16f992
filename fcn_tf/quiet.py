"""What libraries write to standard error on their own, held back unless something fails."""

import contextlib
import os
import sys
import tempfile

# Asked once: the commands set it too.
_user_listens = "TF_CPP_MIN_LOG_LEVEL" in os.environ


@contextlib.contextmanager
def stderr_held_back():
    """Holds back what is written to standard error, by compiled code too; shown on an exception.

    Nothing is held back where the user has set TF_CPP_MIN_LOG_LEVEL, and wants to see it.
    """
    if _user_listens:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
