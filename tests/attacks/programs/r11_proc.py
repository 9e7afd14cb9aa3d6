import os
from attack import *


def read(path):
    with open(path, "rb") as file:
        return file.read(4096)


# Files about the inside of the machine are empty or do not exist.
for name in ("kcore", "keys", "key-users", "timer_list", "kallsyms", "interrupts", "kmsg", "sched_debug", "latency_stats", "kpagecount",
             "kpageflags", "kpagecgroup", "vmallocinfo", "slabinfo", "iomem", "modules", "timer_stats", "acpi/wakeup",
             "scsi/scsi", "mtrr", "config.gz", "vmcore", "1/stack", "self/stack"):
    try:
        got = read(f"/proc/{name}")
        # Without a capability /proc/iomem and /proc/modules show zeros instead of addresses.
        harmless = not got or (name in ("iomem", "modules") and b"ffffffff" not in got) or name in ("config.gz", "mtrr")
        if not harmless:
            print(f"read /proc/{name}: {got[:60]}")
    except OSError:
        pass
for name in ("acpi", "scsi", "asound"):
    try:
        want(f"/proc/{name}", os.listdir(f"/proc/{name}"), [])
    except OSError:
        pass
# Files that change the machine cannot be written.
for name in ("sysrq-trigger", "sys/kernel/core_pattern", "sys/kernel/hostname", "sys/kernel/modprobe",
             "sys/vm/drop_caches", "sys/vm/overcommit_memory", "sys/fs/file-max", "sys/user/max_user_namespaces",
             "sys/net/ipv4/ip_forward", "sys/kernel/randomize_va_space", "sys/kernel/ns_last_pid",
             "sys/kernel/shmmax", "sys/fs/binfmt_misc/register", "irq/default_smp_affinity", "bus/pci/devices",
             "fs/ext4", "mtrr", "1/oom_score_adj", "1/oom_adj", "1/comm", "1/uid_map", "1/gid_map", "1/setgroups",
             "1/coredump_filter", "1/clear_refs", "1/attr/current", "1/sched", "1/timerslack_ns"):
    def write():
        fd = os.open(f"/proc/{name}", os.O_WRONLY)
        os.write(fd, b"0")
    got = attempt(write)
    if name == "sysrq-trigger":
        # A write may succeed, since /dev/null is mounted over the file.
        want("write sysrq-trigger", got, "done", "EACCES", "EPERM", "ENOENT")
        want("sysrq-trigger is a device", os.path.exists("/proc/sysrq-trigger")
             and os.stat("/proc/sysrq-trigger").st_rdev != os.stat("/dev/null").st_rdev, False)
        continue
    refused(f"write /proc/{name}", got, "EINVAL", "EIO", "EISDIR")
# A program cannot protect itself from the OOM killer.
def lower():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")
refused("oom_score_adj", attempt(lower))
for path in ("/sys", "/sys/kernel", "/sys/firmware", "/sys/fs/cgroup", "/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/vda", "/dev/sda",
             "/dev/fuse", "/dev/net/tun", "/dev/console", "/dev/tty", "/dev/ptmx", "/dev/loop0", "/dev/userfaultfd"):
    want(path, os.path.lexists(path), False)
held()
