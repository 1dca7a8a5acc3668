/**
 * Row views: `players.at(row).hp = 99`. One cached object a row; it throws once its row is despawned. What is written is marked, where the table tracks touches. Worker thread.
 *
 * A view's accessors are made once for all rooms of a type: rooms that had their own would give every view a shape of its own, and what authors write of `globals` would be
 * compiled for none.
 */
import type { Rows } from '../src/memory/rows.js'
import type { EntityTable, FieldTable } from '../src/schema/field-tables.js'
import type { Column } from '../src/schema/index.js'
import { misfit, rangeCheck } from '../src/schema/values.js'
import { hasSetter, type AnyColumn, type NumberArray } from './columns.js'
import type { Mark } from './touch.js'

/** What the views of a room's table look at. `columns` by field. */
export interface Viewed { readonly rows: Rows; readonly columns: readonly AnyColumn[]; readonly ids: Column<unknown> | undefined; readonly mark: Mark | undefined }

/** A despawn raises its row's generation, so that a view whose row has another one looks at nothing any more. */
class RowView {
  readonly #of: Viewed
  readonly #row: number
  readonly #generation: number
  /** What each access needs of `#of`, so that it is one step away. */
  readonly #generations: Uint16Array
  readonly #columns: readonly AnyColumn[]
  readonly #mark: Mark | undefined

  constructor(of: Viewed, row: number) {
    this.#of = of
    this.#row = row
    this.#generations = of.rows.generation
    this.#generation = this.#generations[row]
    this.#columns = of.columns
    this.#mark = of.mark
  }

  get row(): number {
    if (!RowView.isCurrent(this)) throw RowView.#gone(this)
    return this.#row
  }
  get id(): string | undefined { return (this.#of.ids?.get(this.row) as string) || undefined }

  static isCurrent(view: RowView): boolean { return view.#generations[view.#row] === view.#generation }

  static #gone(view: RowView): RangeError { return new RangeError(`${view.#of.rows.layout.table.name}: the row of this view is despawned`) }

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
      get(this: RowView) { return (this.#columns[index] as Column<unknown>).get(this.row) },
      set(this: RowView, value: unknown) { (this.#columns[index] as Column<unknown>).set(this.row, value) },
    } : {
      enumerable: true,
      // Whichever array it is, what fits the field fits it.
      get(this: RowView) {
        const row = this.#row
        if (this.#generations[row] !== this.#generation) throw RowView.#gone(this)
        return (this.#columns[index] as NumberArray)[row]
      },
      set(this: RowView, value: number) {
        if (isInRange !== undefined && !isInRange(value)) throw new RangeError(`${table.name}.${misfit(field, value)}`)
        const row = this.#row
        if (this.#generations[row] !== this.#generation) throw RowView.#gone(this);
        (this.#columns[index] as NumberArray)[row] = value
        if (this.#mark !== undefined) this.#mark(row, index)
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
    if (view === undefined || !RowView.isCurrent(view)) view = cache[row] = new View(of, row)
    return view as unknown as Record<string, unknown>
  }
}
