/** The numbers of tables and fields on clients' wires against those of the full field tables, both ways, as plain arrays. */
import type { FullTables } from '../src/schema/field-tables.js'

export interface PublicIndex {
  /** Full table number to public, -1: not public. */
  readonly tables: readonly number[]
  /** Full table and field number to public, -1: not public. */
  readonly fields: readonly (readonly number[])[]
  readonly tablesToFull: readonly number[]
  /** By full table number: public field number to full. */
  readonly fieldsToFull: readonly (readonly number[])[]
  /** By full table number: something in it goes to owners only. */
  readonly hasOwned: readonly boolean[]
  readonly anyOwned: boolean
  /**
   * Full table and field number to the number that the field has in the section in which the table's rows live, and in the servers' where those live in
   * another; -1: it is not in it.
   */
  readonly home: readonly (readonly number[])[]
  readonly servers: readonly (readonly number[])[]
}

const invert = (numbers: readonly number[]): number[] => {
  const inverse: number[] = []
  numbers.forEach((number, index) => { if (number >= 0) inverse[number] = index })
  return inverse
}

export function invertIndex({ tables }: FullTables, index: { tables: readonly number[]; fields: readonly (readonly number[])[] }): PublicIndex {
  const hasOwned = tables.map((table) => table.audience === 'owner' || table.fields.some((field) => field.audience === 'owner'))
  return {
    // Owner fields of public rows travel in their owner's section alone.
    home: tables.map(({ audience, fields }, table) => fields.map((field, number) => audience === 'server' ? number : field.audience === 'everyone' ? index.fields[table][number] : -1)),
    servers: tables.map(({ fields }) => fields.map(({ audience }, number) => audience === 'server' ? number : -1)),
    ...index, hasOwned, anyOwned: hasOwned.includes(true), tablesToFull: invert(index.tables), fieldsToFull: index.fields.map(invert),
  }
}
