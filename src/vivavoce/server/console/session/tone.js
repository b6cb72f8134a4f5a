// @ts-check
/** The tone is a line in the instructions that the page writes and finds again. Every engine reads it in its own way. */

export const TONES = ['', 'calm', 'excited', 'happy', 'sad', 'angry', 'whispering', 'soft', 'loud', 'slow', 'fast', 'deep', 'high', 'flat'];

const LINES = /** @type {Record<string, string>} */ ({
  whispering: 'Speak in a whisper.',
  soft: 'Speak softly.',
  loud: 'Speak loudly.',
  slow: 'Speak slowly.',
  fast: 'Speak fast.',
  deep: 'Speak in a deep voice.',
  high: 'Speak in a high voice.',
});

/** @param {string} tone */
function lineOf(tone) {
  return LINES[tone] ?? `Speak in a ${tone} tone.`;
}

/** @param {string} instructions */
export function toneOf(instructions) {
  const lines = instructions.split('\n');
  return TONES.find((tone) => tone && lines.includes(lineOf(tone))) ?? '';
}

/**
 * @param {string} instructions
 * @param {string} tone Empty for none.
 */
export function withTone(instructions, tone) {
  const ours = TONES.filter(Boolean).map(lineOf);
  const others = instructions.split('\n').filter((line) => !ours.includes(line));
  return [...others, ...(tone ? [lineOf(tone)] : [])].join('\n').trim();
}
