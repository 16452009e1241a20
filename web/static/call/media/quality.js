/** How good the connection is, in words, by what arrived in the last seconds. */

const EVERY_MS = 2000;
export const WORDS = { good: "good", fair: "fair", poor: "poor" };

export class QualityWatch {
  #timer = 0;
  #last = null;

  /**
   * @param {() => Promise<RTCStatsReport|null>} stats
   * @param {(value: "good"|"fair"|"poor", figures: {rttMs: number|null, loss: number, held: number|null}) => void} told
   */
  start(stats, told) {
    this.stop();
    this.#timer = setInterval(async () => {
      const report = await stats();
      if (!report) return;
      const now = totals(report);
      const before = this.#last;
      this.#last = now;
      if (before) {
        const figures = between(before, now);
        told(verdict(figures), figures);
      }
    }, EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#last = null;
  }
}

function totals(report) {
  const sum = { received: 0, lost: 0, emitted: 0, delay: 0, rttMs: null, sent: 0, upLoss: 0 };
  for (const entry of report.values()) {
    if (entry.type === "inbound-rtp") {
      sum.received += entry.packetsReceived ?? 0;
      sum.lost += Math.max(0, entry.packetsLost ?? 0);
      if (entry.kind === "audio") {
        sum.emitted += entry.jitterBufferEmittedCount ?? 0;
        sum.delay += entry.jitterBufferDelay ?? 0;
      }
    }
    if (entry.type === "remote-inbound-rtp") sum.upLoss = Math.max(sum.upLoss, entry.fractionLost ?? 0);
    if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") {
      if (entry.currentRoundTripTime !== undefined) sum.rttMs = entry.currentRoundTripTime * 1000;
    }
  }
  return sum;
}

function between(before, now) {
  const received = now.received - before.received;
  const lost = Math.max(0, now.lost - before.lost);
  const emitted = now.emitted - before.emitted;
  return {
    rttMs: now.rttMs,
    loss: Math.max(lost / Math.max(1, received + lost), now.upLoss),
    held: emitted > 0 ? (1000 * (now.delay - before.delay)) / emitted : null,
  };
}

function verdict({ rttMs, loss }) {
  if (loss > 0.08 || (rttMs ?? 0) > 400) return "poor";
  if (loss > 0.02 || (rttMs ?? 0) > 200) return "fair";
  return "good";
}
