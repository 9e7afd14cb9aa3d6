"""Makes an interpreter zygote of the interpreter that starts with this file as `sitecustomize`.

See `lib.rs` for the library's side. This file is run once, before the interpreter opens its
program. A clone of this process is init of one sandbox, and init forks once. The call into the
library returns only in that fork, which becomes the session's program. There this file gives the interpreter the values that it would have read
from its command line and environment, and removes every trace of itself. Then the interpreter goes
on and runs the program as usual.
"""


def install_early_exit(library):
    """Makes the interpreter exit early where skipping its finalization has no visible effect.

    At its end an interpreter destroys all objects, which costs more than a small program does. The
    destruction has a visible effect if an object of the program has a finalizer, a callback, or a
    buffer. If no object has one, and the program came to its end by itself, all that is left to do
    is to flush two streams. In every case of doubt the interpreter finalizes itself as usual.
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
        return  # the interpreter is older than 3.11
    functions = (python.Py_FinalizeEx, python.Py_RunMain)
    finalize_address, run_main_address = (ctypes.cast(f, ctypes.c_void_p).value for f in functions)
    library.livecode_zygote_is_ending.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    library.livecode_zygote_is_ending.restype = ctypes.c_bool
    # The program may change these modules, so their present contents are kept here. Attributes
    # are looked up by functions of the built-in types, so that no method of the program's classes
    # is called.
    main, system, streams = sys.modules["__main__"].__dict__, sys.__dict__, (sys.stdout, sys.stderr)
    get_objects, get_debug, gc_callbacks = gc.get_objects, gc.get_debug, gc.callbacks
    count_threads = _thread._count
    excepthook, filters, initial_filters = sys.excepthook, _warnings.filters, list(_warnings.filters)
    bases_of, attributes_of = type.__dict__["__mro__"].__get__, type.__dict__["__dict__"].__get__
    names_of, callback_of = type(sys).__dict__["__dict__"].__get__, ref.__dict__["__callback__"].__get__
    max_objects = 100_000  # to check more objects would take as long as the finalization

    def has_finalizer(kind):
        return any("__del__" in attributes_of(base) for base in bases_of(kind))

    def has_callback(reference):
        return callback_of(reference) is not None

    def is_extension(module):
        return type(names_of(module).get("__loader__")).__name__ == "ExtensionFileLoader"

    def may_have_callback(_):
        return True  # a proxy does not tell whether it has a callback

    # The check of each type whose objects may have a visible end. Classes are checked as well as
    # the types of objects, because the garbage collector does not track every object of a class.
    # An extension module may do anything when it is destroyed.
    visible_end_checks = {type: has_finalizer, ref: has_callback, type(sys): is_extension}
    visible_end_checks |= {ProxyType: may_have_callback, CallableProxyType: may_have_callback}

    def has_completed():
        # An interpreter removes `__file__` again after it has run a file. An error that ended the
        # program would have left `last_type` in `sys`.
        loader = type(main.get("__loader__")).__name__
        has_failed = "last_type" in system or system["excepthook"] is not excepthook
        return loader == "SourceFileLoader" and "__file__" not in main and not has_failed

    def has_invisible_end():
        if get_debug() or gc_callbacks or count_threads() > 0 or filters != initial_filters:
            return False
        if system["stdout"] is not streams[0] or system["stderr"] is not streams[1]:
            return False
        objects = get_objects()  # these exclude the frozen objects of the zygote
        if len(objects) > max_objects or not any(each is main for each in objects):
            return False  # there are too many objects, or the program has frozen its own
        kinds = set(map(type, objects))
        if any(map(has_finalizer, kinds)):  # files and generators have a finalizer
            return False
        checks = {
            kind: visible_end_checks[base]
            for kind in kinds
            for base in bases_of(kind)
            if base in visible_end_checks
        }
        return not any(checks[type(each)](each) for each in objects if type(each) in checks)

    def exit_early():
        try:
            is_ending = library.livecode_zygote_is_ending(finalize_address, run_main_address)
            if is_ending and has_completed() and has_invisible_end():
                for stream in streams:
                    stream.flush()
                library.livecode_zygote_exit()
        except BaseException:
            pass

    # Functions are called in the reverse order of their registration. Tracing is switched off
    # around `exit_early`, so that a program that traces calls does not see this one.
    python.PyThreadState_Get.restype = ctypes.c_void_p
    state = ctypes.c_void_p(python.PyThreadState_Get())
    atexit.register(python.PyThreadState_LeaveTracing, state)
    atexit.register(exit_early)
    atexit.register(python.PyThreadState_EnterTracing, state)


def become_zygote():
    """Serves as a zygote. Returns only in a fork of a clone, which becomes a session's program."""
    import sys

    known_modules, known_importers = set(sys.modules), set(sys.path_importer_cache)
    import ctypes
    import gc
    import os

    hook_folder = os.path.dirname(__file__)

    # The library is loaded from memory: no program sees in /proc/self/maps where its file lies.
    memory = os.memfd_create("livecode_zygote", os.MFD_CLOEXEC)
    with open(os.path.join(hook_folder, "livecode_zygote.so"), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while os.lseek(memory, 0, os.SEEK_CUR) < size:
            os.sendfile(memory, file.fileno(), None, size)
    library = ctypes.PyDLL(f"/proc/self/fd/{memory}")
    os.close(memory)
    library.livecode_zygote.restype = ctypes.c_size_t
    library.livecode_zygote_text.restype = ctypes.c_void_p
    install_early_exit(library)
    # All present objects are frozen: the garbage collector does not visit them again, so their
    # memory stays shared with the zygote. The module `__main__` is left out, because the objects
    # of the program are reachable from it and must be found and finalized at the end.
    gc.collect()
    main = [sys.modules["__main__"], sys.modules["__main__"].__dict__]
    for each in main:
        ctypes.pythonapi.PyObject_GC_UnTrack(ctypes.py_object(each))
    gc.freeze()
    for each in main:
        ctypes.pythonapi.PyObject_GC_Track(ctypes.py_object(each))
    # The memory areas that the kernel shows as this process's command line and environment
    # (proc_pid_stat(5), fields 48 to 51).
    with open("/proc/self/stat") as stat:
        areas = list(map(int, stat.read().rpartition(")")[2].split()[45:49]))
    ctypes.pythonapi.PyOS_BeforeFork()
    length = library.livecode_zygote()
    ctypes.pythonapi.PyOS_AfterFork_Child()

    def overwrite(text, start, end):
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, text, min(len(text), end - start - 1))

    count, *texts = ctypes.string_at(library.livecode_zygote_text(), length).split(b"\0")[:-1]
    command, variables = texts[: int(count)], texts[int(count) :]
    # Where the names of the variables are the same, only those with another value are set. The
    # others stay where they are in memory.
    current, new = os.environ._data, dict(variable.split(b"=", 1) for variable in variables)
    if list(current) != list(new):
        os.environ.clear()
    for name, value in new.items():
        if current.get(name) != value:
            os.environb[name] = value
    overwrite(b"\0".join(command), *areas[:2])
    overwrite(b"\0".join(variables), *areas[2:])
    sys.orig_argv[:] = map(os.fsdecode, command)
    sys.argv[:] = sys.orig_argv[1:]
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    candidates = (os.path.join(folder, sys.orig_argv[0]) for folder in folders)
    sys.executable = next((path for path in candidates if os.access(path, os.X_OK)), sys.executable)
    sys._base_executable = sys.executable
    sys.path[sys.path.index(hook_folder) : sys.path.index(hook_folder) + 1] = [
        os.path.abspath(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder
    ]
    for folder in set(sys.path_importer_cache) - known_importers | {hook_folder}:
        sys.path_importer_cache.pop(folder, None)

    # The library has reset every signal to its default. The interpreter may still believe that a
    # signal is ignored, as it is in a server that nohup started.
    import _signal

    for number in _signal.valid_signals():
        if _signal.getsignal(number) == _signal.SIG_IGN:
            _signal.signal(number, _signal.SIG_DFL)
    # An interpreter sets these three when it starts.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    for name in set(sys.modules) - known_modules:
        del sys.modules[name]
    del sys.modules["sitecustomize"]


become_zygote()
del become_zygote, install_early_exit
import sitecustomize  # noqa: E402, F401 - this is the program's own, if there is one
