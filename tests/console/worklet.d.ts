// What TypeScript's own library does not know: the global scope of an AudioWorklet.
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare const sampleRate: number;
declare const currentTime: number;
declare function registerProcessor(name: string, processor: new (options?: any) => AudioWorkletProcessor): void;
