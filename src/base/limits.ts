/** Every number that bounds something, with its reason. Imported by both threads and the client, so that writer and reader agree. */

/** Tables are indexed by row number in 32 bits with room for a generation beside it; and a full compare of more is no longer real time. */
export const rowsMax = 2 ** 20

/** Rows per step of a kernel: one u64 of bitmap. Every column is padded to a multiple of it. */
export const rowsPerWord = 64

/** Rows of one mark, in a table that tracks touches: as many as a kernel compares at once. */
export const rowsPerMark = 16

/** u16 indices in the wire structs; 65535 and 65534 are taken by generations and ids. */
export const tablesMax = 256
export const fieldsMax = 256

/** A room id (`type:name`) in bytes: it is a key of Redis, a log field and a header field. */
export const roomIdBytesMax = 96

/** A schema's name, which is its rooms' type: a client names it in its Join, and a room id has place for more behind it. */
export const typeBytesMax = 64

/** Text in one field; longer texts belong in rows of their own, or outside. */
export const textBytesMax = 4096

/** A slot (text, list, json, optional) with its length: a value is reserved at this size in every row, twice, and sent whole at each change. Its length is a u16. */
export const slotBytesMax = 32 * 1024

/** How deep json may nest: authors walk what strangers sent, and a walk of thousands of levels ends the thread's stack. */
export const jsonDepthMax = 64

/** One message of a client, by default. Inputs are a few fields; 4 KiB leaves room for text. */
export const clientMessageBytesMax = 4096

/** Messages a client may send per second on average, by default (a 60 Hz game with two inputs a frame fits), and how many seconds' worth at once. */
export const inputsPerSecondMax = 120
export const inputsBurstSeconds = 2

/** Bytes queued on a socket, beyond a snapshot in flight, above which a client counts as slow. */
export const backlogBytesDefault = 1024 * 1024

/** A snapshot chunk: above 16 KiB uWebSockets.js no longer batches, so a chunk may as well be twice that. */
export const chunkBytesMax = 32 * 1024

/** Steps of a quantized field: the kernels quantize by adding 2^23, so the step's number must fit the mantissa below it. */
export const quantizedStepsMax = 2 ** 23 - 1

/** An arena in bytes: address space, not memory; untouched pages cost nothing. At most 2 GiB, so that addresses stay small integers in V8. */
export const arenaBytesDefault = 1024 ** 3
export const arenaBytesMax = 2 * 1024 ** 3 - 65536

/** The smallest block the arena gives out. */
export const blockBytesMin = 128 * 1024

/** Rooms per worker: entries of the arena's block table. */
export const roomsPerWorkerMax = 4096

/** Bytes from the main thread to one worker, not yet moved to journals. One second of 30,000 small inputs. */
export const inputRingBytes = 4 * 1024 * 1024

/**
 * Rooms of a worker tick in groups, at least so far apart: a wake-up, cold caches and a bell are paid for once a group. Far below what a player feels, and
 * far enough apart for the main thread to send what a group said and read inputs before the next.
 */
export const tickGroupMs = 10

/** How long a worker opens rooms before those that are open have a turn: far below any tick. */
export const inboxMsMax = 2

/** Descriptors from a worker to the main thread, not yet read. */
export const outputRingSlots = 16_384

/** One room's journal, at least: inputs waiting for the next tick, or applied but not yet committed. */
export const journalBytesMin = 64 * 1024

/** Of it, for each session that the room may have: five small inputs a tick, or one of 200 bytes. */
export const journalBytesPerSession = 256

/** Of it, kept for joins, leaves and control when inputs have filled the rest. */
export const journalReservedBytes = 16 * 1024

/** Sessions of a room, unless its author says otherwise, and at most. */
export const sessionsDefault = 256
export const sessionsMax = 16_384

/** A session's user: the claims of its token as JSON. Ids, names and roles fit; whatever is larger belongs in a database. */
export const userBytesMax = 2048

/** Events per flush, unless the author says otherwise; and their bytes. What must be seen is a row, not an event. */
export const eventsPerFlushDefault = 256
export const eventBytesPerFlushMax = 64 * 1024

/** Refusals of inputs that one flush carries, in bytes; further inputs of that turn wait for the next. */
export const nackBytesPerFlushMax = 32 * 1024

/** Timers of one name that can be armed at once. */
export const timersPerNameMax = 1024

/** Flushes between two state hashes of a stream: about every five seconds at 20 Hz. */
export const flushesPerHash = 100

/** A room's ticks that may be late before they are skipped: never burst. */
export const ticksBehindMax = 1

/** How long a resume token is good for, whatever the room thinks of its session: a month bounds what a leaked one is worth. */
export const resumeTokenSeconds = 30 * 24 * 3600

/** How long a session whose connection was lost may be waited for. */
export const graceMsMax = 24 * 3_600_000

/** How long a worker's loop may stand still, by default: longer than any honest turn, short enough that its other rooms' players wait for it. */
export const stallMsDefault = 2000

/** Connections of one instance, and from one address: what one process can serve, and what a household or a small office may need. 0: no limit. */
export const connectionsMaxDefault = 20_000
export const connectionsPerAddressDefault = 1000

/** Open rooms that joins from one address may have opened. */
export const roomsPerAddressDefault = 200

/** How long a connection may be open without a Join. */
export const joinWaitMsMax = 10_000

/** Inputs the SDK keeps until they are durable. */
export const heldInputsMax = 1024

/** Field tables as JSON, in letters, that a client takes from a server: 256 tables of 256 fields fit, and are read in a tenth of a second. */
export const tablesTextMax = 8 * 1024 * 1024

/** What of a frame or a snapshot a client may have to hold for tables and fields of a newer schema, which it skips: more is no page's world. */
export const unknownBytesMax = 64 * 1024 * 1024

/** Publishes of one instance that its backplane has not answered, and their bytes: a second's worth of busy rooms. Beyond it a room's history is the queue. */
export const unansweredPublishesMax = 16_384
export const unansweredBytesMax = 64 * 1024 * 1024

/** Records that are read from a log at once: 512 of 32 KiB are 16 MiB. */
export const logPageRecords = 512

/** A record or a snapshot as it may come from a store: Redis holds no longer values, and what is longer is none of ours. */
export const storedBytesMax = 512 * 1024 * 1024

/** A lease that is not renewed, with Redis, by default: players wait so long for a new owner when theirs is gone. Renewals and beats come every third of it. */
export const leaseMsDefault = 5000

/** Numbers that one input from another instance may pass over because those were refused there: what its client sends in hours without an owner. */
export const inputNumbersPassedMax = 2 ** 20

/**
 * How far the epoch that another instance speaks of may lie ahead of the clock, and of every epoch that is known: one that a broken message names takes
 * away a part of those that are left, and behind the last one a room opens no more. Redis itself may name any.
 */
export const epochAheadMsMax = 24 * 60 * 60 * 1000

/** What a stop may take to give rooms away, by default: half a minute is what most platforms wait before they kill. */
export const drainMsDefault = 10_000

/** Numbers of instances are below it: with a connection's 32 bits they stay below 2^53. */
export const instanceNumbersMax = 2 ** 20

/** How long an instance's number stays taken after its last sign of life: longer than any pause that its rooms survive. */
export const instanceNumberMs = 60_000

/** A Redis that has not answered for the length of a lease, and for so long, counts as lost: one on a busy machine may be late. */
export const answerMsMin = 1000

/** The longest wait between two tries to reach Redis again. */
export const reconnectMsMax = 1000

/** Channels that one SUBSCRIBE names: thousands of rooms come back with a subscriber, and Redis serves others between. */
export const channelsPerSubscribe = 256

/** Bytes of a log that are read at once, beyond one record. */
export const logPageBytes = 8 * 1024 * 1024

/** Rooms that a directory lists: more nobody looks at. */
export const directoryRoomsMax = 10_000
