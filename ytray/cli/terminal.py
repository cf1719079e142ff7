"""What others wrote, made harmless for a terminal: a job's error may hold what sets its title, its clipboard, its text.

Every command prints by the consoles of output.py, which are of the class here; so nothing passes it by.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_SHOWN: Final[dict[int, str]] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},  # ␛ for an escape
    0x7F: "\u2421",
    # C1 controls, which some terminals take for escapes; line separators; what turns the direction of the text around.
    **{code: f"\\u{code:04x}" for code in (*range(0x80, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F))},
    **{code: f"\\u{code:04x}" for code in range(0x2066, 0x206A)},
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # halves of characters, which no terminal can be sent
}
_IN_JSON: Final[dict[int, str]] = {
    code: f"\\u{code:04x}" for code in _SHOWN if code >= 0x7F
}  # what JSON itself leaves as it is
_VISIBLE: Final = Style(conceal=False)


def harmless(text: str) -> str:
    """The text with its control characters as signs that can be read. Lines and tabs stay."""
    return text.translate(_SHOWN)


def harmless_json(document: str) -> str:
    """A JSON document of the same values, in which such characters are escaped."""
    return document.translate(_IN_JSON)


def harmless_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A processor of structlog for what is logged to a terminal."""
    return {name: harmless(value) if isinstance(value, str) else value for name, value in event.items()}


def tell_of_a_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's word for an error that nobody caught, made harmless (`sys.excepthook`)."""
    import traceback

    sys.stderr.write(harmless("".join(traceback.format_exception(kind, error, trace))))


class Terminal(Console):
    """A console that takes no text for markup, and lets no control character, link or hidden text of it through."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich prints; its own movements of the cursor stay."""
        for text, style, control in super().render(renderable, options):
            if control:
                yield Segment(text, style, control)
            else:
                yield Segment(harmless(text), None if style is None else style.update_link(None) + _VISIBLE)
