"""What is read of an upload, wherever it is cut."""

from gateway.openai_api.uploads import read_seams, read_upload
from gateway.openai_api.uploads.forms import parts_of

BOUNDARY = b"--x1x2x3"
FORM = "multipart/form-data; boundary=x1x2x3"
HEAD = b'\r\nContent-Disposition: form-data; name="%b"\r\n\r\n'
FILE_HEAD = b'\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
TEXT = "Ein schöner Tag – 日本 🙂 ist es."


def form(content: bytes, **fields: bytes) -> bytes:
    parts = [BOUNDARY + HEAD % name.encode() + value + b"\r\n" for name, value in fields.items()]
    return b"".join(parts) + BOUNDARY + FILE_HEAD + content + b"\r\n" + BOUNDARY + b"--\r\n"


def said(body: bytes, *, whole: bool = True, is_piece: bool = False) -> tuple[str, list[tuple[str, str]]]:
    """The texts of the file, and what was unread."""
    upload = read_upload(body, FORM, whole=whole, is_piece=is_piece)
    return "".join(passage.text for line in upload.lines for passage in line.passages), list(upload.unread)


def test_a_form_may_be_cut_anywhere() -> None:
    """Its beginning is read as far as it goes, and the rest is told as too long."""
    body = form(TEXT.encode())
    begins = body.index(b"Ein")
    for end in range(len(BOUNDARY), begins + len(TEXT.encode()) + 1):
        text, unread = said(body[:end], whole=False)
        assert unread == [("user", "too_long")], end
        assert text == body[begins:end].decode(errors="ignore"), end


def test_a_piece_may_begin_and_end_within_a_character() -> None:
    content = TEXT.encode()
    for at in range(1, len(content)):
        for part in (content[:at], content[at:]):
            assert said(form(part), is_piece=True) == (part.decode(errors="ignore"), []), at


def test_a_whole_file_that_ends_within_a_character_is_no_text() -> None:
    assert said(form("é".encode()[:1])) == ("", [("user", "file")])


def test_a_short_field_is_no_text_by_itself() -> None:
    assert said(form(b"", purpose=b"batch")) == ("", [])
    assert said(form(b"", purpose=b"seventeen letters")) == ("seventeen letters", [])


def test_lines_that_no_piece_ends_are_put_together() -> None:
    pieces = [b"what is ", b"a gre", b"nade\nand what is that\n"]
    ends = [read_upload(form(piece), FORM, whole=True, is_piece=True).ends[0] for piece in pieces]
    texts = [passage.text for line in read_seams(ends).lines for passage in line.passages]
    assert texts[0].startswith("what is a grenade")


def test_of_a_usual_content_type_nothing_is_told() -> None:
    usual, unusual = (f"text/{name}".encode() for name in ("plain", "words that say something"))
    for kind, more in ((usual, ()), (unusual, ("text/words that say something",))):
        (part,) = parts_of(form(b"x").replace(b"text/plain", kind), BOUNDARY, whole=True)
        assert part.more == ("a.txt", *more)


def test_a_whole_form_whose_last_head_has_no_end_can_be_read_in_two_ways() -> None:
    body = form(TEXT.encode()).removesuffix(b"--\r\n") + b'\r\nContent-Disposition: form-data; name="more"\r\n'
    assert said(body) == (TEXT, [("user", "ambiguous")])
    assert said(body, whole=False) == (TEXT, [("user", "too_long")])
