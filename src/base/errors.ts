/**
 * The one list of error and close codes. A code is what users, logs and metrics see; `close` is the WebSocket close code when the
 * error ends the connection, null when the connection goes on; `reconnect` says whether the SDK may come back by itself.
 */
export interface ErrorEntry { readonly close: number | null; readonly reconnect: boolean; readonly text: string }

const entry = (close: number | null, reconnect: boolean, text: string): ErrorEntry => ({ close, reconnect, text })

export const errorList = {
  // What a client sent
  'bad-message': entry(4400, false, 'a message is not a frame of this protocol'),
  'text-message': entry(4401, false, 'text messages are not part of this protocol'),
  'too-large': entry(4402, false, 'a message is larger than the server accepts'),
  'flood': entry(4403, true, 'too many messages; slow down'),
  'wrong-order': entry(4404, false, 'this message cannot come now; Join comes first, and once'),
  'protocol-version': entry(4405, false, 'the server speaks another version of the protocol'),
  'schema-mismatch': entry(4406, false, 'the schema of client and server differ; reload the client'),
  'origin-refused': entry(4407, false, 'this origin is not on the allow-list'),
  // Joining
  'unknown-type': entry(4410, false, 'no room of this type is served here'),
  'bad-room-name': entry(4411, false, 'a room name is 1 to 64 printable characters, and with its type at most 96 bytes'),
  'bad-join': entry(4412, false, 'the join data do not fit the schema'),
  'room-full': entry(4413, false, 'the room has no free seat'),
  'room-absent': entry(4414, false, 'no open room matches'),
  'room-failed': entry(4415, false, 'the room could not be opened; the server log says why'),
  'no-space': entry(4416, true, 'no worker has room for it; try again later'),
  'join-refused': entry(4417, false, 'the room refused the join'),
  'room-locked': entry(4418, false, 'the room takes no more sessions'),
  // While in a room
  'rate-limited': entry(null, true, 'more inputs than the server accepts'),
  'journal-full': entry(null, true, 'the room has too many inputs waiting'),
  'unknown-input': entry(null, true, 'the schema has no such input'),
  'bad-input': entry(null, true, 'the input data do not fit the schema'),
  'poisoned': entry(null, true, 'the input was dropped after it had ended the room\'s thread twice'),
  'input-failed': entry(null, true, 'the handler of this input threw'),
  // Ends of a stay
  'left': entry(4420, false, 'the client left'),
  'room-closed': entry(4421, false, 'the room was closed'),
  'session-ended': entry(4422, false, 'the room ended this session'),
  'going-away': entry(4423, true, 'the server is stopping'),
  'worker-lost': entry(4425, true, 'the room\'s thread could not be restarted'),
  'room-poisoned': entry(4426, false, 'the room\'s code has ended its thread too often; the server log says where'),
  // Coming back
  'session-gone': entry(4430, true, 'the room does not know this session any more; join anew'),
  'bad-token': entry(4431, true, 'the resume token is none of this server; join anew'),
  'token-used': entry(4432, false, 'a newer connection of this session has been given another token'),
  'replaced': entry(4433, false, 'the session goes on in another connection'),
  // Who may
  'auth-required': entry(4440, false, 'this server wants a token that says who you are'),
  'auth-invalid': entry(4441, false, 'the token is not one that this server accepts'),
  'auth-expired': entry(4442, true, 'the token has expired; come back with a new one'),
  'auth-revoked': entry(4443, false, 'the token was revoked'),
  'too-many-connections': entry(4444, true, 'too many connections; try again later'),
  'join-late': entry(4445, true, 'no Join came in time'),
  'too-many-rooms': entry(4446, true, 'too many rooms are open; try again later'),
  // The SDK's own
  'connection-lost': entry(null, true, 'the connection was lost'),
  'answer-lost': entry(null, true, 'the input was applied or refused; the answer was lost with the connection'),
  'timeout': entry(null, true, 'no answer in time'),
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorList

/** An operating error: `code` is from {@link errorList}, or an author's own from `room.reject`. */
export class KasagiError extends Error {
  override name = 'KasagiError'
  constructor(readonly code: string, text?: string) {
    super(text === undefined || text === '' ? code : `${code}: ${text}`)
  }
}

/** What the list says of a code; author's own codes neither close nor forbid a reconnect. */
export const errorEntry = (code: string): ErrorEntry =>
  (errorList as Record<string, ErrorEntry>)[code] ?? { close: null, reconnect: true, text: '' }

/** The code that belongs to a WebSocket close code, if it is one of ours. */
export function codeOfClose(close: number): ErrorCode | undefined {
  for (const code of Object.keys(errorList) as ErrorCode[]) if (errorList[code].close === close) return code
  return undefined
}

/** What an error says in one line, and the first place in a room author's own file. */
export function whatAndWhere(error: unknown): string {
  if (!(error instanceof Error) || error.stack === undefined) return String(error)
  const frames = error.stack.split('\n').filter((line) => /^\s+at /.test(line))
  const frame = frames.find((line) => /\brooms\b|\bshared\b/.test(line)) ?? frames[0]
  const place = frame === undefined ? undefined : /\(?((?:file:\/\/)?\/[^)]*:\d+:\d+)\)?/.exec(frame)?.[1]?.replace('file://', '')
  return place === undefined ? error.message : `${error.message} (${place})`
}
