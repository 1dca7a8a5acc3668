/** What a run ends with: the table of targets in the terminal, the page, and, of a run that measured, the summary in README.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { pageOf } from './page.js'
import { isSmoke, readReport, resultsFolder } from './report.js'
import { machineLine, markdownTable, textTable } from './table.js'

const report = readReport()
console.log(`\n${textTable(report)}\n`)
writeFileSync(`${resultsFolder}/report.html`, pageOf(report))
if (isSmoke) console.log('This was a smoke run: every part works; its figures say nothing.')
else {
  console.log(machineLine(report))
  const readme = readFileSync('README.md', 'utf8'), between = /(<!-- bench: made by `make bench` -->\n)[^]*?(\n<!-- end of bench -->)/
  writeFileSync('README.md', readme.replace(between, (_, head: string, tail: string) => `${head}${machineLine(report)}:\n\n${markdownTable(report)}${tail}`))
}
console.log(`results: ${resultsFolder}/latest.json, ${resultsFolder}/report.html`)
