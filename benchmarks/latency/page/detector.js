// Reports the moment at which a click passes through: the first sample beyond the threshold after
// a rest. The same detector sits before the uplink and behind the downlink, so that its own delay
// cancels. Times are wall-clock milliseconds of this machine.
class ClickDetector extends AudioWorkletProcessor {
  constructor(options) {
    super();
    this.threshold = options.processorOptions.threshold;
    this.rest = options.processorOptions.restSeconds * sampleRate;
    this.quiet = this.rest;
  }

  process(inputs, outputs) {
    const input = inputs[0][0];
    const output = outputs[0][0];
    if (!input) return true;
    if (output) output.set(input);
    for (let i = 0; i < input.length; i++) {
      this.quiet += 1;
      if (Math.abs(input[i]) > this.threshold) {
        if (this.quiet >= this.rest) {
          this.port.postMessage({ wall: Date.now() + (i / sampleRate) * 1000 });
        }
        this.quiet = 0;
      }
    }
    return true;
  }
}
registerProcessor("click-detector", ClickDetector);
