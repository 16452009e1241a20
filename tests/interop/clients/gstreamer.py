"""GStreamer's webrtcbin as a client; prints what came. Run by the system's Python, which has gi."""

import json
import sys
import urllib.error
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

Gst.init(None)
address, bundle, kind = sys.argv[1:4]
ENOUGH, LIMIT_S = 25, 15
SOUND = "audiotestsrc is-live=true wave=silence ! opusenc ! rtpopuspay pt=96 ! webrtcbin.sink_0 "
ALONE = "audiotestsrc num-buffers=1 ! fakesink "  # one element would come without a pipeline
VIDEO = (
    "application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f"
)
AUDIO = "application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000"

seen = {"video": 0, "audio": 0, "codec": "", "state": "", "error": ""}
loop = GLib.MainLoop()
pipeline = Gst.parse_launch(
    f"webrtcbin name=webrtcbin bundle-policy={bundle} " + (SOUND if kind == "offer" else ALONE)
)
peer = pipeline.get_by_name("webrtcbin")
receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
resource = None


def done(error=""):
    seen["error"] = seen["error"] or error
    seen["state"] = peer.get_property("connection-state").value_nick
    loop.quit()


def count(pad, info, name):
    seen[name] += 1
    if seen["video"] >= ENOUGH and seen["audio"] >= ENOUGH:
        GLib.idle_add(done)
    return Gst.PadProbeReturn.OK


def came(element, pad):
    if pad.get_direction() != Gst.PadDirection.SRC:
        return
    structure = pad.get_current_caps().get_structure(0)
    name = structure.get_string("media")
    if name == "video":
        seen["codec"] = structure.get_string("encoding-name")
    decode = Gst.parse_bin_from_description(
        "rtph264depay ! h264parse ! avdec_h264 name=end ! fakesink sync=false"
        if name == "video"
        else "rtpopusdepay ! opusdec name=end ! fakesink sync=false",
        True,
    )
    decode.get_by_name("end").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, count, name)
    pipeline.add(decode)
    decode.sync_state_with_parent()
    pad.link(decode.get_static_pad("sink"))


def post():
    global resource
    sdp = peer.get_property("local-description").sdp.as_text()
    if kind == "offer":
        body = json.dumps({"sdp": sdp, "type": "offer", "request_data": {"size": 256}})
        media = "application/json"
    else:
        body, media = sdp, "application/sdp"
    request = urllib.request.Request(address, body.encode(), {"Content-Type": media})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read().decode()
    except urllib.error.HTTPError as error:
        return done(error.read().decode())
    answer = json.loads(text)["sdp"] if kind == "offer" else text
    _, message = GstSdp.SDPMessage.new_from_text(answer)
    peer.emit(
        "set-remote-description",
        GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message),
        None,
    )


def gathered(element, _):
    if element.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
        GLib.idle_add(post)


def offered(promise, _):
    reply = promise.get_reply()  # owns the offer: it must live until this returns
    peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())


def needed(element):
    element.emit("create-offer", None, Gst.Promise.new_with_change_func(offered, None))


if kind != "offer":
    peer.emit("add-transceiver", receive, Gst.Caps.from_string(AUDIO))
peer.emit("add-transceiver", receive, Gst.Caps.from_string(VIDEO))
peer.connect("pad-added", came)
peer.connect("notify::ice-gathering-state", gathered)
peer.connect("on-negotiation-needed", needed)
pipeline.set_state(Gst.State.PLAYING)
GLib.timeout_add_seconds(LIMIT_S, done)
loop.run()
pipeline.set_state(Gst.State.NULL)
sys.stdout.write(json.dumps(seen) + "\n")
