// @ts-check
/**
 * The events of the Realtime API that the console reads or writes, as types. There is no code here.
 *
 * @typedef {{type: string, rate?: number}} AudioFormat
 * @typedef {{type: 'server_vad', threshold: number, prefix_padding_ms: number, silence_duration_ms: number,
 *   idle_timeout_ms: number | null, create_response: boolean, interrupt_response: boolean}} ServerVad
 * @typedef {{type: 'semantic_vad', eagerness: string, create_response: boolean, interrupt_response: boolean}} SemanticVad
 * @typedef {ServerVad | SemanticVad} TurnDetection
 * @typedef {{type: 'function', name: string, description?: string, parameters?: Record<string, any>}} FunctionTool
 * @typedef {{model?: string, language?: string, prompt?: string}} Transcription
 *
 * @typedef {object} Session
 * @property {string} id
 * @property {number} expires_at Unix seconds.
 * @property {string} model
 * @property {('text' | 'audio')[]} output_modalities
 * @property {string} instructions
 * @property {{input: {format: AudioFormat, transcription: Transcription | null, noise_reduction: {type: string} | null,
 *   turn_detection: TurnDetection | null}, output: {format: AudioFormat, voice: any, speed: number}}} audio
 * @property {FunctionTool[]} tools
 * @property {any} tool_choice
 * @property {number | 'inf'} max_output_tokens
 * @property {any} truncation
 *
 * @typedef {{type: string, text?: string, transcript?: string | null, audio?: string}} Part
 * @typedef {object} WireItem
 * @property {string} id
 * @property {'message' | 'function_call' | 'function_call_output'} type
 * @property {string} [status]
 * @property {'user' | 'assistant' | 'system'} [role]
 * @property {Part[]} [content]
 * @property {string} [call_id]
 * @property {string} [name]
 * @property {string} [arguments]
 * @property {string} [output]
 *
 * @typedef {object} Usage
 * @property {number} total_tokens
 * @property {number} input_tokens
 * @property {number} output_tokens
 * @property {{text_tokens: number, audio_tokens: number, cached_tokens: number}} input_token_details
 * @property {{text_tokens: number, audio_tokens: number}} output_token_details
 *
 * @typedef {object} Response
 * @property {string} id
 * @property {string} status
 * @property {{type: string, reason?: string, error?: {code: string, message: string}} | null} status_details
 * @property {WireItem[]} output
 * @property {{output: {format: AudioFormat, voice: any}}} audio
 * @property {string} [conversation_id] Absent for out-of-band responses.
 * @property {Usage} usage
 *
 * @typedef {{name: string, limit: number, remaining: number, reset_seconds: number}} RateLimit
 * @typedef {{type: string, code: string | null, message: string, param: string | null, event_id: string | null}} WireError
 *
 * Of events that the console only logs, the type and the id are all it needs to know: the last line of the union.
 * @typedef {{event_id: string} & (
 *   {type: 'session.created' | 'session.updated', session: Session}
 *   | {type: 'input_audio_buffer.speech_started', audio_start_ms: number, item_id: string}
 *   | {type: 'input_audio_buffer.speech_stopped', audio_end_ms: number, item_id: string}
 *   | {type: 'input_audio_buffer.committed', item_id: string, previous_item_id: string | null}
 *   | {type: 'input_audio_buffer.cleared'}
 *   | {type: 'conversation.item.added' | 'conversation.item.done', item: WireItem, previous_item_id: string | null}
 *   | {type: 'conversation.item.truncated', item_id: string, content_index: number, audio_end_ms: number}
 *   | {type: 'conversation.item.deleted', item_id: string}
 *   | {type: 'conversation.item.input_audio_transcription.delta', item_id: string, delta: string}
 *   | {type: 'conversation.item.input_audio_transcription.completed', item_id: string, transcript: string}
 *   | {type: 'conversation.item.input_audio_transcription.failed', item_id: string, error: {message: string}}
 *   | {type: 'response.created' | 'response.done', response: Response}
 *   | {type: 'response.output_item.added' | 'response.output_item.done', response_id: string, item: WireItem}
 *   | {type: 'response.output_audio.delta' | 'response.output_audio_transcript.delta' | 'response.output_text.delta'
 *       | 'response.function_call_arguments.delta', response_id: string, item_id: string, delta: string}
 *   | {type: 'response.output_audio.done', response_id: string, item_id: string}
 *   | {type: 'response.function_call_arguments.done', response_id: string, item_id: string, arguments: string}
 *   | {type: 'rate_limits.updated', rate_limits: RateLimit[]}
 *   | {type: 'error', error: WireError}
 *   | {type: 'unknown'}
 * )} ServerEvent
 *
 * @typedef {{type: string, event_id?: string, [field: string]: any}} ClientEvent
 */

export {};
