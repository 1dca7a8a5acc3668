/**
 * Row views: `players.at(row).hp = 99`. One cached object a row; it throws once its row is despawned. What is written is marked, where the table tracks touches. Worker thread.
 *
 * A view's accessors are made once for all rooms of a type: rooms that had their own would give every view a shape of its own, and what authors write of `globals` would be
 * compiled for none.
 */
import { isAlive, type Rows } from '../src/memory/rows.js'
import type { EntityTable, FieldTable } from '../src/schema/field-tables.js'
import type { Column } from '../src/schema/index.js'
import { misfit, rangeCheck } from '../src/schema/values.js'
import { hasSetter, type AnyColumn, type NumberArray } from './columns.js'
import type { Mark } from './touch.js'

/** What the views of a room's table look at. `columns` by field. */
export interface Viewed { readonly rows: Rows; readonly columns: readonly AnyColumn[]; readonly ids: Column<unknown> | undefined; readonly mark: Mark | undefined }

class RowView {
  readonly #of: Viewed
  readonly #row: number
  readonly #generation: number

  constructor(of: Viewed, row: number) {
    this.#of = of
    this.#row = row
    this.#generation = of.rows.generation[row]
  }

  get row(): number { return this.#living() }
  get id(): string | undefined { return (this.#of.ids?.get(this.#living()) as string) || undefined }

  #living(): number {
    const { rows } = this.#of, row = this.#row
    if (!isAlive(rows, row) || rows.generation[row] !== this.#generation) throw new RangeError(`${rows.layout.table.name}: the row of this view is despawned`)
    return row
  }

  static isOf(view: RowView, generation: number): boolean { return view.#generation === generation }

  /** Views of tables with these fields. */
  static forFields(table: EntityTable): typeof RowView {
    const View = class extends RowView {}
    for (const [index, field] of table.fields.entries()) if (!field.name.startsWith('$')) RowView.#define(View.prototype, table, field, index)
    return View
  }

  static #define(prototype: RowView, table: EntityTable, field: FieldTable, index: number): void {
    const isInRange = rangeCheck(field)
    Object.defineProperty(prototype, field.name, hasSetter(field) ? {
      enumerable: true,
      get(this: RowView) { return (this.#of.columns[index] as Column<unknown>).get(this.#living()) },
      set(this: RowView, value: unknown) { (this.#of.columns[index] as Column<unknown>).set(this.#living(), value) },
    } : {
      enumerable: true,
      // Whichever array it is, what fits the field fits it.
      get(this: RowView) { return (this.#of.columns[index] as NumberArray)[this.#living()] },
      set(this: RowView, value: number) {
        if (isInRange !== undefined && !isInRange(value)) throw new RangeError(`${table.name}.${misfit(field, value)}`)
        const row = this.#living(), { columns, mark } = this.#of;
        (columns[index] as NumberArray)[row] = value
        if (mark !== undefined) mark(row, index)
      },
    })
  }
}

const classes = new WeakMap<EntityTable, typeof RowView>()

function viewOf(table: EntityTable): typeof RowView {
  let View = classes.get(table)
  if (View === undefined) classes.set(table, View = RowView.forFields(table))
  return View
}

/** Gives the view of a living row. */
export function createRowViews(of: Viewed): (row: number) => Record<string, unknown> {
  const View = viewOf(of.rows.layout.table), cache: (RowView | undefined)[] = []
  return (row) => {
    let view = cache[row]
    if (view === undefined || !RowView.isOf(view, of.rows.generation[row])) view = cache[row] = new View(of, row)
    return view as unknown as Record<string, unknown>
  }
}
