// Runs in the page before its own scripts: whatever is connected to the loudspeaker is connected to a tap as well, which keeps
// every sample. A source is silent until it is connected, so it waits for the tap. The microphone's worklet has an input; only
// a source of sound has none.
const TAP = `
  registerProcessor('tap', class extends AudioWorkletProcessor {
    #blocks = [];
    constructor() {
      super();
      this.port.onmessage = () => this.port.postMessage(this.#blocks);
    }
    process([[samples]]) {
      if (samples) this.#blocks.push(samples.slice());
      return true;
    }
  });`;
const connect = AudioNode.prototype.connect;
window.taps = [];
AudioNode.prototype.connect = function (target, ...rest) {
  if (!(target instanceof AudioDestinationNode) || this.numberOfInputs > 0) return connect.call(this, target, ...rest);
  window.taps.push(listen(this));
  return target;
};

async function listen(source) {
  const { context } = source;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([TAP], { type: 'text/javascript' })));
  const tap = new AudioWorkletNode(context, 'tap');
  connect.call(tap, context.destination);
  connect.call(source, tap);
  connect.call(source, context.destination);
  return tap;
}

/** All samples so far, as Int16. */
window.heard = async () => {
  const all = [];
  for (const tap of await Promise.all(window.taps)) {
    const blocks = await new Promise((resolve) => {
      tap.port.onmessage = ({ data }) => resolve(data);
      tap.port.postMessage('all');
    });
    for (const block of blocks) for (const sample of block) all.push(Math.round(sample * 32768));
  }
  return all;
};
