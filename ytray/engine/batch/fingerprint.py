"""What makes two errors the same: their type, their message without what differs by item, and where they were raised.

An item is mostly a flow, so its error tells of the failed step, and a flow of flows tells so more than once. What
counts is the innermost error: the one that the step itself raised.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_LONGEST = 300  # characters of a message that count, and that are shown
_LONGEST_ERROR = 2_000  # characters that are read at all
_LONGEST_NAME = 80  # characters of the name of a model

_FAILED_STEP = re.compile(r"JobFailed: job (\S+) failed after \d+ retries: ")
_TYPE = re.compile(r"([A-Za-z_]\w*):\s*")
_WORKER_DIED = re.compile(r"the worker died \d+ times")

_QUOTED = re.compile(
    r"""(?<!\w)'(?:[^'\\]|\\.|(?<=\w)'(?=\w))*'(?!\w)"""  # an apostrophe inside a word quotes nothing
    r"""|"(?:[^"\\]|\\.)*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»"""
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)\],;]*[^\s'\"<>)\],;:.]")
_PATH = re.compile(
    r"(?<![\w/])(?:[A-Za-z]:[\\/]|~?/)[\w.@+~-]+(?:[\\/][\w.@+~-]+)*[\\/]?"  # from a root
    r"|(?<![\w/])(?:[\w.@+~-]+/)+[\w.@+~-]*\.\w{1,5}\b"  # a file below a folder
    r"|\b[\w-]+\.(?:mp4|webm|mov|gif|wav|mp3|m4a|png|jpe?g|webp|json|csv|jsonl|txt|srt|vtt|html)\b"
)
_JOB = re.compile(r"\b(job|flow|batch|request) (?=\S*\d)[\w.-]*\w")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_CHARACTERS = re.compile(r"(?:\S{0,8}\(?U\+[0-9A-F]{4,6}\)?,? ?)+(?:and \d+ more)?(?<! )")  # named one by one
_INPUT = re.compile(r"(?<=input_value=).*?(?=, input_type=)")  # as Pydantic shows what it was given
_STATUS = r"(?:answered|HTTP|[Ss]tatus(?: code)?) \d{3}"  # which status it was tells errors apart
_WORD = re.compile(rf"{_STATUS}\b|\w+(?:[.-]\w+)*")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME_WITH_VERSION = re.compile(r"[a-z]+(?:-\w+(?:\.\d+)*)*-\w*\d\w*(?:\.\d+)*(?:-\w+)*-[a-z]\w*(?:-\w+)*")
_MEASURE = re.compile(r"\d+([a-zA-Z]{1,3})")
_SEVERAL = re.compile(r"[-+$]?#(?:(?:[.,:/_x×-]|e-?)#)*")

_FRAME = re.compile(r'^[ |]*File "(.+?)", line (\d+), in (\S.*)$', re.MULTILINE)
_INSTALLED = re.compile(r".*/(?:site|dist)-packages/")
_STANDARD = re.compile(r".*/(?:lib(?:64)?/)?python\d+(?:\.\d+)+/")
_OURS = "/ytray/"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """An error without what differs by item: `digest` names it, `message` has # for numbers and ids."""

    digest: str
    error_type: str
    message: str


def fingerprint(error: str, frame: str = "") -> Fingerprint:
    """The fingerprint of an item's error, by its innermost one.

    Args:
        error: the job's error as it is stored, "Type: message".
        frame: where it was raised, as `frame_of` tells; its line number does not count.
    """
    error_type, message = parts_of(innermost(error)[1])
    message = _alike(message)
    place = re.sub(r"\d+", "#", re.sub(r":\d+(?= in )", "", frame))
    digest = hashlib.sha256("\0".join((error_type, message, place)).encode("utf-8", "replace")).hexdigest()[:12]
    return Fingerprint(digest, error_type, message)


def innermost(error: str) -> tuple[str | None, str]:
    """The id of the step that failed, of a step of a step the last, and the error that it raised.

    The id is None when the job raised the error itself.
    """
    step = None
    while found := _FAILED_STEP.match(error):
        step, error = found.group(1), error[found.end() :]
    return step, error


def parts_of(error: str) -> tuple[str, str]:
    """An error's type and message. Where the text names no type, the type is WorkerDied or Error."""
    if _WORKER_DIED.match(error):
        return "WorkerDied", error
    found = _TYPE.match(error)
    if found is None:
        return "Error", error or "no error was kept"
    return found.group(1), error[found.end() :] or "without a message"


def frame_of(traceback: str) -> str:
    """Where an error was raised, as "folder/file.py:LINE in function"; "" when the traceback names no place.

    That is the last place in ytray or in the user's code; one in an installed package or the standard library only
    where there is no other. Paths begin below the package, or with the file's own folder, so that they are the same
    on every machine.
    """
    # Of errors that led to another, the last one is the one that the job ended with.
    raised = traceback[max(0, traceback.rfind("Traceback (most recent call last)")) :]
    frames = [(_placed(path), line, function.strip()) for path, line, function in _FRAME.findall(raised)]
    if not frames:
        return ""
    (place, _), line, function = next((frame for frame in reversed(frames) if frame[0][1]), frames[-1])
    return f"{place}:{line} in {function}"


def _placed(path: str) -> tuple[str, bool]:
    """A file below its package, and whether it is ytray's or the user's."""
    path = path.replace("\\", "/")
    if _OURS in path and not _is_of_another(path.rpartition(_OURS)[0] + "/"):
        return path.rpartition(_OURS)[2], True
    if found := _INSTALLED.match(path) or _STANDARD.match(path):
        return path[found.end() :], False
    if path.startswith("<frozen "):
        return path, False
    return "/".join(path.split("/")[-2:]).lstrip("/"), True


def _is_of_another(folder: str) -> bool:
    # A package named ytray inside another package is not ours.
    found = _INSTALLED.match(folder) or _STANDARD.match(folder)
    return found is not None and found.end() < len(folder)


def _alike(message: str) -> str:
    """The message with a sign for whatever differs by item."""
    text = " ".join(message[:_LONGEST_ERROR].split())
    text = _INPUT.sub("…", text)
    text = _QUOTED.sub("'…'", text)
    text = _URL.sub("URL", text)
    text = _PATH.sub("PATH", text)
    text = _CHARACTERS.sub("#", _TIME.sub("#", _JOB.sub(r"\1 #", text)))
    text = _WORD.sub(lambda found: _without_numbers(found.group()), text)
    return _SEVERAL.sub("#", text)[:_LONGEST].strip()


def _without_numbers(word: str) -> str:
    """A word with # for its numbers; ids go altogether, names of models with a version in them stay."""
    if not any(sign.isdigit() for sign in word) or " " in word:
        return word
    if _UUID.fullmatch(word.lower()):
        return "#"
    if len(word) <= _LONGEST_NAME and _NAME_WITH_VERSION.fullmatch(word):
        return word
    return re.sub(r"[^\W_]+", lambda found: _part_without_numbers(found.group()), word)


def _part_without_numbers(part: str) -> str:
    if part.isdigit() or not any(sign.isdigit() for sign in part):
        return "#" if part.isdigit() else part
    if measure := _MEASURE.fullmatch(part):
        return f"#{measure.group(1)}" if not _is_hexadecimal(part) or len(part) < 4 else "#"
    changes = len(re.findall(r"[a-zA-Z]\d|\d[a-zA-Z]", part))
    if _is_hexadecimal(part) or part[0].isdigit() or (len(part) >= 8 and changes >= 2):
        return "#"
    return re.sub(r"\d+", "#", part)


def _is_hexadecimal(part: str) -> bool:
    return re.fullmatch(r"[0-9a-f]+", part) is not None
