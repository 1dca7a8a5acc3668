/**
 * The one list of error and close codes. A code is what users, logs and metrics see; `close` is the WebSocket close code when the
 * error ends the connection, null when the connection goes on; `reconnect` says whether the SDK may come back by itself. What each means stands in
 * error-texts.ts: servers tell it, and pages need not load it.
 */
export interface ErrorEntry { readonly close: number | null; readonly reconnect: boolean }

const entry = (close: number | null, reconnect: boolean): ErrorEntry => ({ close, reconnect })

export const errorList = {
  // What a client sent
  'bad-message': entry(4400, false),
  'text-message': entry(4401, false),
  'too-large': entry(4402, false),
  'flood': entry(4403, true),
  'wrong-order': entry(4404, false),
  'protocol-version': entry(4405, false),
  'schema-mismatch': entry(4406, false),
  'origin-refused': entry(4407, false),
  'update-required': entry(4408, false),
  // Joining
  'unknown-type': entry(4410, false),
  'bad-room-name': entry(4411, false),
  'bad-join': entry(4412, false),
  'room-full': entry(4413, false),
  'room-absent': entry(4414, false),
  'room-failed': entry(4415, false),
  'no-space': entry(4416, true),
  'join-refused': entry(4417, false),
  'room-locked': entry(4418, false),
  // While in a room
  'rate-limited': entry(null, true),
  'journal-full': entry(null, true),
  'unknown-input': entry(null, true),
  'bad-input': entry(null, true),
  'poisoned': entry(null, true),
  'input-failed': entry(null, true),
  'expired': entry(null, true),
  'detached': entry(null, true),
  'attached': entry(null, true),
  // Ends of a stay
  'left': entry(4420, false),
  'room-closed': entry(4421, false),
  'session-ended': entry(4422, false),
  'going-away': entry(4423, true),
  'no-owner': entry(4424, true),
  'worker-lost': entry(4425, true),
  'room-poisoned': entry(4426, false),
  // Coming back
  'session-gone': entry(4430, true),
  'bad-token': entry(4431, true),
  'token-used': entry(4432, false),
  'replaced': entry(4433, false),
  // Who may
  'auth-required': entry(4440, false),
  'auth-invalid': entry(4441, false),
  'auth-expired': entry(4442, true),
  'auth-revoked': entry(4443, false),
  'too-many-connections': entry(4444, true),
  'join-late': entry(4445, true),
  'too-many-rooms': entry(4446, true),
  // The SDK's own
  'connection-lost': entry(null, true),
  'answer-lost': entry(null, true),
  'timeout': entry(null, true),
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
  (errorList as Record<string, ErrorEntry>)[code] ?? { close: null, reconnect: true }

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
