/**
 * What stands in a section, row set by row set, for readers that keep no tables. Main thread. Only for bytes that were verified, or are our own; the rows
 * and values of a set only for our own: here nobody bounds what a hostile set says.
 */
import { vectorAt, vectorLength, type WordViews } from './envelope.js'
import { columnWords, eventWords, form, rowSetWords, sectionVectors } from './section.js'

/** The values of one field for all rows of a set. */
export interface ColumnRef { readonly field: number; readonly at: number; readonly bytes: number }

export interface RowSetRef {
  readonly table: number
  /** One of section.ts's `what`. */
  readonly kind: number
  readonly form: number
  readonly first: number
  readonly count: number
  readonly at: number
  readonly bytes: number
  readonly columns: readonly ColumnRef[]
}

export interface EventRef { readonly event: number; readonly at: number; readonly bytes: number }

/** First word of a vector of structs of `words` words, and one past the last. */
function structs(views: WordViews, section: number, vector: number, words: number): readonly [from: number, end: number] {
  const at = vectorAt(views, section, vector)
  return [at >>> 2, (at >>> 2) + vectorLength(views, at) * words]
}

/** The row sets of the section at `section`, in order, each with its columns. */
export function readRowSets(views: WordViews, section: number): RowSetRef[] {
  const { u32 } = views, data = vectorAt(views, section, sectionVectors.data), sets: RowSetRef[] = []
  const [from, end] = structs(views, section, sectionVectors.rowSets, rowSetWords)
  let [column, columnEnd] = structs(views, section, sectionVectors.columns, columnWords)
  for (let word = from, set = 0; word < end; word += rowSetWords, set++) {
    const columns: ColumnRef[] = []
    for (; column < columnEnd && (u32[column] & 0xffff) === set; column += columnWords) {
      columns.push({ field: u32[column] >>> 16, at: data + u32[column + 1], bytes: u32[column + 2] })
    }
    sets.push({
      table: u32[word] & 0xffff, kind: u32[word] >>> 16 & 0xff, form: u32[word] >>> 24, first: u32[word + 1], count: u32[word + 2], at: data + u32[word + 3],
      bytes: u32[word + 4], columns,
    })
  }
  return sets
}

/** The rows of a set, ascending. */
export function rowsOf({ u8 }: WordViews, { form: rowForm, first, count, at, bytes }: RowSetRef): number[] {
  if (rowForm === form.range) return Array.from({ length: count }, (_, index) => first + index)
  const rows: number[] = [], end = at + bytes
  if (rowForm === form.bitmap) {
    for (let byte = at; byte < end; byte++) for (let bits = u8[byte]; bits !== 0; bits &= bits - 1) rows.push(first + (byte - at) * 8 + 31 - Math.clz32(bits & -bits))
    return rows
  }
  for (let byte = at, next = first; byte < end && rows.length < count; next++) {
    let gap = 0, shift = 0, part = 128
    for (; part >= 128; shift += 7) { part = u8[byte++]; gap += (part & 127) * 2 ** shift }
    next += gap
    rows.push(next)
  }
  return rows
}

/** The section's events, in order. */
export function readEvents(views: WordViews, section: number): EventRef[] {
  const { u32 } = views, data = vectorAt(views, section, sectionVectors.data), events: EventRef[] = []
  const [from, end] = structs(views, section, sectionVectors.events, eventWords)
  for (let word = from; word < end; word += eventWords) events.push({ event: u32[word] & 0xffff, at: data + u32[word + 1], bytes: u32[word + 2] })
  return events
}
