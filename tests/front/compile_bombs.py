"""Valid modules that take a compiler long, or much memory."""


def leb(number):
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def section(kind, content):
    return bytes([kind]) + leb(len(content)) + content


def of_body(body, locals_, functions=1):
    """A module of equal functions with an i32 parameter and so many locals of type i32."""
    code = leb(1) + leb(locals_) + b"\x7f" + body + b"\x0b"
    code = leb(len(code)) + code
    return (
        b"\0asm\1\0\0\0"
        + section(1, b"\1\x60\1\x7f\0")
        + section(3, leb(functions) + b"\0" * functions)
        + section(7, b"\1\6_start\0\0")
        + section(10, leb(functions) + code * functions)
    )


def jump(labels):
    """A br_table on the parameter to each of so many labels."""
    return b"\x20\0\x0e" + leb(labels - 1) + b"".join(map(leb, range(labels)))


def branches(blocks, locals_):
    """Blocks inside of one another: each changes a local in a loop, and may go to all that are around it."""
    body = bytearray(b"\x02\x40" * blocks)
    for n in range(blocks):
        local = leb(1 + n % locals_)
        body += b"\x03\x40\x20" + local + b"\x41\1\x6a\x21" + local + b"\x20\0\x0d\0\x0b"
        body += jump(blocks - n) + b"\x0b"
    return of_body(bytes(body), locals_)
