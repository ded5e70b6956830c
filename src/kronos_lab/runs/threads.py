"""How threads behave on machines that do other work too."""

import os


def let_idle_threads_sleep() -> None:
    """Idle OpenMP threads sleep instead of spinning; call it before torch is imported.

    By default they spin while they wait for each other. As soon as another process wants a core, small models then
    run several times slower on two threads than on one. A setting of the user's own is kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
