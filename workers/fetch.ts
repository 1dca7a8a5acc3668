/**
 * Answers another instance that follows a room and has missed something: every record behind its position, if history has each along the lineage, else
 * the whole state as it is stored. Worker thread, right after a commit, in the room's snapshot area.
 */
import { leadsOver } from '../src/base/lineage.js'
import { answerKind, send, toMain, wideWords } from '../src/memory/crossing.js'
import type { RingWriter } from '../src/memory/ring.js'
import { atBeganSeq } from '../src/memory/room-layout.js'
import { readWide } from '../src/memory/views.js'
import type { SectionWriter } from '../src/wire/section.js'
import type { ActiveRoom, Fetch } from './active-room.js'
import { closeEntry, handOver, isAreaFree, openArea, type Area } from './area.js'
import { oldestSeq, recordOf } from './history.js'
import { putStored } from './stored-room.js'

/** Answers the first that waits, once the area is free. */
export function serveFetches(room: ActiveRoom, section: SectionWriter, output: RingWriter): void {
  if (room.fetches.length > 0 && isAreaFree(room)) serveFirst(room, section, output)
}

function serveFirst(room: ActiveRoom, section: SectionWriter, output: RingWriter): void {
  const area = openArea(room, section), [fetch] = room.fetches
  const kind = putRecords(area, fetch) ? answerKind.records : answerKind.state
  if (kind === answerKind.state) putStored(area)
  const { key, epoch, parentEpoch, forkSeq, layout, book } = room
  const words = [key, fetch.request, kind, ...wideWords(epoch), ...wideWords(area.seq), ...wideWords(parentEpoch), ...wideWords(forkSeq), book.clock.tick >>> 0, layout.snapshot, area.cursor - layout.snapshot]
  if (handOver(area, () => send(output, toMain.answer, words))) room.fetches.shift()
}

/** Copies each record behind the position; false if history has not all of them, or they are more than the area holds. */
function putRecords(area: Area, { epoch, seq }: Fetch): boolean {
  const { room } = area, { arena, layout } = room
  if (!leadsOver(room, { epoch, seq }) || seq > area.seq || seq < readWide(arena, layout.base + atBeganSeq) || oldestSeq(arena, layout) > seq + 1) return false
  for (let next = seq + 1; next <= area.seq; next++) {
    const record = recordOf(arena, layout, next)!
    if (area.cursor + 16 + record.bytes > area.end) { area.cursor = layout.snapshot; return false }
    arena.kernels.copy(area.cursor + 8, record.address, record.bytes)
    closeEntry(area, record.bytes, 0)
  }
  return true
}
