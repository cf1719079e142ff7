"""Texts that carry Markdown, HTML or SSML, as chat assistants and editors write them, read as what they show."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.token import Token

# What may be markup. A text without any of these is left as it is, to the letter.
_SIGNS = re.compile(r"[*_`~#<>|\[\]]|^\s*(?:[-+]|\d+[.)])\s", re.MULTILINE)
_ITEM = re.compile(r"\s*(?:[-+]|\d+[.)])\s+")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:-]*)((?:\s[^<>]*)?)>")
_VOID = frozenset("br hr img wbr break mark".split())  # tags that stand alone, of HTML and of SSML
_COMMENT = re.compile(r"<!--.*?-->|<\?.*?\?>", re.DOTALL)
_PRODUCT = re.compile(r"(?<=\d)\*(?=\d)")  # 2*3*4 stresses nothing
_ENDS = tuple(".!?…:;,。！？")
_BLOCKS = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])


def plain_text(text: str) -> str:
    """A text without its markup: what a reader of the rendered page would see.

    Headings and list items become sentences of their own. Tags go only where they are closed, or stand alone as `<br>`
    does: `List<String>` and a lonely `<b>` are words. A text without markup is returned as it is.
    """
    if not _SIGNS.search(text):
        return text
    given = _untagged(text)
    blocks = [block for block in _shown(_BLOCKS.parse(_PRODUCT.sub(r"\\*", given))) if block]
    if len(blocks) == 1:  # "1. FC Köln" and "- 5 degrees" alone are no lists
        alone = _ITEM.match(given)
        return (" ".join(alone[0].split()) + " " if alone else "") + blocks[0]
    return "\n\n".join(block if block.endswith(_ENDS) else f"{block}." for block in blocks)


def _untagged(text: str) -> str:
    text = _COMMENT.sub(" ", text)
    closed = {found[2].lower() for found in _TAG.finditer(text) if found[1]}
    opened = {found[2].lower() for found in _TAG.finditer(text) if not found[1]}
    paired = closed & opened

    def shown(tag: re.Match[str]) -> str:
        name = tag[2].lower()
        if name in paired:
            return ""
        return " " if name in _VOID or tag[3].rstrip().endswith("/") else tag[0]

    return _TAG.sub(shown, text)


def _shown(tokens: Iterable[Token]) -> Iterable[str]:
    """The text of each block."""
    for token in tokens:
        if token.type == "inline":
            yield " ".join("".join(map(_inline, token.children or ())).split())
        elif token.type in ("fence", "code_block"):
            yield " ".join(token.content.split())


def _inline(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return token.content if token.type in ("text", "code_inline", "image", "html_inline") else ""
