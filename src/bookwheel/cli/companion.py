"""`bookwheel serve` beside another command: it ends when that one does, also where that one was killed.

The command holds the other end of standard input, so that its end says that the command is gone.
"""

import os
import signal
import threading

from bookwheel.cli.main import main


def _end_with_command() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_command, daemon=True).start()
    main()
