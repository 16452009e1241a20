"""The offer filter: typed errors only, quickly, whatever is sent."""

from __future__ import annotations

import time

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import example, given, settings
from hypothesis import strategies as st

from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import BadRequest, TooLarge, VisavisError
from visavis.streamer.webrtc.ice import acceptable_candidate
from visavis.streamer.webrtc.rtcp import PLAYOUT_DELAY_URI
from visavis.streamer.webrtc.signaling import check_offer, finish_answer, parse_candidate

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


def test_a_good_offer_passes_without_what_may_not_be_contacted() -> None:
    offer = check_offer(OFFER, "offer", LIMITS)
    assert offer.playout_delay_id == 5
    assert "192.168.1.5 38800" in offer.sdp
    for gone in ("8.8.8.8", ".local", "tcptype", "end-of-candidates"):
        assert gone not in offer.sdp
    media = SessionDescription.parse(offer.sdp).media
    assert [len(m.ice_candidates) for m in media] == [1, 0]


def test_a_section_that_is_only_in_the_bundle_is_not_refused() -> None:
    bundled = OFFER.replace("m=video 9", "m=video 0").replace(
        "a=mid:1\n", "a=mid:1\na=bundle-only\n"
    )
    media = SessionDescription.parse(check_offer(bundled, "offer", LIMITS).sdp).media
    assert [m.port for m in media] == [9, 9]
    with pytest.raises(BadRequest, match="no video section"):
        check_offer(OFFER.replace("m=video 9", "m=video 0"), "offer", LIMITS)


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
        ("a=recvonly", "a=recvonly\n" + "\n".join(["m=audio 9 RTP 0"] * 9), "sections"),
        ("v=0", "v=0\x00", "read"),
        ("v=0", "hello", "read"),
    ],
)
def test_each_fault_has_its_sentence(before: str, after: str, word: str) -> None:
    with pytest.raises(BadRequest, match=word) as caught:
        check_offer(OFFER.replace(before, after), "offer", LIMITS)
    assert str(caught.value).endswith(".")


def test_limits() -> None:
    with pytest.raises(TooLarge):
        check_offer(OFFER + "a=" + "x" * 70_000, "offer", LIMITS)
    many = "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\n" * 21
    with pytest.raises(BadRequest, match="20 candidates"):
        check_offer(OFFER + many, "offer", LIMITS)


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
        SessionDescription.parse(offer.sdp)
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


def test_the_answer_asks_for_short_packets_once() -> None:
    answer = finish_answer(OFFER.replace("a=sendrecv", "a=sendrecv\na=fmtp:111 minptime=20"))
    assert answer.count("a=fmtp:111 ") == 1
    assert "useinbandfec=1" in answer and "usedtx=0" in answer
    assert answer.count("a=ptime:10") == 1 and answer.index("a=ptime") < answer.index("m=video")
    assert finish_answer("v=0\r\n") == "v=0\r\n"
