/** Where everything is in the fan-out bench's rooms: pure data that all contestants, whatever they are written with, and their viewers agree on. */

export const worldSize = 4000, tickHz = 20, tickMs = 1000 / tickHz

/** Entities of a room, by its type. All of them move at every tick. */
export const moversOf = { crowd: 1000, exact: 1000, small: 100 } as const

export type RoomType = keyof typeof moversOf

/** Where a mover is at a turn, x and y alike: whoever sees the room can tell whether all of it is right. */
export const placeAt = (row: number, turn: number): number => (row * 37 + turn) % worldSize
