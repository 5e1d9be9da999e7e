"""Process kernels for Python programs: a kernel of its own for every process that you start.

    import cerebro

    with cerebro.Kernel("slow", type=cerebro.CUSTOM) as kernel:
        @kernel.handler("openat")
        def slow(call):
            time.sleep(0.01)
            return call.forward()

        kernel.deny("ptrace", errno.EPERM)
        kernel.limit(memory="256M")
        status = kernel.run(["/bin/ls", "-l"])

Failures are cerebro.Error, an OSError with a sentence and a hint. Nothing here prints; what goes
wrong in a handler is an event of its kernel, and a record of the logger "cerebro". The library is
found by CEREBRO_LIBRARY in the environment, in the prefix that this package is installed in, or
where the loader looks.

After os.fork() the kernels are the parent's: the child can make others. pk_execute() of the library
has no counterpart here, since it forks, and an interpreter with threads does not survive that in
the child; spawn([sys.executable, ...]) runs Python under a kernel.
"""

from .call import Answer, Call, Result
from .errors import Error
from .kernel import EventHandler, Handler, Kernel, shutdown
from .library import syscall_name, syscall_number
from .memory import Memory
from .values import Event, EventType, ExitStatus, KernelType, Statistics

GENERIC = KernelType.GENERIC
WINDOWS = KernelType.WINDOWS
CUSTOM = KernelType.CUSTOM

__all__ = [
    "Answer", "CUSTOM", "Call", "Error", "Event", "EventHandler", "EventType", "ExitStatus",
    "GENERIC", "Handler", "Kernel", "KernelType", "Memory", "Result", "Statistics", "WINDOWS",
    "shutdown", "syscall_name", "syscall_number",
]
