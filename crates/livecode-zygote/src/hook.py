"""Makes a template of the interpreter that starts with this as its `sitecustomize`: see lib.rs.

It is run once, before the interpreter opens its program. The call into the library returns in copies of the process only,
each of them a session's: there the interpreter is told what it would have read from its command line and environment,
forgets this file, and goes on to run the program as it would have.
"""


def end_early(library):
    """Has the interpreter end as soon as nothing shows any more of how it does.

    At last it takes everything apart, which costs more than a small program does. That shows where something of the
    program's has a finalizer, a callback, or a buffer. Where nothing has, and the program came to its end by itself, all that
    is left to do is to flush two streams. In every doubt the interpreter goes its own way.
    """
    import _thread
    import _warnings
    import atexit
    import ctypes
    import gc
    import sys
    from _weakref import CallableProxyType, ProxyType, ref

    python = ctypes.pythonapi
    if not hasattr(python, "PyThreadState_EnterTracing"):
        return  # older than 3.11
    finalize, run = (ctypes.cast(f, ctypes.c_void_p).value for f in (python.Py_FinalizeEx, python.Py_RunMain))
    library.livecode_zygote_is_ending.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    library.livecode_zygote_is_ending.restype = ctypes.c_bool
    # As they are now, whatever a program does to their modules; and looked up without a word of its own classes'.
    main, system, streams = sys.modules["__main__"].__dict__, sys.__dict__, (sys.stdout, sys.stderr)
    tracked, debugged, callbacks, threads = gc.get_objects, gc.get_debug, gc.callbacks, _thread._count
    hook, filters, usual = sys.excepthook, _warnings.filters, list(_warnings.filters)
    bases_of, attributes_of = type.__dict__["__mro__"].__get__, type.__dict__["__dict__"].__get__
    names_of, callback_of = type(sys).__dict__["__dict__"].__get__, ref.__dict__["__callback__"].__get__
    most_objects = 100_000  # beyond them looking would take as long

    def has_finalizer(kind):
        return any("__del__" in attributes_of(base) for base in bases_of(kind))

    def has_callback(reference):
        return callback_of(reference) is not None

    def is_extension(module):
        return type(names_of(module).get("__loader__")).__name__ == "ExtensionFileLoader"

    def is_proxy(_):
        return True  # whether it has a callback it does not tell

    # Objects of a class may be out of the collector's sight, and what an extension does is anybody's guess.
    talkative = {type: has_finalizer, ref: has_callback, type(sys): is_extension}
    talkative |= {ProxyType: is_proxy, CallableProxyType: is_proxy}

    def is_done():
        # An interpreter that has run a file takes `__file__` away again. The error that ended it would be in `sys`.
        loader = type(main.get("__loader__")).__name__
        has_failed = "last_type" in system or system["excepthook"] is not hook
        return loader == "SourceFileLoader" and "__file__" not in main and not has_failed

    def is_silent():
        if debugged() or callbacks or threads() > 0 or filters != usual:
            return False
        if system["stdout"] is not streams[0] or system["stderr"] is not streams[1]:
            return False
        objects = tracked()  # without those of the template
        if len(objects) > most_objects or not any(each is main for each in objects):
            return False  # too many, or frozen
        kinds = set(map(type, objects))
        if any(map(has_finalizer, kinds)):  # files have one, and generators
            return False
        checks = {kind: talkative[base] for kind in kinds for base in bases_of(kind) if base in talkative}
        return not any(checks[type(each)](each) for each in objects if type(each) in checks)

    def end():
        try:
            if library.livecode_zygote_is_ending(finalize, run) and is_done() and is_silent():
                for stream in streams:
                    stream.flush()
                library.livecode_zygote_exit()
        except BaseException:
            pass

    # What is registered first is called last. A program that traces calls is not to see this one.
    python.PyThreadState_Get.restype = ctypes.c_void_p
    state = ctypes.c_void_p(python.PyThreadState_Get())
    atexit.register(python.PyThreadState_LeaveTracing, state)
    atexit.register(end)
    atexit.register(python.PyThreadState_EnterTracing, state)


def become():
    import sys

    known, looked_up = set(sys.modules), set(sys.path_importer_cache)
    import ctypes
    import gc
    import os

    here = os.path.dirname(__file__)

    library = ctypes.PyDLL(os.path.join(here, "livecode_zygote.so"))
    library.livecode_zygote.restype = ctypes.c_size_t
    library.livecode_zygote_text.restype = ctypes.c_void_p
    end_early(library)
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
    length = library.livecode_zygote()
    ctypes.pythonapi.PyOS_AfterFork_Child()

    def show(text, start, end):
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, text, min(len(text), end - start - 1))

    count, *texts = ctypes.string_at(library.livecode_zygote_text(), length).split(b"\0")[:-1]
    command, variables = texts[: int(count)], texts[int(count) :]
    # Where most of it is as it was, it stays where it is.
    there, wanted = os.environ._data, dict(variable.split(b"=", 1) for variable in variables)
    if list(there) != list(wanted):
        os.environ.clear()
    for name, value in wanted.items():
        if there.get(name) != value:
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
del become, end_early
import sitecustomize  # noqa: E402, F401 - the program's own, if there is one
