"""What is kept and shown of an error that somebody else's code raised: text of bounded length, valid as UTF-8.

Whatever a task raises has to be recorded, also an error whose `__str__` raises, whose message is 50 MB or half a
character, or whose source cannot be read. So nothing here raises, except Ray's order to end the process.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType

_LONGEST_MESSAGE = 2_000  # characters
_LONGEST_TRACEBACK = 16_000  # characters
_LONGEST_NAME = 200  # characters
_MOST_FRAMES = 100  # the last ones: of a recursion that went too deep more would tell nothing
_MOST_CAUSES = 20
_MOST_IN_A_GROUP = 5
_DEEPEST_GROUP = 3
_MOST_NOTES = 10


def in_words(error: BaseException, longest: int = _LONGEST_MESSAGE) -> str:
    """The error as "Type: message", of at most `longest` characters; a group with those that it holds."""
    try:
        text = _in_words(error, longest, _DEEPEST_GROUP)
    except BaseException as broken:
        _let_ray_end(broken)
        text = _name(error)
    return clean(text, longest)


def traceback_of(error: BaseException) -> str:
    """The traceback with what caused the error, as Python prints it; where that is long, its end."""
    try:
        text = "".join(_blocks(error, _DEEPEST_GROUP))
    except BaseException as broken:
        _let_ray_end(broken)
        text = in_words(error)
    return clean(text[-_LONGEST_TRACEBACK:], _LONGEST_TRACEBACK)


def clean(text: str, longest: int) -> str:
    """The beginning of a text, as it can be stored: half characters (surrogates) and zeros are written out."""
    if type(text) is not str:  # a class of the user's, whose methods may do anything
        text = str.__getitem__(text, slice(0, longest + 1))
    cut = text[: longest + 1].encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return cut if len(cut) <= longest else cut[: longest - 1] + "…"


def leaves(error: BaseException) -> list[BaseException]:
    """The errors that a group holds, at any depth; the error itself where it is none."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(reversed(one.exceptions))
        else:
            found.append(one)
    return found


def is_rays_order(error: BaseException) -> bool:
    """Whether an error is not the task's own: Ray ends this process, as it does when the tracker or the node goes."""
    return isinstance(error, SystemExit) and hasattr(error, "ray_terminate_msg")


def _let_ray_end(error: BaseException) -> None:
    if is_rays_order(error):
        raise error


def _name(error: BaseException) -> str:
    return clean(type.__dict__["__name__"].__get__(type(error)), _LONGEST_NAME)


def _in_words(error: BaseException, longest: int, depth: int) -> str:
    text = _message(error, longest)
    told = f"{_name(error)}: {text}" if text else _name(error)
    if not isinstance(error, BaseExceptionGroup) or not depth:
        return told
    held = [_in_words(one, longest, depth - 1) for one in error.exceptions[:_MOST_IN_A_GROUP]]
    more = len(error.exceptions) - len(held)
    return f"{told}: {'; '.join(held)}" + (f"; and {more} more" if more else "")


def _message(error: BaseException, longest: int) -> str:
    for tell in (str, BaseException.__str__):  # the second is what it was before the error's class changed it
        try:
            text = str.__getitem__(tell(error), slice(0, longest + 1))
        except BaseException as broken:
            _let_ray_end(broken)
        else:
            if text or tell is str:
                return text
    return "(an error that cannot be told)"


def _blocks(error: BaseException, depth: int) -> Iterator[str]:
    """The error's traceback in pieces, that of its first cause first."""
    for one, leads_on in _with_causes(error):
        if one.__traceback__ is not None:
            yield "Traceback (most recent call last):\n"
            yield from _frames(one.__traceback__)
        yield clean(_in_words(one, _LONGEST_MESSAGE, 0), _LONGEST_MESSAGE) + "\n"
        for note in _notes(one):
            yield note + "\n"
        if isinstance(one, BaseExceptionGroup) and depth:
            for number, held in enumerate(one.exceptions[:_MOST_IN_A_GROUP], 1):
                yield f"  ---------------- {number} of {len(one.exceptions)} ----------------\n"
                yield from ("  | " + line for line in "".join(_blocks(held, depth - 1)).splitlines(keepends=True))
        yield leads_on


def _with_causes(error: BaseException) -> list[tuple[BaseException, str]]:
    """The error and what led to it, that first; each with the words that lead on to the next."""
    found = [(error, "")]
    seen = {id(error)}
    while len(found) < _MOST_CAUSES:
        one = found[-1][0]
        if one.__cause__ is not None:
            before, words = one.__cause__, "The above exception was the direct cause of the following exception:"
        elif one.__context__ is not None and not one.__suppress_context__:
            before, words = one.__context__, "During handling of the above exception, another exception occurred:"
        else:
            break
        if id(before) in seen:
            break
        seen.add(id(before))
        found.append((before, f"\n{words}\n\n"))
    return found[::-1]


def _frames(at: TracebackType) -> list[str]:
    try:
        return traceback.format_tb(at, -_MOST_FRAMES)
    except Exception:  # its source cannot be read: where it was is known all the same
        frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(at)][-_MOST_FRAMES:]
        return [f'  File "{code.co_filename}", line {line}, in {code.co_name}\n' for code, line in frames]


def _notes(error: BaseException) -> list[str]:
    try:
        return [clean(str(note), _LONGEST_MESSAGE) for note in list(getattr(error, "__notes__", ()))[:_MOST_NOTES]]
    except BaseException as broken:
        _let_ray_end(broken)
        return ["(its notes cannot be told)"]
