// @ts-check
import { SAMPLE_HZ } from './pcm.js';

const MODULE = new URL('./capture.worklet.js', import.meta.url);
/** What browsers call the ways in which there is no microphone. */
const PROBLEMS = /** @type {Record<string, string>} */ ({
  NotAllowedError: 'The browser may not use the microphone. Allow it beside the address, then try again.',
  NotFoundError: 'No microphone was found. Plug one in, drag a recording on to the page, or type.',
  NotReadableError: 'The microphone is there but cannot be opened: another program may be using it.',
  OverconstrainedError: 'The chosen microphone is gone. Choose another one.',
});

/** There is nothing to hear with; the message is for people. */
export class MicrophoneProblem extends Error {}

/**
 * Hears through a device, or plays a recording as if it were one. One at a time.
 * @typedef {(samples: Int16Array, peak: number) => void} Hear Gets 40 ms at 24,000 Hz.
 */
export class Microphone {
  #hear;
  /** @type {(() => void) | null} */
  #stop = null;

  /** @param {Hear} hear */
  constructor(hear) {
    this.#hear = hear;
  }

  /**
   * Listen through a device, with echo cancellation: the page's own voice is not heard.
   * @param {string} deviceId Empty for the system's own choice.
   */
  async open(deviceId) {
    this.close();
    const stream = await askForStream(deviceId);
    const [track] = stream.getAudioTracks();
    const { context, node } = await this.#capture((context) => context.createMediaStreamSource(stream));
    this.#stop = () => {
      node.port.onmessage = null;
      track.stop();
      void context.close();
    };
  }

  /**
   * Play a recording in place of the microphone, then silence, until `close`. Any format that the browser can decode.
   * @param {File} file
   */
  async openFile(file) {
    this.close();
    const bytes = await file.arrayBuffer();
    /** @type {AudioBufferSourceNode | null} */
    let source = null;
    const { context, node } = await this.#capture(async (context) => {
      source = context.createBufferSource();
      source.buffer = await context.decodeAudioData(bytes).catch(() => {
        throw new MicrophoneProblem(`${file.name} is no recording that this browser can read.`);
      });
      return source;
    });
    /** @type {AudioBufferSourceNode | null} */ (source)?.start();
    this.#stop = () => {
      node.port.onmessage = null;
      void context.close();
    };
  }

  close() {
    this.#stop?.();
    this.#stop = null;
  }

  /**
   * A source connected to the worklet. Some browsers cannot take a microphone into a context of another rate than its own;
   * there the worklet resamples.
   * @param {(context: AudioContext) => AudioNode | Promise<AudioNode>} makeSource
   */
  async #capture(makeSource) {
    let context = new AudioContext({ sampleRate: SAMPLE_HZ });
    /** @type {AudioNode} */
    let source;
    try {
      source = await makeSource(context);
    } catch (error) {
      await context.close();
      if (error instanceof MicrophoneProblem) throw error;
      context = new AudioContext();
      source = await makeSource(context);
    }
    await context.resume();
    await context.audioWorklet.addModule(MODULE);
    const node = new AudioWorkletNode(context, 'capture', { numberOfOutputs: 1, channelCount: 1, channelCountMode: 'explicit' });
    node.port.onmessage = ({ data }) => this.#hear(data.samples, data.peak);
    source.connect(node);
    // A node that leads nowhere may be left out of the rendering. It puts out silence.
    node.connect(context.destination);
    return { context, node };
  }
}

/**
 * @param {string} deviceId
 * @returns {Promise<MediaStream>}
 */
async function askForStream(deviceId) {
  if (!navigator.mediaDevices) {
    throw new MicrophoneProblem('Browsers give the microphone only to pages from https or from this machine (localhost).');
  }
  const wanted = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { ...wanted, ...(deviceId && { deviceId: { exact: deviceId } }) } });
  } catch (error) {
    const name = error instanceof Error ? error.name : '';
    throw new MicrophoneProblem(PROBLEMS[name] ?? `The microphone could not be opened: ${error}`);
  }
}

/**
 * The devices that there are. Their names are empty until the microphone was allowed once.
 * @returns {Promise<{inputs: MediaDeviceInfo[], outputs: MediaDeviceInfo[]}>}
 */
export async function devices() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return {
    inputs: all.filter((device) => device.kind === 'audioinput' && device.label),
    outputs: all.filter((device) => device.kind === 'audiooutput' && device.label),
  };
}
