"""Builds filters with libseccomp in the way that runc does (libcontainer/seccomp/seccomp_linux.go).

Reads a JSON array of {"native": ARCH, "optimize": 0..2, "profile": linux.seccomp} on stdin, writes
a JSON array of {"filter": hex, "greatest": {ARCH: number}, "unknown": [names]}, or {"error": errno},
on stdout. "greatest" is what runc's ENOSYS stub (patchbpf) is made from. The machine's own
architecture stands for any other one: libseccomp translates its numbers by name.
"""

import ctypes
import json
import os
import sys
import tempfile

lib = ctypes.CDLL("libseccomp.so.2")


class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_release.argtypes = [ctypes.c_void_p]
lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
lib.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
lib.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                                       ctypes.c_uint, ctypes.POINTER(Comparison)]
lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
lib.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
lib.seccomp_arch_native.restype = ctypes.c_uint32

ARCHITECTURES = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_X86": 0x40000003,
                 "SCMP_ARCH_X32": 0x4000003E, "SCMP_ARCH_AARCH64": 0xC00000B7,
                 "SCMP_ARCH_ARM": 0x40000028}
ACTIONS = {"SCMP_ACT_KILL": 0, "SCMP_ACT_KILL_THREAD": 0, "SCMP_ACT_KILL_PROCESS": 0x80000000,
           "SCMP_ACT_TRAP": 0x00030000, "SCMP_ACT_ERRNO": 0x00050000, "SCMP_ACT_TRACE": 0x7FF00000,
           "SCMP_ACT_LOG": 0x7FFC0000, "SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_NOTIFY": 0x7FC00000}
OPERATORS = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4,
             "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}
UNKNOWN = -1
EEXIST = -17
OPTIMIZE = 8


def action(name, errno):
    value = ACTIONS[name]
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        value |= 1 if errno is None else errno
    return value


def add_rule(context, what, number, arguments):
    comparisons = (Comparison * len(arguments))()
    for comparison, argument in zip(comparisons, arguments):
        comparison.argument = argument["index"]
        comparison.operator = OPERATORS[argument["op"]]
        comparison.a = argument["value"]
        comparison.b = argument.get("valueTwo", 0)
    status = lib.seccomp_rule_add_array(context, what, number, len(arguments), comparisons)
    if status < 0:
        raise OSError(-status, "seccomp_rule_add_array")


def build(request):
    profile = request["profile"]
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    native = ARCHITECTURES[request["native"]]
    context = lib.seccomp_init(default)
    try:
        wanted = [request["native"]] + [a for a in profile.get("architectures", [])]
        for name in wanted:
            status = lib.seccomp_arch_add(context, ARCHITECTURES[name])
            if status not in (0, EEXIST):
                raise OSError(-status, "seccomp_arch_add")
        if native != lib.seccomp_arch_native():
            lib.seccomp_arch_remove(context, lib.seccomp_arch_native())
        if request["optimize"]:
            lib.seccomp_attr_set(context, OPTIMIZE, request["optimize"])

        unknown = []
        greatest = {name: 0 for name in wanted}
        for rule in profile.get("syscalls", []):
            what = action(rule["action"], rule.get("errnoRet"))
            arguments = rule.get("args", [])
            indices = [argument["index"] for argument in arguments]
            for name in rule["names"]:
                number = lib.seccomp_syscall_resolve_name(name.encode())
                if number == UNKNOWN:
                    unknown.append(name)
                    continue
                for architecture in greatest:
                    on_it = lib.seccomp_syscall_resolve_name_arch(
                        ARCHITECTURES[architecture], name.encode())
                    greatest[architecture] = max(greatest[architecture], on_it)
                if what == default:
                    continue
                if len(set(indices)) < len(indices):
                    for argument in arguments:
                        add_rule(context, what, number, [argument])
                else:
                    add_rule(context, what, number, arguments)

        with tempfile.TemporaryFile() as file:
            status = lib.seccomp_export_bpf(context, file.fileno())
            if status < 0:
                raise OSError(-status, "seccomp_export_bpf")
            file.seek(0, os.SEEK_SET)
            return {"filter": file.read().hex(), "greatest": greatest, "unknown": unknown}
    except OSError as error:
        return {"error": error.errno}
    finally:
        lib.seccomp_release(context)


json.dump([build(request) for request in json.load(sys.stdin)], sys.stdout)
