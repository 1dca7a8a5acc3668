/** The version of the protocol in docs/protocol.md. It changes when an old client could misread a new server. */
export const protocolVersion = 1
