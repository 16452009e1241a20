"""Write trained networks as graphs with a manifest that says where they come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from visavis.models.motion.curves import CHANNELS
from visavis.models.motion.training.flow_network import FlowNet
from visavis.models.motion.training.flow_network import export_onnx as export_flow
from visavis.models.motion.training.network import MotionNet
from visavis.models.motion.training.network import export_onnx as export_lips

DATA: dict[str, object] = {
    "data": {
        "lips": "Synthetic speech, made by models/motion/training/corpus/corpus.py from word lists "
        "of this repository, with curves built from its exact phones.",
        "constants of the curves": "Fitted to captured takes 2_01-2_04 of FACEGOOD.",
        "flow": "No captured head motion exists in the data: the flow learns from "
        "models/motion/training/simulate.py, a generative model built from published statistics "
        "and driven by the corpus' own speech.",
        "evaluation only": "asterisk_en prompts and Debian's asterisk-core-sounds-es, -fr, -it, "
        "-ru (CC BY-SA 3.0; Italian and Russian CC BY 3.0), FACEGOOD take 2_05, festival "
        "voice_ked_diphone.",
    },
    "voices": {
        "flite slt, rms, awb": "CMU ARCTIC derived, BSD-like (free for any use)",
        "festival cmu_us_slt_arctic_hts": "EST licence, BSD-like",
        "festival kal_diphone": "CMU/Edinburgh, free for any use",
        "festival lp_diphone, pc_diphone": "GPL-2+ voice databases (Italian)",
        "festival msu_ru_nsh_clunits": "BSD-like (Russian)",
        "festival czech_dita, krb, machac": "GPL-3+ voice databases (Czech)",
        "festival czech_ph": "GPL-2+ voice database (Czech)",
        "festival suo_fi_lj, hy_fi_mv": "LGPL voice databases (Finnish)",
        "festival upc_ca_ona_hts": "LGPL-2.1+ (Catalan)",
        "espeak-ng, 19 languages": "GPL-3+ program; formant synthesis",
        "RHVoice bdl, clb, slt, alan": "LGPL-2.1+ voice data (bdl, clb, slt: CMU Arctic "
        "recordings, free for any use)",
        "RHVoice anatol, natalia": "LGPL-2.1 (Ukrainian)",
        "RHVoice elena, spomenka": "GPL-3 (Russian, Esperanto); its voices under licences that "
        "forbid trade or changes are not used",
        "SVOX Pico, six voices": "Apache-2.0 (data without sources)",
        "festival hindi_NSK, marathi_NSK": "GPL-2+ voice databases",
    },
    "capture": "FACEGOOD-Audio2Face, MIT licence; one Mandarin speaker",
    "note": "Programs, voice databases and takes are tools here; none of them is part of the "
    "weights.",
    "licence": "Apache-2.0",
}


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_weights(
    out: Path, lips: MotionNet | None, flow: FlowNet | None, about: dict[str, object]
) -> Path:
    """Export what was trained and describe it; what was not trained stays as it is.

    Args:
        out: folder of ``motion.onnx``, ``flow.onnx`` and ``manifest.json``.
        lips: averaged phonetic network.
        flow: averaged flow network.
        about: what else the manifest says.

    Returns:
        The manifest's path.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "manifest.json"
    manifest: dict[str, object] = json.loads(path.read_text()) if path.is_file() else {}
    manifest |= DATA
    if lips is not None:
        graph = out / "motion.onnx"
        export_lips(lips, len(CHANNELS), graph)
        manifest |= {
            "file": graph.name,
            "sha256": sha256(graph),
            "bytes": graph.stat().st_size,
            "parameters": sum(p.numel() for p in lips.parameters()),
            "network": asdict(lips.config),
        }
    if flow is not None:
        graph = out / "flow.onnx"
        export_flow(flow, graph)
        manifest |= {
            "flow_file": graph.name,
            "flow_sha256": sha256(graph),
            "flow_bytes": graph.stat().st_size,
            "flow_parameters": sum(p.numel() for p in flow.parameters()),
            "flow_network": asdict(flow.config),
        }
    path.write_text(json.dumps(manifest | about, indent=1) + "\n")
    return path
