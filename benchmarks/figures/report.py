"""``python -m visavis.benchmarks.figures.report``: the README's table, from ``benchmarks/results``.

Figures are never typed by hand: each row reads keys of one result file, and a row whose file or
keys are not there is left out.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from visavis.benchmarks.figures.tables import show_figures

_RESULTS = Path(__file__).parents[1] / "results"
_README = Path(__file__).parents[2] / "README.md"

# what, goal, file, how the figure reads
_ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("mouth to lip, Chromium and server on the same two cores, 512²", "p50 ≤ 90, p95 ≤ 112 ms",
     "latency", "p50 {mouth_to_lip_ms[p50]:.0f}, p95 {mouth_to_lip_ms[p95]:.0f}, "
     "p99 {mouth_to_lip_ms[p99]:.0f} ms (n = {mouth_to_lip_ms[n]})"),
    ("microphone to sound", "", "latency",
     "p50 {mic_to_sound_ms[p50]:.0f}, p95 {mic_to_sound_ms[p95]:.0f}, "
     "p99 {mic_to_sound_ms[p99]:.0f} ms"),
    ("sound after picture at the viewer", "median within ±20, p99 ≤ 45 ms", "latency",
     "p50 {av_skew_ms[p50]:+.0f}, p95 {av_skew_ms[p95]:+.0f}, p99 {av_skew_ms[p99]:+.0f} ms"),
    ("barge-in to still lips, at the viewer", "≤ 250 ms", "latency",
     "p50 {barge_in_ms[p50]:.0f}, p95 {barge_in_ms[p95]:.0f} ms (n = {barge_in_ms[n]}); by the "
     "picture, where a nod counts too, p50 {barge_in_seen_ms[p50]:.0f}, "
     "p95 {barge_in_seen_ms[p95]:.0f}"),
    ("mouth to lip by when the picture changes, as a server without our stamp is timed", "",
     "latency", "p50 {mouth_seen_moving_ms[p50]:.0f}, p95 {mouth_seen_moving_ms[p95]:.0f} ms "
     "(n = {mouth_seen_moving_ms[n]})"),
    ("frames in the live run of {settings[seconds]:.0f} s", "25 fps, < 1 % late or missing",
     "latency", "{frames[fps]:.2f} fps, {frames[missing_percent]:.2f} % missing, "
     "{frames[late_percent]:.2f} % late"),
    ("connect to first frame, Chromium", "≤ 1 s", "latency",
     "p50 {first_frame_ms[p50]:.0f}, p95 {first_frame_ms[p95]:.0f} ms (n = {first_frame_ms[n]})"),
    ("plain aiortc echo on the same page, by when its picture changes: no avatar, no look-ahead",
     "", "latency_stock",
     "lip p50 {mouth_to_lip_ms[p50]:.0f}, p95 {mouth_to_lip_ms[p95]:.0f}; sound "
     "p50 {mic_to_sound_ms[p50]:.0f}, p95 {mic_to_sound_ms[p95]:.0f} ms "
     "(n = {mouth_to_lip_ms[n]})"),
    ("{settings[loss]:.0%} loss and 0-{settings[jitter_ms]:.0f} ms jitter for "
     "{settings[during_s]:.0f} s: pictures timely again", "< 1 s", "network",
     "{recovery}; without gaps after {smooth_again_ms:.0f} ms"),
    ("the same: latency left over 5 s after", "none", "network",
     "picture {picture_growth_ms:+.0f}, sound {sound_growth_ms:+.0f} ms"),
    ("the same, plain aiortc echo", "", "network_stock",
     "picture {picture_growth_ms:+.0f}, sound {sound_growth_ms:+.0f} ms; timely "
     "again {recovery}"),
    ("enrolment", "≤ 10 s", "offline", "{enrolment_s:.1f} s"),
    ("`visavis render` at 512²", "≥ 1.5 × real time", "offline",
     "{render_512[times_real_time]:.1f} ×"),
    ("one frame drawn, one thread, 512²", "", "offline",
     "p50 {render_512[draw_ms][p50]:.1f}, p95 {render_512[draw_ms][p95]:.1f} ms"),
    ("one frame drawn, one thread, 256²", "", "offline",
     "p50 {render_256[draw_ms][p50]:.1f}, p95 {render_256[draw_ms][p95]:.1f} ms"),
    ("lips on rendered pictures against the 300-3000 Hz envelope of real speech",
     "r ≥ 0.40 within ±40 ms", "video",
     "r {envelope_r_median:.2f} at {lag_ms_median:+.0f} ms ({clips} clips; "
     "against shifted sound {envelope_r_control:.2f})"),
    ("lip aperture in inter-ocular distances", "p95 0.10-0.22, silence ≤ 0.06", "video",
     "p95 {aperture_p95:.2f}, in silence p95 {aperture_silence_p95:.2f}"),
    ("bilabial closures seen, at 5 % of vowels taken for closed", "≥ 0.75", "video",
     "{closure_at_5_percent[recall]:.2f} of {closure_at_5_percent[bilabials]}"),
    ("light in the mouth by a network, over the warp alone, on portraits and synthetic people that "
     "training never saw", "≥ 3 dB", "quality_mouth",
     "{portraits[light][gain_over_warp_db][0]:+.1f} dB, "
     "{people[light][gain_over_warp_db][0]:+.1f} dB"),
    ("lips from sound alone, real voice never trained on: bilabials closed at 5 % of vowels, told "
     "from other stops and nasals, opening against the phones'", "≥ 0.93, AUC ≥ 0.90, r ≥ 0.70",
     "quality_motion", "{summary[real_closure_recall_5]:.2f}, AUC {summary[real_place_auc]:.2f} "
     "(loudness alone {summary[energy_place_auc]:.2f}), r {summary[real_aperture_r]:.2f} at "
     "{summary[real_aperture_lag_ms]:+.0f} ms"),
    ("rounded lips told from spread ones, d′; on other prompts of the same voice", "≥ 2.7",
     "quality_motion", "{summary[real_rounding_d]:.2f}; {rows["
     "asterisk: other prompts, on which nothing was chosen][network][rounding_d]:.2f}"),
    ("bilabials closed in noise at 10 dB, in a room", "≥ 0.80", "quality_motion",
     "{summary[noise_closure_recall_5]:.2f}, {summary[room_closure_recall_5]:.2f}"),
    ("the same over every voice and language measured, at worst", "", "quality_motion",
     "{summary[worst_closure_recall_5]:.2f}, AUC {summary[worst_place_auc]:.2f}"),
    ("mouth where nobody speaks (noise, tones, music), in units of jawOpen", "< 0.08",
     "quality_motion", "p95 {summary[no_voice]:.2f} at most"),
    ("40 ms of sound to lips, one thread", "≤ 2 ms", "quality_motion", "{summary[cost_ms]:.1f} ms"),
    ("memory over {connects} connects, {killed} of them killed, {seconds} s", "flat", "soak",
     "{rss_mb[first]:.0f} → {rss_mb[last]:.0f} MB, {rss_mb[per_1000_connects][value]:+.0f} "
     "({rss_mb[per_1000_connects][low]:+.0f} to {rss_mb[per_1000_connects][high]:+.0f}) MB per "
     "1000; files {files[first]:.0f} → {files[last]:.0f}, threads {threads[first]:.0f} → "
     "{threads[last]:.0f}"),
    ("drift of picture against sound, extrapolated", "< 1 ms/h", "soak",
     "{av_drift_ms_per_hour[value]:+.1f} ({av_drift_ms_per_hour[low]:+.1f} to "
     "{av_drift_ms_per_hour[high]:+.1f}) ms/h over {watched_s:.0f} s"),
    ("presenter: microphone to virtual camera, 1280x720, PulseAudio, {settings[look_ahead_ms]} ms "
     "of look-ahead", "p50 ≤ 75, p95 ≤ 105 ms, late < 1 %", "presenter",
     "p50 {mic_to_camera_ms[p50]:.0f}, p95 {mic_to_camera_ms[p95]:.0f} ms, late {late_share:.1%}; "
     "sound after picture p50 {av_skew_ms[p50]:+.0f}, p95 {av_skew_ms[p95]:+.0f}; "
     "{cores[p50]:.1f} cores"),
    ("a call of {settings[people]} at {settings[size]}², viewers that do not decode",
     "25 fps, < 1 % late, joining and leaving seen ≤ 1 s, a dead worker back ≤ 2 s", "room",
     "{steady[slowest_fps]:.0f} fps, {steady[late_or_repeated_percent_of_the_worst]:.0f} % late or "
     "repeated; joining p50 {joins[first_picture_of_another_ms][p50]:.0f}, leaving "
     "p50 {leave_seen_ms[p50]:.0f} ms, worker {worker_death[longest_gap_ms]:.0f} ms"),
    ("an agent's 10 s sentence in one message to its first picture: raw; decoded by WebRTC",
     "≤ 250 ms", "agent", "p50 {raw[append_to_first_picture_ms][p50]:.0f}, "
     "p95 {raw[append_to_first_picture_ms][p95]:.0f}; "
     "p50 {webrtc[append_to_first_picture_ms][p50]:.0f}, "
     "p95 {webrtc[append_to_first_picture_ms][p95]:.0f} ms "
     "(n = {raw[append_to_first_picture_ms][n]})"),
    ("WHIP publisher (ffmpeg) to a WHEP viewer's first picture", "≤ 1.2 s", "whip",
     "p50 {post_to_first_picture_ms[p50]:.0f}, p95 {post_to_first_picture_ms[p95]:.0f} ms "
     "(n = {post_to_first_picture_ms[n]})"),
    ("sessions held at full effort on this machine, viewers included", "4 at 256² or 2 at 512²",
     "capacity", "{sessions_256[held]} at 256², {sessions_512[held]} at 512²"),
)  # fmt: skip


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the Markdown table of every row whose result has what it shows."""
    lines = ["| what | asked | measured |", "|---|---|---|"]
    for what, goal, source, form in _ROWS:
        result = results.get(source, {})
        # A figure that is not there, or null because nothing was measured, is no row.
        with contextlib.suppress(KeyError, TypeError):
            lines.append(f"| {what.format(**result)} | {goal} | {form.format(**result)} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the table, or put it between the README's markers."""
    results = {p.stem: json.loads(p.read_text("utf-8")) for p in sorted(_RESULTS.glob("*.json"))}
    return show_figures(_README, table(results), __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
