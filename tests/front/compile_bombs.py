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


def module(types, functions, bodies, *others):
    """A module of the given type definitions, type indices of functions, bodies, and other sections in front."""
    code = leb(len(bodies)) + b"".join(leb(len(body)) + body for body in bodies)
    return (
        b"\0asm\1\0\0\0"
        + section(1, leb(len(types)) + b"".join(types))
        + section(3, leb(len(functions)) + b"".join(map(leb, functions)))
        + b"".join(others)
        + section(10, code)
    )


def functype(params, results):
    return b"\x60" + leb(len(params)) + params + leb(len(results)) + results


# ---- What a small module can ask for: each takes the size in bytes to stay below


def many_locals(size):
    """Functions of a few bytes, each with 50,000 locals, which are all that there may be."""
    bodies = [leb(1) + leb(49_999) + b"\x7b" + b"\x0b"] * ((size - 40) // 8)
    return module([functype(b"", b"")], [0] * len(bodies), bodies)


def wide_branch_table(size):
    """A branch table each of whose targets takes as many values as a block may have."""
    count = min((size - 60) // 2, 1000)
    wide = functype(b"\x7f" * count, b"\x7f" * count)
    make = functype(b"", b"\x7f" * count)
    targets = size - count * 3 - 80
    if targets < 10:
        count = (size - 80) // 4
        wide, make = functype(b"\x7f" * count, b"\x7f" * count), functype(b"", b"\x7f" * count)
        targets = size - count * 3 - 80
    body = b"\0\x10\0" + b"\x02\1" * 2 + b"\x41\0\x0e" + leb(targets) + b"\0\1" * (targets // 2)
    body += b"\0" * (targets - targets // 2 * 2) + b"\0" + b"\x0b\x0b\0\x0b"
    return module([make, wide, functype(b"", b"")], [0, 2], [b"\0\0\x0b", body])


def wide_blocks(size):
    """Loops that take and give as many values as a block may have, one in the other."""
    count = min(max((size - 60) // 6, 1), 1000)
    blocks = max((size - 3 * count - 80) // 3, 1)
    types = [functype(b"", b"\x7f" * count), functype(b"\x7f" * count, b"\x7f" * count), functype(b"", b"")]
    body = b"\0\x10\0" + b"\x03\1" * blocks + b"\x0b" * blocks + b"\0\x0b"
    return module(types, [0, 2], [b"\0\0\x0b", body])


def wide_loops(size):
    """As `wide_blocks`, and each loop may be repeated."""
    count = min(max((size - 60) // 6, 1), 1000)
    blocks = max((size - 3 * count - 80) // 7, 1)
    types = [functype(b"", b"\x7f" * count), functype(b"\x7f" * count, b"\x7f" * count), functype(b"", b"")]
    body = b"\0\x10\0" + b"\x03\1" * blocks + b"\x41\0\x0d\0\x0b" * blocks + b"\0\x0b"
    return module(types, [0, 2], [b"\0\0\x0b", body])


def wide_calls(size):
    """Calls that take and give as many values as a function may."""
    count = min(max((size - 60) // 6, 1), 1000)
    calls = max((size - 3 * count - 80) // 2, 1)
    types = [functype(b"", b"\x7b" * count), functype(b"\x7b" * count, b"\x7b" * count), functype(b"", b"")]
    body = b"\0\x10\0" + b"\x10\1" * calls + b"\0\x0b"
    return module(types, [0, 1, 2], [b"\0\0\x0b", b"\0\0\x0b", body])


def wide_exports(size):
    """Functions with as many parameters as there may be, exported under many names."""
    count = min(max((size - 60) // 4, 1), 1000)
    functions = max((size - 2 * count - 80) // 13, 1)
    types = [functype(b"\x7b" * count, b"\x7b" * count)]
    exports = leb(functions) + b"".join(b"\3" + b"%03x" % n + b"\0" + leb(n) for n in range(functions))
    return module(types, [0] * functions, [b"\0\0\x0b"] * functions, section(7, exports))


def wide_structs(size):
    """Structs with many fields, made one after the other."""
    fields = min(max((size - 60) // 4, 1), 2000)
    made = max((size - 2 * fields - 60) // 4, 1)
    struct = b"\x5f" + leb(fields) + b"\x7b\1" * fields
    body = b"\0" + b"\xfb\1\0\x1a" * made + b"\x0b"
    return module([struct, functype(b"", b"")], [1], [body])


def nested_branches(size):
    """`branches`, as large as it fits."""
    best = branches(1, 1)
    for blocks in range(2, 400):
        candidate = branches(blocks, max(blocks // 2, 1))
        if len(candidate) > size:
            break
        best = candidate
    return best


def loops_over_locals(size):
    """Loops one in the other, all of which change some locals and branch to all around."""
    best = b""
    for blocks in range(1, 2000, 3):
        locals_ = max(blocks // 2, 1)
        body = bytearray(b"\x03\x40" * blocks)
        body += b"".join(b"\x20" + leb(1 + n) + b"\x41\1\x6a\x21" + leb(1 + n) for n in range(locals_))
        body += jump(blocks) + b"\x0b" * blocks
        candidate = of_body(bytes(body), locals_)
        if len(candidate) > size:
            break
        best = candidate
    return best


def vectors(size):
    """One instruction for vectors after the other that takes many of the processor's."""
    count = (size - 60) // 12
    body = b"\0" + (b"\x20\0\x20\0\xfd\xd5\1\xfd\x62\x21\0\1")[:11] * count + b"\x0b"
    return module([functype(b"\x7b", b"")], [0], [body])


def plain(size):
    """Additions."""
    body = b"\0\x20\0" + b"\x20\0\x6a" * ((size - 60) // 3) + b"\x1a\x0b"
    return module([functype(b"\x7f", b"")], [0], [body])


def table_growth(size):
    """Fills of tables and memories, which call out."""
    body = b"\0" + b"\x41\0\xd0\x70\x41\0\xfc\x11\0" * ((size - 60) // 9) + b"\x0b"
    return module([functype(b"", b"")], [0], [body], section(4, b"\1\x70\0\1"))


SMALL = (many_locals, wide_branch_table, wide_blocks, wide_loops, wide_calls, wide_exports, wide_structs,
         nested_branches, loops_over_locals, vectors, plain, table_growth)  # fmt: skip
