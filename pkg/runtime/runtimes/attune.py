"""Calls a function of an action: attune.py FILE FUNCTION [DESCRIPTOR].

Reads the execution from standard input, calls the function with the parameters as keyword arguments and
writes what it returns to the result file. It runs on Python 3.6 and later and imports only what every Python
brings. A result file that begins with "!" holds a complaint about the returned value instead of a value.

With a descriptor it is a spare: it loads FILE first, says there that it waits, gets its execution whenever there is
one, and says that it has it. What FILE does while it is loaded cannot tell the difference, but by the id of the
execution.
"""
import importlib.util
import inspect
import json
import os
import sys


def load(path):
    folder, file = os.path.split(path)
    sys.path[0] = folder
    name = os.path.splitext(file)[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise SystemExit("attune: %s is not a Python file" % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def arguments(function, given):
    wanted = dict(given["parameters"])
    try:
        declared = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return wanted
    for part in ("secrets", "config", "execution"):
        if part in declared and part not in wanted:
            wanted[part] = given[part]
    return wanted


def call(function, given):
    value = function(**arguments(function, given))
    if inspect.isawaitable(value):
        import asyncio

        async def wait():
            return await value

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(wait())
        finally:
            loop.close()
    return value


def encode(value):
    try:
        return json.dumps(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as fault:
        return "!%s" % fault


def find(path, name):
    function = getattr(load(path), name, None)
    if not callable(function):
        raise SystemExit("attune: %s has no function %s" % (os.path.basename(path), name))
    return function


def wait(path, name, descriptor):
    source = os.dup(0)  # no program that the module starts inherits it, or reads from it
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.set_inheritable(descriptor, False)
    function = find(path, name)
    try:
        inspect.signature(function)
    except (TypeError, ValueError):
        pass
    if inspect.iscoroutinefunction(function):
        import asyncio  # noqa: F401, it takes long
    os.write(descriptor, b"w")
    with os.fdopen(source, "rb") as pipe:
        text = pipe.read()
    if not text:
        raise SystemExit(0)  # nobody needs it any more
    given = json.loads(text.decode("utf-8"))
    os.write(descriptor, b"r")
    os.close(descriptor)
    os.environ["ATTUNE_EXECUTION_ID"] = given["execution"]["id"]
    os.environ["ATTUNE_ATTEMPT"] = str(given["execution"]["attempt"])
    return function, given


def main():
    path, name, descriptor = sys.argv[1], sys.argv[2], sys.argv[3:]
    sys.argv[:] = [path]
    if descriptor:
        function, given = wait(path, name, int(descriptor[0]))
    else:
        given = json.loads(sys.stdin.buffer.read().decode("utf-8"))
        function = find(path, name)
    value = call(function, given)
    if value is not None:
        with open(os.environ["ATTUNE_RESULT_FILE"], "w", encoding="utf-8") as result:
            result.write(encode(value))


main()
