/** Row views: `players.at(row).hp = 99`. One cached object a row; it throws once its row is despawned. What is written is marked, where the table tracks touches. Worker thread. */
import type { ColumnLayout, TableLayout } from '../src/memory/room-layout.js'
import { isAlive, type Rows } from '../src/memory/rows.js'
import type { Column } from '../src/schema/index.js'
import { misfit, rangeCheck } from '../src/schema/values.js'
import type { AnyColumn, NumberArray } from './columns.js'
import type { Mark } from './touch.js'

type View = Record<string, unknown> & { readonly $row: number; readonly $generation: number }

/** Gives the view of a living row. */
export function createRowViews(
  layout: TableLayout, columns: ReadonlyMap<string, AnyColumn>, rows: Rows, ids: Column<unknown> | undefined, mark: Mark = () => {},
): (row: number) => Record<string, unknown> {
  const prototype = {}
  const rowOf = (view: View): number => {
    if (!isAlive(rows, view.$row) || rows.generation[view.$row] !== view.$generation) {
      throw new RangeError(`${layout.table.name}: the row of this view is despawned`)
    }
    return view.$row
  }
  Object.defineProperty(prototype, 'row', { get(this: View) { return rowOf(this) } })
  Object.defineProperty(prototype, 'id', { get(this: View) { return (ids?.get(rowOf(this)) as string) || undefined } })
  for (const column of layout.columns) defineField(prototype, layout, column, columns.get(column.field.name)!, rowOf, mark)
  const cache: (View | undefined)[] = []
  return (row) => {
    const cached = cache[row]
    if (cached !== undefined && cached.$generation === rows.generation[row]) return cached
    return cache[row] = Object.create(prototype, {
      $row: { value: row }, $generation: { value: rows.generation[row] },
    }) as View
  }
}

function defineField(
  prototype: object, layout: TableLayout, { field }: ColumnLayout, column: AnyColumn, rowOf: (view: View) => number, mark: Mark,
): void {
  if (field.name.startsWith('$')) return
  if (!ArrayBuffer.isView(column)) {
    Object.defineProperty(prototype, field.name, {
      enumerable: true,
      get(this: View) { return column.get(rowOf(this)) },
      set(this: View, value: unknown) { column.set(rowOf(this), value) },
    })
    return
  }
  const isInRange = rangeCheck(field)
  // Whichever array it is, what fits the field fits it.
  const values = column as NumberArray
  Object.defineProperty(prototype, field.name, {
    enumerable: true,
    get(this: View) { return values[rowOf(this)] },
    set(this: View, value: number) {
      if (isInRange !== undefined && !isInRange(value)) throw new RangeError(`${layout.table.name}.${misfit(field, value)}`)
      const row = rowOf(this)
      values[row] = value
      mark(row)
    },
  })
}
