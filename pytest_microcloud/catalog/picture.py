"""The page that httpd serves: minimal HTML with one picture of 100 kB, in one document.

The paper's page had one image of about 100 kB beside its HTML (section 4.I). ab requests one URL, so the
picture is inlined. It is an SVG, since inlining another format would need an encoding that enlarges it.
"""

PICTURE_BYTES = 100_000
MARK = "A page served by a micro-cloud"


def picture_page() -> bytes:
    """Return the page in UTF-8. The bytes are the same every time."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{MARK}</title><p>{MARK}.</p>'.encode()
        + _picture()
        + b"</html>\n"
    )


def _picture() -> bytes:
    """Return an SVG mosaic of exactly PICTURE_BYTES bytes, with pseudo-random colours (a fixed seed)."""
    head, tail = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400">', b"</svg>"
    tiles, size, state, place = [], len(head) + len(tail), 2017, 0
    while True:
        state = (state * 1103515245 + 12345) % 2**31
        x, y = place % 40 * 10, place // 40 % 40 * 10
        tile = b'<rect x="%d" y="%d" width="9" height="9" fill="#%06x"/>' % (x, y, state >> 7)
        if size + len(tile) > PICTURE_BYTES:
            break
        tiles.append(tile)
        size, place = size + len(tile), place + 1
    return head + b"".join(tiles) + b" " * (PICTURE_BYTES - size) + tail


PAGE_BYTES = len(picture_page())
