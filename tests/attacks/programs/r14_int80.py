import ctypes, mmap, os, signal
from attack import *

# The machine code is: mov eax, 20 (getpid of the 32-bit interface); int 0x80; ret.
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")
enter = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
pid = os.fork()
if pid == 0:
    enter()
    os._exit(0)
status = os.waitpid(pid, 0)[1]
# The filter kills the process. A kernel without the 32-bit interface raises SIGSEGV.
want("int 0x80", os.WTERMSIG(status) if os.WIFSIGNALED(status) else "done", signal.SIGSYS, signal.SIGSEGV)
held()
