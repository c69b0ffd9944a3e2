"""Finding agents: `FILE.py:NAME`, `module:NAME`, or an artifact `FILE.avm.json`.

A file is loaded as `python FILE.py` would, except that the module goes by the
file's stem, so that a later process finds the same agent again by its recorded
reference. Whatever is wrong with the user's file is an `InputError` that shows
the user's line and nothing of the framework.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import linecache
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from agentvm_compiler.calls import Agent, Tool
from agentvm_compiler.errors import InputError

from .inputs import bind_inputs, validate_inputs

__all__ = [
    "agents_of",
    "bind_inputs",
    "find_agent",
    "load_agent",
    "load_file",
    "load_module",
    "load_object",
    "outdated",
    "require_agent",
    "validate_inputs",
]

_FORM = "Write FILE.py:NAME or module:NAME, for example research.py:research."


def load_agent(target: str) -> Agent:
    """The agent a command line names.

    Raises:
        InputError: no such file, module or name; not an agent; or the file cannot be loaded.
        CompileError: an artifact that is malformed.
    """
    place, _, name = target.rpartition(":")
    if not place or target.endswith(".json"):
        place, name = target, ""
    if place.endswith(".json"):
        from .artifact import load_artifact

        return load_artifact(Path(place), name)
    value, module = load_object(target, what="agent")
    return require_agent(value, name=target.rpartition(":")[2], module=module)


def load_object(target: str, *, what: str = "object") -> tuple[Any, ModuleType]:
    """Any object by `FILE.py:NAME` or `module:NAME`, with its module."""
    place, _, name = target.rpartition(":")
    if not place:
        place, name = target, ""
    module = load_file(Path(place)) if _is_path(place) else load_module(place)
    if not name:
        raise InputError(f"{target!r} does not say which {what}. {_FORM} {_offer(module, what=what)}")
    value: Any = module
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise InputError(f"{place} has no {what} named {name!r}. {_offer(module, name, what)}") from None
    return value, module


def find_agent(ref: str, file: str | None = None) -> Agent:
    """The agent of a recorded run.

    Args:
        ref: `module:qualname` as recorded.
        file: where its source was, or the artifact it came from.
    """
    module, _, name = ref.partition(":")
    if file is not None and file.endswith(".json"):
        if not Path(file).is_file():
            raise InputError(
                f"The agent {ref} was run from the artifact {file}, and that file is gone. "
                "Put it back, or name the agent's new place: --agent FILE.avm.json or --agent FILE.py:NAME."
            )
        return load_agent(f"{file}:{name}")
    main = getattr(sys.modules["__main__"], "__file__", None)
    same = main is not None and file is not None and Path(main).resolve() == Path(file).resolve()
    if module in sys.modules and (module != "__main__" or same):
        return require_agent(_walk(sys.modules[module], ref), name=name, module=sys.modules[module])
    by_file = file is not None and "." not in module and Path(file).suffix == ".py"
    if by_file and not Path(str(file)).is_file():
        raise InputError(
            f"The agent {ref} was in {file}, and that file is gone. "
            "Put it back, or name the agent's new place: --agent FILE.py:NAME."
        )
    return load_agent(f"{file if by_file else module}:{name}")


def outdated(module: str, file: str | None) -> str | None:
    """What is wrong, if a file of the user's is loaded as that module that is not this file as it is now."""
    if file is None or not file.endswith(".py"):
        return None
    loaded = sys.modules.get(Path(file).stem if module == "__main__" else module)
    source = getattr(loaded, "__agentvm_source__", None)
    if loaded is None or source is None:
        return None
    if Path(str(loaded.__file__)).resolve() != Path(file).resolve():
        return f"The module {module!r} is {loaded.__file__} in this process, and the run's is {file}."
    if Path(file).is_file() and Path(file).read_bytes() != source:
        return f"{file} has changed since this process loaded it."
    return None


def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module named by its stem, its folder first on `sys.path`."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a Python file. {_FORM}")
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no file {path} (looked in {Path.cwd()}).{_similar(path)}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    path = path.resolve()
    name = _module_name(path)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__agentvm_source__", None) == source:
        return known
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__agentvm_source__"] = source
    sys.modules[name] = module
    linecache.checkcache(str(path))
    try:
        # compiled here and not by the loader: no __pycache__, and never a stale one
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sys.modules.pop(name, None)
        raise _user_error(error, str(path)) from error
    return module


def load_module(name: str) -> ModuleType:
    """Import a module by name, the working folder on `sys.path` as with `python -m`."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            file = Path(name.replace(".", "/") + ".py")
            hint = f" Did you mean {file}:NAME?" if file.is_file() else ""
            raise InputError(f"There is no module named {name!r}.{hint} {_FORM}") from None
        raise _user_error(error, name) from error
    except (TypeError, ValueError):
        raise InputError(f"{name!r} is not the name of a module. {_FORM}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _user_error(error, name) from error


def require_agent(value: Any, *, name: str = "", module: ModuleType | None = None) -> Agent:
    """The value if it is an agent.

    Raises:
        InputError: it is not; the message says how to make it one.
    """
    if isinstance(value, Agent):
        return value
    label = name or getattr(value, "__name__", None) or repr(value)[:60]
    offer = f" {_offer(module)}" if module is not None else ""
    if isinstance(value, Tool):
        raise InputError(f"{label} is a tool, not an agent. Call it from an agent and run that.{offer}")
    if hasattr(value, "__code__"):
        raise InputError(
            f"{label} is a plain function, not an agent. "
            f"Put @agent (from agentvm import agent) above `async def {label}`.{offer}"
        )
    raise InputError(f"{label} is a {type(value).__name__}, not an agent.{offer}")


def agents_of(module: ModuleType) -> dict[str, Agent]:
    """The module's agents by name, in source order."""
    return {name: value for name, value in vars(module).items() if isinstance(value, Agent)}


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place


def _module_name(path: Path) -> str:
    """The file's stem, unless a module that is not a file of the user's has that name."""
    known = sys.modules.get(path.stem)
    free = known is None or hasattr(known, "__agentvm_source__")
    if free and path.stem not in sys.stdlib_module_names and path.stem not in _OURS:
        return path.stem
    return f"{path.stem}_file"


_OURS = ("agentvm", "agentvm_compiler", "agentvm_runtime", "agentvm_serving")


def _walk(module: ModuleType, ref: str) -> Any:
    value: Any = module
    for part in ref.partition(":")[2].split("."):
        value = getattr(value, part, None)
        if value is None:
            raise InputError(f"The agent {ref} is no longer there. {_offer(module)}")
    return value


def _offer(module: ModuleType, name: str = "", what: str = "agent") -> str:
    if what != "agent":
        public = [each for each in vars(module) if not each.startswith("_")]
        return f"It has {', '.join(public) or 'no names'}."
    names = list(agents_of(module))
    if not names:
        return "It has no agents: put @agent (from agentvm import agent) above an `async def`."
    close = difflib.get_close_matches(name, names, 1)
    guess = f"Did you mean {close[0]}? " if close else ""
    return f"{guess}Its agents: {', '.join(names)}."


def _similar(path: Path) -> str:
    try:
        names = [each.name for each in path.parent.iterdir() if each.suffix == ".py"]
    except OSError:
        return " Check the path."
    close = difflib.get_close_matches(path.name, names, 1)
    return f" Did you mean {path.parent / close[0]}?" if close else " Check the path."


def _user_error(error: BaseException, where: str) -> InputError:
    """The error with the user's own line, without any frame of ours."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return InputError(_syntax(error))
    users = [each for each in traceback.extract_tb(error.__traceback__) if _is_users(each.filename)]
    last = users[-1] if users else None
    place = f"{last.filename}:{last.lineno}" if last else where
    line = f"\n    {last.line}" if last and last.line else ""
    if isinstance(error, SystemExit):
        return InputError(
            f"{place}: the file ended Python while it was loaded.{line}\n"
            'Put what is to run as a script under `if __name__ == "__main__":`.'
        )
    remedy = "Mend the file; it must load without running anything."
    if isinstance(error, ModuleNotFoundError):
        remedy = f"Install what provides {error.name!r} into {sys.executable}, or mend the name."
    return InputError(f"{place}: {type(error).__name__}: {error}{line}\n{remedy}")


def _is_users(filename: str) -> bool:
    path = Path(filename)
    ours = Path(__file__).parent in path.parents or "site-packages" in path.parts
    return not ours and not filename.startswith("<frozen") and _STDLIB not in path.parents


_STDLIB = Path(traceback.__file__).parent


def _syntax(error: SyntaxError) -> str:
    text = (error.text or "").rstrip("\n")
    kept = text.lstrip()
    caret = ""
    if kept and error.offset:
        caret = "\n    " + " " * max(error.offset - 1 - (len(text) - len(kept)), 0) + "^"
    shown = f"\n    {kept}{caret}" if kept else ""
    return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}{shown}\nMend this line."
