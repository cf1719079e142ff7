"""Texts that carry Markdown, HTML or SSML, as chat assistants and editors write them, read as what they show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where a text has markup: a command starts sooner without it
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# What may be markup. A text without any of these is left as it is, to the letter.
_SIGNS = re.compile(r"[*_`~#<>|\[\]]|^\s*(?:[-+•‣◦▪]|\d+[.)])\s|^ {0,3}(?:=+|-{2,})\s*$|&(?:#?\w{2,31});", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\n(?:[\w-]+:.*\n|[ \t].*\n|-\s.*\n)+---\s*(?:\n|\Z)")  # of a file for a site
_ITEM = re.compile(r"\s*(?:[-+]|\d+[.)])\s+")
_BULLET = re.compile(r"^(\s*)[•‣◦▪]\s", re.MULTILINE)
_CHECKBOX = re.compile(r"\[[ xX]\]\s+")
_FOOTNOTE = re.compile(r"^\[\^[^\]\s]+\]:.*(?:\n[ \t]+.*)*|\[\^[^\]\s]+\]", re.MULTILINE)  # the note, and its mark
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:-]*)((?:\s(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)?/?)>")
_ATTRIBUTE = re.compile(r"\s[A-Za-z:-]+\s*=\s*[\"'\w]")
_ALT = re.compile(r"\salt\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_VOID = frozenset("br hr img wbr break mark".split())  # tags that stand alone, of HTML and of SSML
_APART = frozenset(  # what stands in them is a sentence of its own
    "p div li ul ol dl dt dd h1 h2 h3 h4 h5 h6 tr table section article header footer blockquote pre title head".split()
)
_CELLS = frozenset(("td", "th"))
_UNSEEN = re.compile(r"<(script|style|template)\b[^>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|<\?.*?\?>|<!DOCTYPE[^>]*>", re.DOTALL | re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_PRODUCT = re.compile(r"(?<=\d)\*(?=\d)")  # 2*3*4 stresses nothing
_ENDS = tuple(".!?…:;,。！？")


def plain_text(text: str) -> str:
    """A text without its markup: what a reader of the rendered page would see.

    Headings, list items and rows of tables become sentences of their own; footnotes, comments and a site's front matter
    are left out. Tags go only where they are closed, have attributes, or stand alone as `<br>` does: `List<String>` and
    a lonely `<b>` are words. A text without markup is returned as it is.
    """
    if not _SIGNS.search(text):
        return text
    given = _untagged(_FRONT_MATTER.sub("", text))
    given = _BULLET.sub(r"\1- ", _FOOTNOTE.sub("", given))
    tokens = _blocks().parse(_PRODUCT.sub(r"\\*", given))
    blocks = [block for block in _shown(tokens) if block]
    is_list = bool(tokens) and tokens[0].type in ("ordered_list_open", "bullet_list_open")
    if len(blocks) == 1:  # "1. FC Köln" and "- 5 degrees" alone are no lists
        alone = _ITEM.match(given) if is_list else None
        return (" ".join(alone[0].split()) + " " if alone else "") + blocks[0]
    return "\n\n".join(block if block.endswith(_ENDS) else f"{block}." for block in blocks)


def _untagged(text: str) -> str:
    text = _CDATA.sub(r"\1", _COMMENT.sub(" ", _UNSEEN.sub(" ", text)))
    tags = list(_TAG.finditer(text))
    opened, closed = ({tag[2].lower() for tag in tags if bool(tag[1]) == is_end} for is_end in (False, True))
    paired = opened & closed
    is_spoken = "speak" in paired  # of SSML, where <s> is a sentence; HTML strikes through what stands in it

    def shown(tag: re.Match[str]) -> str:
        name = tag[2].lower()
        if name not in paired | _VOID and not tag[3].endswith("/") and not _ATTRIBUTE.search(tag[3]):
            return tag[0]
        if name in _APART or (name == "s" and is_spoken):
            return "\n\n"
        if name == "img" and (alt := _ALT.search(tag[3])):
            return alt[1] or alt[2] or ""
        if name in _CELLS:
            return " "
        return "" if name in paired else " "

    return _TAG.sub(shown, text)


@cache
def _blocks() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])


def _shown(tokens: Sequence[Token]) -> Iterable[str]:
    """The text of each block; of a table, of each row."""
    row: list[str] | None = None
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            yield ", ".join(cell for cell in row if cell)
            row = None
        elif token.type == "inline":
            told = " ".join("".join(map(_inline, token.children or ())).split())
            if place > 1 and tokens[place - 2].type == "list_item_open":
                told = _CHECKBOX.sub("", told, count=1) if _CHECKBOX.match(told) else told
            if row is None:
                yield told
            else:
                row.append(told)
        elif token.type in ("fence", "code_block"):
            yield " ".join(token.content.split())


def _inline(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return token.content if token.type in ("text", "code_inline", "image", "html_inline") else ""
