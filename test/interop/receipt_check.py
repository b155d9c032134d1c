#!/usr/bin/env python3
"""Checks a receipt file of Trusted Pods: a second implementation, written from spec/PAYMENT.md and spec/PRICING.md alone, in another
language and with nothing but its own library. Prints one line per check and ends with 0 when the receipt holds, else with 1.

    receipt_check.py FILE
"""
import base64
import hashlib
import json
import re
import sys

# Keccak-256 ---------------------------------------------------------------------------------------------------------------------

MASK = (1 << 64) - 1
ROUND_CONSTANTS = [
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B, 0x0000000080000001,
    0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
    0x000000000000800A, 0x800000008000000A, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
]


def rotate(word, by):
    return ((word << by) | (word >> (64 - by))) & MASK if by else word


def permute(a):
    for constant in ROUND_CONSTANTS:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[(x - 1) % 5] ^ rotate(c[(x + 1) % 5], 1) for x in range(5)]
        a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        b = [[0] * 5 for _ in range(5)]
        x, y, current = 1, 0, a[1][0]
        b[0][0] = a[0][0]
        for t in range(24):
            x, y, moved = y, (2 * x + 3 * y) % 5, rotate(current, ((t + 1) * (t + 2) // 2) % 64)
            current, b[x][y] = a[x][y], moved
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & MASK & b[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    return a


def keccak(data):
    rate = 136
    padded = bytearray(data) + b"\x01" + b"\x00" * (-(len(data) + 1) % rate)
    padded[-1] |= 0x80
    state = [[0] * 5 for _ in range(5)]
    for at in range(0, len(padded), rate):
        for i in range(rate // 8):
            state[i % 5][i // 5] ^= int.from_bytes(padded[at + 8 * i : at + 8 * i + 8], "little")
        state = permute(state)
    return b"".join(state[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


# secp256k1 ----------------------------------------------------------------------------------------------------------------------

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(p, q):
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, P) % P
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P) % P
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def multiply(point, by):
    result = None
    while by:
        if by & 1:
            result = add(result, point)
        point, by = add(point, point), by >> 1
    return result


def recover(digest, signature):
    """The address that signed, of a signature in the one form that the contracts accept."""
    need(len(signature) == 65, "the signature has %d bytes" % len(signature))
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    need(v in (27, 28) and 0 < r < N and 0 < s <= N // 2, "the signature is not in the one form")
    square = (pow(r, 3, P) + 7) % P
    y = pow(square, (P + 1) // 4, P)
    need(y * y % P == square, "the signature belongs to no key")
    if y % 2 != v - 27:
        y = P - y
    inverse = pow(r, -1, N)
    key = add(multiply((r, y), s * inverse % N), multiply(G, -int.from_bytes(digest, "big") * inverse % N))
    need(key is not None, "the signature belongs to no key")
    return keccak(key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big"))[12:]


# EIP-712 ------------------------------------------------------------------------------------------------------------------------


def word(value):
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return value.rjust(32, b"\x00")


def struct_hash(type_text, *words):
    return keccak(keccak(type_text.encode()) + b"".join(map(word, words)))


def typed_hash(domain, message):
    return keccak(b"\x19\x01" + domain + message)


def domain_of(name, chain_id, contract=None):
    fields = [keccak(name.encode()), keccak(b"1"), chain_id]
    text = "EIP712Domain(string name,string version,uint256 chainId"
    if contract is None:
        return struct_hash(text + ")", *fields)
    return struct_hash(text + ",address verifyingContract)", *fields, contract)


# Protobuf -----------------------------------------------------------------------------------------------------------------------


def varint(data, at):
    value = shift = 0
    while True:
        need(at < len(data) and shift < 70, "a message is cut off")
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value & MASK, at


def decode(data):
    """Field numbers and values, in order."""
    at, fields = 0, []
    while at < len(data):
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, at = data[at : at + size], at + size
        else:
            need(wire == 2, "a message has an unknown wire type")
            size, at = varint(data, at)
            need(at + size <= len(data), "a message is cut off")
            value, at = data[at : at + size], at + size
        fields.append((key >> 3, value))
    return fields


def last(fields, number, default):
    found = [value for seen, value in fields if seen == number]
    return found[-1] if found else default


def every(fields, number):
    return [value for seen, value in fields if seen == number]


def text_of(fields, number):
    return last(fields, number, b"").decode()


# The checks ---------------------------------------------------------------------------------------------------------------------


class Refused(Exception):
    pass


def need(condition, message):
    if not condition:
        raise Refused(message)


def digits(text):
    need(re.fullmatch("[0-9]{1,78}", text) is not None, "%r are no digits" % text[:40])
    return int(text)


def unhex(text):
    return bytes.fromhex(text[2:] if text.startswith("0x") else text)


TERMS = "Terms(address payer,address voucherSigner,address provider,address meter,address token,uint96 ratePerHour,uint32 unlockDelay,bytes32 podId)"
RESERVE, USAGE, FLAT = 1, 2, 3


class Prices:
    """A quote's table: one line per resource and selector."""

    def __init__(self, quote):
        self.resources = [
            (text_of(r, 1), text_of(r, 3), last(r, 2, 0)) for r in map(decode, every(quote, 4))
        ]
        self.table = decode(last(quote, 6, b""))
        self.lines = {}
        for price in map(decode, every(self.table, 5)):
            name = (text_of(price, 1), text_of(price, 6))
            need(name not in self.lines, "two prices for one thing")
            self.lines[name] = (last(price, 2, 0), digits(text_of(price, 3)), last(price, 4, 0) * max(last(price, 5, 0), 1))

    def line_of(self, resource, selector):
        name = (resource, selector) if (resource, selector) in self.lines else (resource, "")
        need(name in self.lines and resource != "start", "%s has no price" % resource)
        return name

    def most(self, seconds):
        """What each line counts of what was reserved, and may count at most of what was used."""
        counts = {}
        for resource, selector, quantity in self.resources:
            name = self.line_of(resource, selector)
            if self.lines[name][0] in (RESERVE, USAGE):
                counts[name] = counts.get(name, 0) + quantity * seconds
        for name in counts:
            if self.lines[name][0] == USAGE:
                counts[name] //= 3600
        if ("start", "") in self.lines:
            counts[("start", "")] = 1
        return counts

    def rate(self):
        total, common = 0, 1
        for name, count in self.most(3600).items():
            _, amount, per = self.lines[name]
            total, common = total * per + amount * count * common, common * per
        return -(-total // common)


def check(file):
    need(file["format"] == "trusted-pods/receipt" and file["version"] == 1, "another format")
    chain_id, escrow, terms = int(file["chainId"]), unhex(file["escrow"]), file["terms"]
    channel, meter, payer = unhex(file["channelId"]), unhex(terms["meter"]), unhex(terms["payer"])
    pod_id = unhex(terms["podId"])
    escrow_domain = domain_of("Trusted Pods Escrow", chain_id, escrow)

    parties = [unhex(terms[key]) for key in ("payer", "voucherSigner", "provider", "meter", "token")]
    hashed = struct_hash(TERMS, *parties, int(terms["ratePerHour"]), terms["unlockDelay"], pod_id)
    need(typed_hash(escrow_domain, hashed) == channel, "channel: its id is not the hash of its terms")
    yield "channel"

    signed = decode(base64.b64decode(file["quote"], validate=True))
    quote_bytes = last(signed, 1, b"")
    quote = decode(quote_bytes)
    payment = decode(last(quote, 7, b""))
    hashed = struct_hash("Quote(bytes quote)", keccak(quote_bytes))
    digest = typed_hash(domain_of("Trusted Pods Quote", last(payment, 1, 0)), hashed)
    need(recover(digest, last(signed, 2, b"")) == meter, "quote: not signed by the meter")
    prices = Prices(quote)
    same = (
        last(payment, 1, 0) == last(prices.table, 1, 0) == chain_id
        and last(payment, 2, b"") == escrow
        and last(payment, 3, b"") == unhex(terms["provider"])
        and last(payment, 4, b"") == meter
        and last(prices.table, 2, b"") == unhex(terms["token"])
    )
    need(same, "quote: it is for another chain, escrow, provider, meter or token")
    rate = digits(text_of(payment, 5))
    need(rate == prices.rate() and rate <= int(terms["ratePerHour"]), "quote: its rate is not that of its prices and terms")
    yield "quote"

    hashed = struct_hash(
        "Provision(bytes32 channelId,bytes32 podDigest,bytes32 quoteDigest,bytes publisherPeer,bytes providerPeer)",
        channel, unhex(file["podDigest"]), hashlib.sha256(quote_bytes).digest(),
        keccak(last(quote, 2, b"")), keccak(last(quote, 3, b"")),
    )
    digest = typed_hash(domain_of("Trusted Pods Provision", chain_id), hashed)
    need(recover(digest, unhex(file["authorization"])) == payer, "pod: not authorised by the payer")
    yield "pod"

    receipt = decode(base64.b64decode(file["receipt"], validate=True))
    usage_bytes, cumulative = last(receipt, 5, b""), digits(text_of(receipt, 2))
    usage_hash = hashlib.sha256(usage_bytes).digest()
    need(last(receipt, 1, b"") == channel, "receipt: for another channel")
    need(last(receipt, 3, b"") == usage_hash, "receipt: for other usage")
    hashed = struct_hash("Receipt(bytes32 channelId,uint128 cumulative,bytes32 usageHash)", channel, cumulative, usage_hash)
    need(recover(typed_hash(escrow_domain, hashed), last(receipt, 4, b"")) == meter, "receipt: not signed by the meter")
    usage = decode(usage_bytes)
    need(last(usage, 1, b"") == pod_id, "receipt: for another pod")
    most = prices.most(last(usage, 3, 0))
    cost, counted = 0, set()
    for counter in map(decode, every(usage, 2)):
        name = (text_of(counter, 1), text_of(counter, 2))
        need(name in prices.lines and name not in counted, "receipt: it counts %s without or twice under a price" % name[0])
        counted.add(name)
        kind, amount, per = prices.lines[name]
        value = digits(text_of(counter, 3))
        limit = most.get(name, 0)
        holds = value <= limit if kind == USAGE else value == limit
        need(holds, "receipt: %s is not what was reserved, or above what was allowed" % name[0])
        cost += amount * value // per
    need(cumulative <= cost, "receipt: %d is above the cost %d" % (cumulative, cost))
    yield "receipt"


def main(path):
    try:
        with open(path, encoding="utf-8") as file:
            for passed in check(json.load(file)):
                print("ok", passed)
        return 0
    except Refused as refused:
        print("refused", refused)
    except (KeyError, TypeError, ValueError, OverflowError) as fault:
        print("refused", "the file has another form: %s" % type(fault).__name__)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
