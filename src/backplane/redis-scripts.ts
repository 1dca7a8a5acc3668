/**
 * What happens inside Redis: one script per kind of write, each over one room's keys only (KEYS in the order of `roomKeys`, so that a cluster finds them in
 * one slot). Redis runs a script whole or not at all, and nothing beside it: the check of the epoch and the write that it guards cannot be parted.
 * A script answers with a list that begins with a word: `ok`, what was asked for, or the code of a refusal, in which case nothing was written.
 *
 * Numbers are decimal text. Lua's are doubles, exact below 2^53, as ours.
 */
import { createHash } from 'node:crypto'

export interface Script { readonly text: string; readonly sha: string }

const script = (text: string): Script => ({ text, sha: createHash('sha1').update(text).digest('hex') })

/** Keys and channel of a room, as KEYS[1] to KEYS[5]. */
export const roomKeys = (roomId: string): [epoch: string, owner: string, snapshot: string, ops: string, channel: string] => {
  const room = `room:{${roomId}}:`
  return [`${room}epoch`, `${room}owner`, `${room}snapshot`, `${room}ops`, `${room}channel`]
}

/** The directory of a type. */
export const directoryKey = (type: string): string => `rooms:{${type}}`

/** Stored numbers: what is absent counts as 0; nil for what is no number of ours. */
const numberOf = `
local function numberOf(text)
  if not text then return 0 end
  if #text > 16 or not string.match(text, '^%d+$') then return nil end
  local number = tonumber(text)
  return number < 9007199254740992 and number or nil
end
`

/** A refusal: the last epoch granted, and who holds the lease. */
const stale = `
local function stale(epoch) return {'stale', epoch or '0', redis.call('HGET', KEYS[2], 'instance') or '0'} end
`

/** Refuses who does not hold the last epoch granted. */
const fence = `${stale}
local known = redis.call('HGET', KEYS[1], 'epoch')
if known ~= ARGV[1] then return stale(known) end
`

/**
 * A new epoch above `stored` and `seen`, with the bits of the instance in ARGV[2] and the random step of ARGV[6] ahead; and the lease that goes with it,
 * for ARGV[5].
 */
const grant = `
local function grant(stored, seen, version, seq)
  local time = redis.call('TIME')
  local high = math.max(math.floor(stored / 1024) + 1, math.floor(seen / 1024) + 1, time[1] * 1000 + math.floor(time[2] / 1000)) + ARGV[6]
  local epoch = high * 1024 + ARGV[2] % 1024
  if epoch >= 9007199254740992 then return {'data-bad', 'epoch'} end
  local text = string.format('%.0f', epoch)
  redis.call('HSET', KEYS[1], 'epoch', text, 'version', version)
  redis.call('HDEL', KEYS[1], 'logged', 'released')
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'instance', ARGV[2], 'epoch', text, 'seq', seq)
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  return {'granted', text}
end
`

export const scripts = {
  /**
   * ARGV: what may be taken, instance, seen, version, leaseMs, the random step. Granted: the epoch, the one granted before, and epoch and seq of the
   * snapshot and of the log's last record, empty for what is absent; and the epoch that `remove` ended.
   */
  claim: script(`${numberOf}${grant}
local known = redis.call('HMGET', KEYS[1], 'epoch', 'version', 'released', 'ended')
local stored = redis.call('HMGET', KEYS[3], 'epoch', 'seq', 'version', 'by')
local lease, leftMs = redis.call('HMGET', KEYS[2], 'instance', 'epoch', 'seq'), redis.call('PTTL', KEYS[2])
local entry = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]
local logEpoch, logSeq = string.match(entry and entry[1] or '', '^(%d+)%-(%d+)$')
local granted, run, ended = numberOf(known[1]), numberOf(known[2]), numberOf(known[4])
local written, at, wrote, by = numberOf(stored[1]), numberOf(stored[2]), numberOf(stored[3]), numberOf(stored[4])
local last, top = numberOf(logEpoch), numberOf(logSeq)
if not (granted and run and ended and written and at and wrote and by and last and top) then return {'data-bad', 'epoch'} end
if lease[1] then
  for part = 1, 3 do if not lease[part] or not numberOf(lease[part]) then return {'data-bad', 'lease'} end end
  if leftMs < 0 then return {'data-bad', 'lease'} end
  if leftMs > tonumber(ARGV[5]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[5])
    leftMs = ARGV[5]
  end
  if lease[1] ~= ARGV[2] then return {'held', lease[1], lease[2], lease[3], tostring(leftMs)} end
end
local isFree = granted == 0 or known[3] or lease[1]
if ARGV[1] == 'nothing' or ARGV[1] == 'free' and not isFree then return {'unowned', known[1] or '0'} end
local version = math.max(run, wrote)
if version > tonumber(ARGV[4]) then return {'version-older', string.format('%.0f', version)} end
local answer = grant(math.max(granted, written, by, last), tonumber(ARGV[3]), ARGV[4], '0')
if answer[1] ~= 'granted' then return answer end
return {'granted', answer[2], known[1] or '0', stored[1] or '', stored[2] or '', logEpoch or '', logSeq or '', known[4] or '0'}
`),

  /**
   * ARGV: epoch, instance, seq, version, leaseMs. A Redis without memory refuses a script whose first write is HSET, not one that begins with PEXPIRE: so
   * owners keep their rooms.
   */
  renew: script(`${numberOf}${stale}
local known = redis.call('HMGET', KEYS[1], 'epoch', 'version')
local answer = 'renewed'
if known[1] == ARGV[1] then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
if known[1] ~= ARGV[1] then
  local epoch, version = numberOf(known[1]), numberOf(known[2])
  if not epoch or not version then return {'data-bad', 'epoch'} end
  if epoch > tonumber(ARGV[1]) then return stale(known[1]) end
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', string.format('%.0f', math.max(version, tonumber(ARGV[4]))))
  redis.call('HDEL', KEYS[1], 'logged')
  answer = 'restored'
end
redis.call('HSET', KEYS[2], 'instance', ARGV[2], 'epoch', ARGV[1], 'seq', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('HDEL', KEYS[1], 'released')
return {answer}
`),

  /** ARGV: epoch. A log of which a snapshot has everything goes, too: what was logged last the epoch's key knows. */
  release: script(`${fence}
redis.call('DEL', KEYS[2])
if redis.call('TYPE', KEYS[4]).ok == 'stream' and redis.call('XLEN', KEYS[4]) == 0 then redis.call('DEL', KEYS[4]) end
redis.call('HSET', KEYS[1], 'released', '1')
return {'ok'}
`),

  /** ARGV: epoch, the instance that gets it, seq, version, leaseMs, the random step. */
  handOver: script(`${numberOf}${grant}${fence}
local version = numberOf(redis.call('HGET', KEYS[1], 'version'))
if not version then return {'data-bad', 'version'} end
if version > tonumber(ARGV[4]) then return {'version-older', string.format('%.0f', version)} end
return grant(tonumber(ARGV[1]), 0, ARGV[4], ARGV[3])
`),

  /** ARGV: epoch, seq, record, 'log', 'channel' or 'both'. */
  publish: script(`${stale}
local known = redis.call('HMGET', KEYS[1], 'epoch', 'logged')
if known[1] ~= ARGV[1] then return stale(known[1]) end
if ARGV[4] ~= 'channel' then
  if known[2] then
    local last, seq = tonumber(known[2]), tonumber(ARGV[2])
    if not last then return {'data-bad', 'logged'} end
    if seq <= last then return {'log-older', known[2]} end
    if seq > last + 1 then return {'log-gap', known[2]} end
  end
  local added = redis.pcall('XADD', KEYS[4], ARGV[1] .. '-' .. ARGV[2], 'data', ARGV[3])
  if added.err then return string.find(added.err, 'equal or smaller', 1, true) and {'log-older', ''} or added end
  redis.call('HSET', KEYS[1], 'logged', ARGV[2])
end
if ARGV[4] ~= 'log' then redis.call('PUBLISH', KEYS[5], ARGV[3]) end
return {'ok'}
`),

  /** ARGV: epoch of the owner, then the snapshot's seq, epoch, tick, ts, version, lineage, hash, data. */
  store: script(`${numberOf}${fence}
local stored = redis.call('HMGET', KEYS[3], 'by', 'seq')
local by, seq, logged = numberOf(stored[1]), numberOf(stored[2]), numberOf(redis.call('HGET', KEYS[1], 'logged'))
local kind = redis.call('TYPE', KEYS[4]).ok
if not by or not seq or not logged or kind ~= 'stream' and kind ~= 'none' then return {'data-bad', 'snapshot or log'} end
if by > tonumber(ARGV[1]) or by == tonumber(ARGV[1]) and seq > tonumber(ARGV[2]) then return stale(stored[1]) end
redis.call('HSET', KEYS[3], 'by', ARGV[1], 'seq', ARGV[2], 'epoch', ARGV[3], 'tick', ARGV[4], 'ts', ARGV[5], 'version', ARGV[6], 'lineage', ARGV[7],
  'hash', ARGV[8], 'data', ARGV[9])
redis.call('XTRIM', KEYS[4], 'MINID', ARGV[1] .. '-' .. string.format('%.0f', ARGV[2] + 1))
if tonumber(ARGV[2]) >= logged then redis.call('HSET', KEYS[1], 'logged', ARGV[2]) end
return {'ok'}
`),

  /** ARGV: epoch. */
  remove: script(`${fence}
redis.call('UNLINK', KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], 'ended', ARGV[1])
redis.call('HDEL', KEYS[1], 'logged')
return {'ok'}
`),

  /** ARGV: the largest data, the longest lineage. */
  load: script(`
if redis.call('HSTRLEN', KEYS[3], 'data') > tonumber(ARGV[1]) then return {'data-bad', 'data'} end
if redis.call('HSTRLEN', KEYS[3], 'lineage') > tonumber(ARGV[2]) then return {'data-bad', 'lineage'} end
return redis.call('HMGET', KEYS[3], 'epoch', 'seq', 'tick', 'ts', 'version', 'hash', 'lineage', 'data')
`),

  /** ARGV: the id to begin behind, records and bytes at most (and 8 records more). A flat list: id, fields and values as Redis has them. */
  readLog: script(`
local all, bytes, start = {}, 0, '(' .. ARGV[1]
while #all < tonumber(ARGV[2]) and bytes < tonumber(ARGV[3]) do
  local page = redis.call('XRANGE', KEYS[4], start, '+', 'COUNT', 8)
  for _, entry in ipairs(page) do
    all[#all + 1] = entry
    bytes = bytes + #(entry[2][2] or '')
    start = '(' .. entry[1]
  end
  if #page < 8 then break end
end
return all
`),

  /** KEYS: a claimed number. ARGV: whose it is, for how long. Takes it if it is free. */
  keepNumber: script(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {'lost'} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'ok'}
`),

  /** KEYS: a claimed number. ARGV: whose it was. */
  giveNumber: script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return {'ok'}
`),

  /** KEYS: a type's directory. ARGV: room, the rest of its entry, ms that it is good for. */
  enlist: script(`
local time = redis.call('TIME')
local untilMs = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], '{"until":' .. untilMs .. ',' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'ok'}
`),

  /** KEYS: a type's directory. ARGV: room, a part of the entry that shows whose it is. */
  delist: script(`
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry and string.find(entry, ARGV[2], 1, true) then redis.call('HDEL', KEYS[1], ARGV[1]) end
return {'ok'}
`),

  /** KEYS: a type's directory. ARGV: entries at most. Answers with the time in ms, then rooms and entries in turn. */
  list: script(`
local time = redis.call('TIME')
local all = redis.call('HRANDFIELD', KEYS[1], ARGV[1], 'WITHVALUES')
table.insert(all, 1, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return all
`),
} as const
