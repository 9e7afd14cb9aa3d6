"""Makes a template of the interpreter that starts with this as its `sitecustomize`: see lib.rs.

It is run once, before the interpreter opens its program. The call into the library returns in copies of the process only,
each of them a session's: there the interpreter is told what it would have read from its command line and environment,
forgets this file, and goes on to run the program as it would have.
"""


def become():
    import sys

    known, looked_up = set(sys.modules), set(sys.path_importer_cache)
    import ctypes
    import gc
    import os

    here = os.path.dirname(__file__)

    library = ctypes.PyDLL(os.path.join(here, "livecode_template.so"))
    library.livecode_template.restype = ctypes.c_size_t
    library.livecode_template_text.restype = ctypes.c_void_p
    # What is there by now stays; not looking at it again leaves its memory shared with the template. But what a program
    # makes hangs on its module, and is to be found and finalised at the end.
    gc.collect()
    main = [sys.modules["__main__"], sys.modules["__main__"].__dict__]
    for each in main:
        ctypes.pythonapi.PyObject_GC_UnTrack(ctypes.py_object(each))
    gc.freeze()
    for each in main:
        ctypes.pythonapi.PyObject_GC_Track(ctypes.py_object(each))
    # Where the kernel shows this process's command line and environment from (proc_pid_stat(5), fields 48 to 51).
    with open("/proc/self/stat") as stat:
        places = list(map(int, stat.read().rpartition(")")[2].split()[45:49]))
    ctypes.pythonapi.PyOS_BeforeFork()
    length = library.livecode_template()
    ctypes.pythonapi.PyOS_AfterFork_Child()

    def show(text, start, end):
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, text, min(len(text), end - start - 1))

    count, *texts = ctypes.string_at(library.livecode_template_text(), length).split(b"\0")[:-1]
    command, variables = texts[: int(count)], texts[int(count) :]
    os.environ.clear()
    for variable in variables:
        name, _, value = variable.partition(b"=")
        os.environb[name] = value
    show(b"\0".join(command), *places[:2])
    show(b"\0".join(variables), *places[2:])
    sys.orig_argv[:] = map(os.fsdecode, command)
    sys.argv[:] = sys.orig_argv[1:]
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    places = (os.path.join(folder, sys.orig_argv[0]) for folder in folders)
    sys.executable = next((place for place in places if os.access(place, os.X_OK)), sys.executable)
    sys._base_executable = sys.executable
    sys.path[sys.path.index(here) : sys.path.index(here) + 1] = [
        os.path.abspath(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder
    ]
    for folder in set(sys.path_importer_cache) - looked_up | {here}:
        sys.path_importer_cache.pop(folder, None)

    # The library has set every signal to what a program starts with, but the interpreter may think that it is ignored, as it is
    # in a server that was started by nohup.
    import _signal

    for number in _signal.valid_signals():
        if _signal.getsignal(number) == _signal.SIG_IGN:
            _signal.signal(number, _signal.SIG_DFL)
    # These are what an interpreter makes of it.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    for name in set(sys.modules) - known:
        del sys.modules[name]
    del sys.modules["sitecustomize"]


become()
del become
import sitecustomize  # noqa: E402, F401 - the program's own, if there is one
