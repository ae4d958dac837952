"""What one connection sends, cut into jobs: the same wherever its chunks end, with bounded work."""

import sys

import pytest

from e2ee_ticket.sources import first_bytes
from e2ee_ticket.sources.first_bytes import HEAD_MAX_SIZE, LINE_MAX_SIZE, UEL
from e2ee_ticket.sources.print_stream import PrintStream, StrangerError

PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\n%%EOF\n"


def jobs_of(data, step):
    stream, jobs = PrintStream(), []
    for at in range(0, len(data), step):
        jobs += [event.data for event in stream.feed(data[at : at + step])]
    last = stream.end()
    return jobs + ([last.data] if last else [])


def calls(stream, chunks):
    """Count the calls that reading takes: a measure of work that no loaded machine changes."""
    count = 0

    def note(_frame, _kind, _argument):
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        for chunk in chunks:
            list(stream.feed(chunk))
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("step", [1, 2, 7, 9, 10_000])
@pytest.mark.parametrize(
    ("data", "jobs"),
    [
        (UEL + b"@PJL JOB\r\n" + PDF + UEL, [PDF]),
        (UEL + b"@PJL\r\n" + PDF + UEL + UEL + b"@PJL EOJ\r\n" + UEL, [PDF]),
        (b"@PJL A\n" + PDF + UEL + b"@PJL B\n" + PDF + UEL, [PDF, PDF]),
        (UEL * 40 + b"@PJL A\n" + UEL + PDF + UEL + UEL + PDF, [PDF, PDF]),
        (UEL + b"@PJL INFO ID\r\n" + UEL, []),
        (UEL + b"\r\n\r\n" + PDF, [PDF]),
        (UEL + b"@PJL ECHO" + UEL + b"@PJL EOJ\r\n" + UEL + PDF, [PDF]),
    ],
)
def test_jobs_wrapped_in_pjl_are_unwrapped(data, jobs, step):
    assert jobs_of(data, step) == jobs


def test_marks_without_a_job_cost_no_more_than_they_are():
    """80 kB of them stopped everything on this computer for a quarter of an hour."""
    few, many = (calls(PrintStream(), [UEL * 8] * count) for count in (50, 200))

    assert many < few * 5


@pytest.mark.parametrize("blank", [b"\n", b"\0", b"\r\n "])
def test_blanks_are_kept_up_to_a_size(blank):
    assert first_bytes.tell(blank * (HEAD_MAX_SIZE + 1)) == first_bytes.ESCPOS


@pytest.mark.parametrize(
    ("first", "more"),
    [(b"", b"NOOP\r\n"), (b"USER a", b" b"), (b"", b"a1 LOGIN x\r\n"), (b"GET /", b"a")],
)
def test_what_may_still_become_a_request_is_kept_up_to_a_size(first, more):
    with pytest.raises(StrangerError):
        list(PrintStream().feed(first + more * LINE_MAX_SIZE))


def test_a_document_may_begin_behind_many_blanks():
    assert jobs_of(b"\0" * (HEAD_MAX_SIZE - 100) + PDF, 10_000)[0].endswith(PDF)
