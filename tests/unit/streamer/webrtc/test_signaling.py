"""The offer filter: typed errors only, quickly, whatever is sent."""

from __future__ import annotations

import time

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import example, given, settings
from hypothesis import strategies as st

from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import BadRequest, TooLarge, VisavisError
from visavis.streamer.webrtc.ice.sockets import acceptable_candidate
from visavis.streamer.webrtc.rtp.rtcp import PLAYOUT_DELAY_URI
from visavis.streamer.webrtc.sdp.negotiation import Negotiation
from visavis.streamer.webrtc.sdp.signaling import Offer, check_offer, need, parse_candidate

SECTION = """\
c=IN IP4 0.0.0.0
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:0123456789abcdef012345
a=fingerprint:sha-256 57:A8:7D:31:68:E5:4C:B6:76:04:A6:FC:17:DA:0B:F9:1B:0E:90:6D:99:C0:EF:E6:32:\
5A:EA:2F:2C:DD:3F:BD
a=setup:actpass
"""
OFFER = f"""\
v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
{SECTION}a=mid:0
a=sendrecv
a=rtpmap:111 opus/48000/2
a=candidate:1 1 udp 2130706431 192.168.1.5 38800 typ host
a=candidate:2 1 udp 2130706431 8.8.8.8 38800 typ host
a=candidate:3 1 udp 2130706431 0f2a9f5c.local 38800 typ host
a=candidate:4 1 tcp 2130706431 192.168.1.5 9 typ host tcptype active
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 96
{SECTION}a=mid:1
a=recvonly
a=rtpmap:96 VP8/90000
a=extmap:5 {PLAYOUT_DELAY_URI}
"""
LIMITS = LimitsConfig()


def check(sdp: object, kind: object = "offer") -> Offer:
    offer = check_offer(sdp, kind, LIMITS)
    need(offer, "audio", "video")
    return offer


def test_a_good_offer_passes_without_what_may_not_be_contacted() -> None:
    offer = check(OFFER)
    assert [s.playout_delay_id for s in offer.sections] == [None, 5]
    assert [[c.ip for c in s.candidates] for s in offer.sections] == [["192.168.1.5"], []]
    text = Negotiation().for_aiortc(offer)
    for gone in ("8.8.8.8", ".local", "tcptype", "end-of-candidates", "a=candidate"):
        assert gone not in text, "candidates go to the ICE agent, not through the description"
    assert [m.rtp.muxId for m in SessionDescription.parse(text).media] == ["0", "1"]


def test_a_section_that_is_only_in_the_bundle_is_not_refused() -> None:
    bundled = OFFER.replace("m=video 9", "m=video 0").replace(
        "a=mid:1\n", "a=mid:1\na=bundle-only\n"
    )
    media = SessionDescription.parse(Negotiation().for_aiortc(check(bundled))).media
    assert [m.port for m in media] == [9, 9]
    with pytest.raises(BadRequest, match="no video section"):
        check(OFFER.replace("m=video 9", "m=video 0"))


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ("m=audio 9", "m=audio 0", "audio"),
        ("opus", "speex", "audio codec"),
        ("VP8", "AV1", "video codec"),
        ("a=mid:1\n", "a=mid:0\n", "a=mid"),
        ("a=mid:0\n", "", "a=mid"),
        ("a=ice-ufrag:abcd\n", "", "ICE"),
        ("a=rtcp-mux\n", "", "RTCP"),
        ("m=video", "m=image", "video"),
        ("a=recvonly", "a=recvonly\n" + "\n".join(["m=audio 9 RTP 0"] * 33), "sections"),
        ("v=0", "v=0\x00", "read"),
        ("v=0", "hello", "read"),
    ],
)
def test_each_fault_has_its_sentence(before: str, after: str, word: str) -> None:
    with pytest.raises(BadRequest, match=word) as caught:
        check(OFFER.replace(before, after))
    assert str(caught.value).endswith(".")


def test_limits() -> None:
    with pytest.raises(TooLarge):
        check(OFFER + "a=" + "x" * 70_000)


def test_of_many_candidates_the_usable_and_distinct_ones_count() -> None:
    useless = (
        "a=candidate:1 1 tcp 1 10.0.0.1 9 typ host\na=candidate:1 1 udp 1 8.8.8.8 9 typ host\n"
    )
    same = "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\n"
    many = "".join(f"a=candidate:1 1 udp 1 10.0.1.{n} 9 typ host\n" for n in range(40))
    found = check(OFFER + useless * 30 + same * 30 + many).sections[1].candidates
    assert [c.ip for c in found[:2]] == ["10.0.0.1", "10.0.1.0"] and len(found) == 20


@pytest.mark.parametrize(
    "formats",
    [
        "a=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1;profile-level-id=4d001f\n",
        "a=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=0;profile-level-id=42e01f\n",
    ],
)
def test_h264_that_cannot_be_sent_is_told_what_is_needed(formats: str) -> None:
    with pytest.raises(BadRequest, match="packetization-mode=1, and VP8"):
        check(OFFER.replace("a=rtpmap:96 VP8/90000\n", formats))


def mutations() -> st.SearchStrategy[str]:
    lines = OFFER.splitlines()
    odd = st.one_of(
        st.text(max_size=60),
        st.sampled_from(lines),
        st.builds(
            lambda key, value: f"a={key}:{value}",
            st.sampled_from(
                [
                    *("rtpmap", "fmtp", "rtcp-fb", "extmap", "ssrc", "ssrc-group", "candidate"),
                    *("mid", "setup", "group", "rtcp", "msid", "fingerprint", "sctpmap"),
                    *("sctp-port", "max-message-size", "ice-options"),
                ]
            ),
            st.text(st.characters(codec="latin-1"), max_size=40),
        ),
    )
    edits = st.lists(
        st.tuples(st.integers(0, len(lines)), st.sampled_from(["cut", "add", "put"]), odd),
        max_size=6,
    )

    def apply(changes: list[tuple[int, str, str]]) -> str:
        out = list(lines)
        for at, what, text in changes:
            at = min(at, len(out))
            if what == "cut":
                del out[at : at + 1]
            elif what == "add":
                out.insert(at, text)
            else:
                out[at : at + 1] = [text]
        return "\r\n".join(out)

    return st.builds(apply, edits)


@settings(max_examples=400, deadline=None)
@given(st.one_of(mutations(), st.text(max_size=300), st.none(), st.integers()), st.just("offer"))
@example("m=audio", "offer")
@example(OFFER.replace("opus/48000/2", "opus/0"), "offer")
@example("m=audio 9 x 1\n" * 8, "offer")
def test_only_typed_errors_and_fast(sdp: object, kind: str) -> None:
    began = time.thread_time()
    try:
        offer = check_offer(sdp, kind, LIMITS)
        SessionDescription.parse(Negotiation().for_aiortc(offer))
    except VisavisError as error:
        assert 400 <= error.status < 500 and len(str(error)) < 200
    assert time.thread_time() - began < 0.1


@given(st.one_of(st.text(max_size=200), st.none(), st.integers()))
@example("candidate:1 1 udp 1 224.0.0.251 5353 typ host")
@example("candidate:1 1 udp 1 ::ffff:8.8.8.8 53 typ host")
def test_candidates_are_local_or_nothing(text: object) -> None:
    candidate = parse_candidate(text)
    assert candidate is None or acceptable_candidate(candidate.ip)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("192.168.0.7", True),
        ("10.1.2.3", True),
        ("fe80::1", True),
        ("fd00::2", True),
        ("100.64.0.1", True),
        ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
        ("2002:0808:0808::1", False),
        ("2606:4700::1", False),
        ("224.0.0.251", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("a.local", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_addresses(address: str, allowed: bool) -> None:
    assert acceptable_candidate(address) is allowed


def answer_to(offer: Offer, seen: str) -> str:
    """Return a description such as aiortc's answer, in the order in which it saw the offer."""
    return seen.replace("a=recvonly", "a=sendonly").replace("actpass", "active")


def test_the_answer_asks_for_short_packets_once() -> None:
    offer = check(OFFER.replace("a=sendrecv", "a=sendrecv\na=fmtp:111 minptime=20;useinbandfec=1"))
    plan = Negotiation()
    answer = plan.for_client(answer_to(offer, plan.for_aiortc(offer)), offer)
    assert answer.count("a=fmtp:111 ") == 1
    assert "useinbandfec=0" in answer and "usedtx=0" in answer, "it could not be decoded"
    assert answer.count("a=ptime:10") == 1 and answer.index("a=ptime") < answer.index("m=video")


def sections(*wanted: tuple[str, str, int], bundle: bool = True) -> Offer:
    """Return an offer with sections of ``(kind, mid, port)``."""
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    if bundle:
        lines.append("a=group:BUNDLE " + " ".join(mid for _, mid, port in wanted if port))
    for kind, mid, port in wanted:
        formats = {"audio": "111", "video": "96"}.get(kind, "webrtc-datachannel")
        lines += [f"m={kind} {port} UDP/TLS/RTP/SAVPF {formats}", *SECTION.splitlines()]
        lines += [f"a=mid:{mid}", "a=recvonly"]
        if kind in ("audio", "video"):
            name = {"audio": "111 opus/48000/2", "video": "96 VP8/90000"}[kind]
            lines.append(f"a=rtpmap:{name}")
    return check_offer("\n".join(lines), "offer", LIMITS)


def mids(text: str) -> list[str]:
    return [line[6:] for line in text.splitlines() if line.startswith("a=mid:")]


def test_sections_keep_their_place_for_aiortc_whatever_becomes_of_them() -> None:
    plan = Negotiation()
    first = sections(
        ("video", "a", 9), ("text", "t", 9), ("audio", "b", 9), ("application", "c", 9)
    )
    seen = plan.for_aiortc(first)
    assert mids(seen) == ["a", "b", "c"], "what is not served is not seen"
    answer = plan.for_client(answer_to(first, seen), first)
    assert mids(answer) == ["a", "t", "b", "c"]
    assert "m=text 0 " in answer and "a=group:BUNDLE a b c\r\n" in answer
    # The first is stopped, its line used again by another, and one more comes.
    second = sections(
        ("video", "d", 9), ("text", "t", 0), ("audio", "b", 9), ("application", "c", 9),
        ("video", "e", 9),
    )  # fmt: skip
    assert [s.mid for s in plan.fresh(second)] == ["d", "e"]
    seen = plan.for_aiortc(second)
    assert mids(seen) == ["a", "b", "c", "d", "e"]
    stopped = seen[seen.index("m=video") : seen.index("m=audio")]
    assert "a=inactive" in stopped and "a=recvonly" not in stopped
    assert "a=group:BUNDLE a b c d e" in seen, "the first one carries the transport"
    answer = plan.for_client(answer_to(second, seen), second)
    assert mids(answer) == ["d", "t", "b", "c", "e"]
    assert "a=group:BUNDLE d b c e\r\n" in answer
    third = sections(("audio", "d", 9), ("audio", "b", 9))
    with pytest.raises(BadRequest, match="kind"):
        plan.for_aiortc(third)


def test_an_offer_without_a_bundle_gets_an_answer_without_one() -> None:
    plan = Negotiation()
    offer = sections(("audio", "a", 9), ("video", "b", 9), bundle=False)
    assert "BUNDLE" not in plan.for_client(answer_to(offer, plan.for_aiortc(offer)), offer)
