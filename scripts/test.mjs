// Runs all tests; on Debian as root it first installs the browser that some of them drive. Ends with `N passed, N failed, N skipped`.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const browser = '/usr/bin/chromium'

function getBrowser() {
  if (existsSync(browser)) return
  const canInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')
  if (!canInstall) {
    console.log(`browser tests are skipped: ${browser} is missing; get it with: sudo apt-get install chromium`)
    return
  }
  console.log('installing chromium for the browser tests …')
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'ignore' })
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], { env, stdio: 'ignore' })
  } catch (error) {
    console.log(`browser tests are skipped: apt-get could not install chromium (${error.message.split('\n')[0]})`)
  }
}

getBrowser()
const folder = mkdtempSync(join(tmpdir(), 'kasagi-test-'))
const report = join(folder, 'report.json')
const { status } = spawnSync(process.execPath, [
  'node_modules/vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2),
], { stdio: 'inherit' })
let counts = { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 }
if (existsSync(report)) counts = JSON.parse(readFileSync(report, 'utf8'))
rmSync(folder, { recursive: true, force: true })
const failed = counts.numFailedTests === 0 && status !== 0 ? 1 : counts.numFailedTests
console.log(`${counts.numPassedTests} passed, ${failed} failed, ${counts.numPendingTests} skipped`)
process.exit(failed === 0 ? 0 : 1)
