"""Heads of requests, changed a little out of a seed: good ones become odd, and a few stay good."""

from random import Random

_CHANGED_BYTES = b'\x00\t\n\r\x1f !"#,-./:;=?@AZ\\_az{|}~\x7f\x80\x85\xa0\xff'


def mutated(whole: bytes, chance: Random) -> bytes:
    """Change a head a little, up to three times: bytes, case, spaces, lines moved, doubled, dropped or joined."""
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        whole = chance.choice(_MUTATIONS)(whole, chance)
    return whole


def _with_a_byte(whole: bytes, chance: Random) -> bytes:
    place, new = chance.randrange(len(whole) + 1), chance.choice(_CHANGED_BYTES)
    return whole[:place] + bytes([new][: chance.randint(0, 1)]) + whole[place + chance.randint(0, 1) :]


def _in_other_case(whole: bytes, chance: Random) -> bytes:
    begin = chance.randrange(len(whole) + 1)
    end = begin + chance.choice([1, 5, 30])
    return whole[:begin] + whole[begin:end].swapcase() + whole[end:]


def _with_spaces(whole: bytes, chance: Random) -> bytes:
    space = chance.choice([b" ", b"\t", b"  ", b" \t", b""])
    before, mark, after = whole.partition(chance.choice([b": ", b"\r\n", b" ", b","]))
    # Of several marks it is any.
    parts = after.split(mark) if mark else [after]
    cut = chance.randrange(len(parts))
    return mark.join([before, *parts[:cut]]) + mark.strip(b" ") + space + mark.join(parts[cut:])


def _with_lines_changed(whole: bytes, chance: Random) -> bytes:
    first, *lines = whole.split(b"\r\n")[:-2] or [b""]
    if not lines:
        return whole
    one, other = chance.choice(lines), chance.choice(lines)
    lines = chance.choice([
        [*lines, one],
        [each for each in lines if each != one],
        chance.sample(lines, len(lines)),
        [*lines, one.partition(b":")[0] + b":" + other.partition(b":")[2]],
        [*lines, one.replace(b"-", b"_")],
        [*lines, chance.choice([b"a: b", b"X-Api-Ke: c", b"X: d", b"X-Forwarded-Fo: 1", b"TE: trailers", b"x-: a"])],
        [b", ".join((each, other.partition(b": ")[2])) if each == one else each for each in lines],
    ])  # fmt: skip
    return b"\r\n".join([first, *lines, b"", b""])


_MUTATIONS = (_with_a_byte, _with_a_byte, _in_other_case, _with_spaces, _with_lines_changed, _with_lines_changed)
