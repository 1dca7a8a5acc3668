/** What is stored of a room cannot be used; the message says why, in one line. */
export class BadStore extends Error {}
