/**
 * A client's connection, as every instance names it: its instance in the high word, the socket's number there in the low one. Below 2^53, as numbers of
 * instances are below 2^20. Any thread.
 */
export const connectionOf = (instance: number, socket: number): number => instance * 0x1_0000_0000 + socket
export const instanceOf = (connection: number): number => Math.floor(connection / 0x1_0000_0000)
