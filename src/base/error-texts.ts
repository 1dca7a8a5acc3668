/** What each code of errors.ts means, in a line: for logs, notices and docs. Servers only, so that the SDK stays small. */
import type { ErrorCode } from './errors.js'

export const errorTexts = {
  // What a client sent
  'bad-message': 'a message is not a frame of this protocol',
  'text-message': 'text messages are not part of this protocol',
  'too-large': 'a message is larger than the server accepts',
  'flood': 'too many messages; slow down',
  'wrong-order': 'this message cannot come now; Join comes first, and once',
  'protocol-version': 'the server speaks another version of the protocol',
  'schema-mismatch': 'the schema of client and server differ; join with hash 0 for the server\'s field tables',
  'origin-refused': 'this origin is not on the allow-list',
  'update-required': 'the client\'s schema is older than what the room can serve; reload the client',
  // Joining
  'unknown-type': 'no room of this type is served here',
  'bad-room-name': 'a room name is 1 to 64 printable characters, and with its type at most 96 bytes',
  'bad-join': 'the join data do not fit the schema',
  'room-full': 'the room has no free seat',
  'room-absent': 'no open room matches',
  'room-failed': 'the room could not be opened; the server log says why',
  'no-space': 'no worker has room for it; try again later',
  'join-refused': 'the room refused the join',
  'room-locked': 'the room takes no more sessions',
  // While in a room
  'rate-limited': 'more inputs than the server accepts',
  'journal-full': 'the room has too many inputs waiting',
  'unknown-input': 'the schema has no such input',
  'bad-input': 'the input data do not fit the schema',
  'poisoned': 'the input was dropped after it had ended the room\'s thread twice',
  'input-failed': 'the handler of this input threw',
  'expired': 'the input has waited too long for the room\'s owner',
  'detached': 'the room\'s server cannot reach the others: what happens now may be undone',
  'attached': 'the room\'s server reaches the others again',
  // Ends of a stay
  'left': 'the client left',
  'room-closed': 'the room was closed',
  'session-ended': 'the room ended this session',
  'going-away': 'the server is stopping',
  'no-owner': 'no server runs the room now; try again',
  'worker-lost': 'the room\'s thread could not be restarted',
  'room-poisoned': 'the room\'s code has ended its thread too often; the server log says where',
  // Coming back
  'session-gone': 'the room does not know this session any more; join anew',
  'bad-token': 'the resume token is none of this server; join anew',
  'token-used': 'a newer connection of this session has been given another token',
  'replaced': 'the session goes on in another connection',
  // Who may
  'auth-required': 'this server wants a token that says who you are',
  'auth-invalid': 'the token is not one that this server accepts',
  'auth-expired': 'the token has expired; come back with a new one',
  'auth-revoked': 'the token was revoked',
  'too-many-connections': 'too many connections; try again later',
  'join-late': 'no Join came in time',
  'too-many-rooms': 'too many rooms are open; try again later',
  // The SDK's own
  'connection-lost': 'the connection was lost',
  'answer-lost': 'the input was applied or refused; the answer was lost with the connection',
  'timeout': 'no answer in time',
} as const satisfies Record<ErrorCode, string>

/** Author's own codes have no text of ours. */
export const errorText = (code: string): string => (errorTexts as Record<string, string>)[code] ?? ''
