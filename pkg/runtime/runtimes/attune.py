"""Calls a function of an action: attune.py FILE FUNCTION.

Reads the execution from standard input, calls the function with the parameters as keyword arguments and
writes what it returns to the result file. It runs on Python 3.6 and later and imports only what every Python
brings. A result file that begins with "!" holds a complaint about the returned value instead of a value.
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


def main():
    path, name = sys.argv[1], sys.argv[2]
    given = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    sys.argv[:] = [path]
    function = getattr(load(path), name, None)
    if not callable(function):
        raise SystemExit("attune: %s has no function %s" % (os.path.basename(path), name))
    value = call(function, given)
    if value is not None:
        with open(os.environ["ATTUNE_RESULT_FILE"], "w", encoding="utf-8") as result:
            result.write(encode(value))


main()
