// @ts-check
/**
 * The running configuration as code for this server: what was changed, and nothing that a default says as well.
 *
 * @typedef {{url: string, model: string, changes: Record<string, any>, needsKey: boolean}} Running `url` is the server's, such
 *   as `http://127.0.0.1:8000/`.
 */

/** @type {Record<string, (running: Running) => string>} */
export const SNIPPETS = { Python: python, JavaScript: javaScript, curl };

/**
 * @param {Running} running
 * @returns {Record<string, any>}
 */
function sessionOf({ changes }) {
  return { type: 'realtime', ...changes };
}

/** @param {Running} running */
function python(running) {
  const { url, model, needsKey } = running;
  const session = sessionOf(running);
  const isSpoken = session.output_modalities?.[0] !== 'text';
  const imports = ['asyncio', ...(isSpoken ? ['base64'] : []), ...(needsKey ? ['os'] : [])].map((name) => `import ${name}\n`);
  const speech = `            elif event.type == "response.output_audio.delta":
                speech += base64.b64decode(event.delta)
`;
  return `# pip install 'openai[realtime]'
${imports.join('')}${isSpoken && isPcm(session) ? 'import wave\n' : ''}
from openai import AsyncOpenAI

SESSION = ${pythonValue(session)}


async def main():
    client = AsyncOpenAI(base_url=${quoted(`${url}v1`)}, api_key=${needsKey ? 'os.environ["OPENAI_API_KEY"]' : '"anything"'})
${isSpoken ? '    speech = b""\n' : ''}    async with client.realtime.connect(model=${quoted(model)}) as connection:
        await connection.session.update(session=SESSION)
        question = {"type": "input_text", "text": "Hello!"}
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": [question]})
        await connection.response.create()
        async for event in connection:
            if event.type in ("response.output_audio_transcript.delta", "response.output_text.delta"):
                print(event.delta, end="", flush=True)
${isSpoken ? speech : ''}            elif event.type == "error":
                raise SystemExit(event.error.message)
            elif event.type == "response.done":
                break
${isSpoken ? pythonFile(session) : ''}

asyncio.run(main())
`;
}

/** @param {Record<string, any>} session */
function isPcm(session) {
  return (session.audio?.output?.format?.type ?? 'audio/pcm') === 'audio/pcm';
}

/** @param {Record<string, any>} session */
function pythonFile(session) {
  const raw = '    with open("answer.g711", "wb") as file:\n        file.write(speech)\n';
  const wav = `    with wave.open("answer.wav", "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes(speech)
`;
  return isPcm(session) ? wav : raw;
}

/** @param {Running} running */
function javaScript(running) {
  const { url, model, needsKey } = running;
  const address = `${url.replace(/^http/, 'ws')}v1/realtime?model=${encodeURIComponent(model)}`;
  const key = needsKey ? '`openai-insecure-api-key.${CLIENT_SECRET}`' : '';
  const secret = '// From POST /v1/realtime/client_secrets on your own server: a page never holds a key.\nconst CLIENT_SECRET = "ek_…";\n';
  return `// In a page, or in Node 22 and newer.
${needsKey ? secret : ''}const session = ${JSON.stringify(sessionOf(running), null, 2)};
const socket = new WebSocket(${quoted(address)}, ["realtime"${key && `, ${key}`}]);
const send = (event) => socket.send(JSON.stringify(event));

socket.onopen = () => {
  send({ type: "session.update", session });
  const content = [{ type: "input_text", text: "Hello!" }];
  send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
  send({ type: "response.create" });
};

socket.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  // Speech comes in response.output_audio.delta, base64.
  if (/output_(audio_transcript|text)\\.delta$/.test(event.type)) console.log(event.delta);
  if (event.type === "error") console.error(event.error.message);
  if (event.type === "response.done") socket.close();
};
`;
}

/** @param {Running} running */
function curl(running) {
  const { url, model, needsKey } = running;
  const body = JSON.stringify({ session: { ...sessionOf(running), model } }, null, 2).replaceAll("'", "'\\''");
  const key = needsKey ? '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n' : '';
  return `# A client secret that opens sessions with this configuration, for ten minutes.
curl -sS ${url}v1/realtime/client_secrets \\
${key}  -H "Content-Type: application/json" \\
  -d '${body}'

# The models.
curl -sS ${url}v1/models${needsKey ? ' \\\n  -H "Authorization: Bearer $OPENAI_API_KEY"' : ''}
`;
}

/** @param {string} text */
function quoted(text) {
  return JSON.stringify(text);
}

/**
 * A JSON value as Python writes it.
 * @param {any} value
 * @param {string} [indent]
 * @returns {string}
 */
export function pythonValue(value, indent = '') {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value !== 'object') return JSON.stringify(value);
  const inner = `${indent}    `;
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const rows = Object.entries(value).map(([key, field]) => {
    const text = pythonValue(field, inner);
    return `${inner}${Array.isArray(value) ? '' : `${quoted(key)}: `}${text},\n`;
  });
  return rows.length ? `${open}\n${rows.join('')}${indent}${close}` : open + close;
}
