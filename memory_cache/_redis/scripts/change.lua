-- The part that every change begins with, after header; one of append, rewrite, delete, ask follows.
--
-- Order, in every change: the operation record, then the condition, then all other checks,
-- then the plan of what to write, and whether an ACL permits that. Then PUBLISH as the first effect
-- (an ACL may refuse it, and nothing leaves the server before the script ends), then the writes,
-- which cannot fail.
--
-- KEYS  1 session   2 operation record   3 staged record (rewrite only)
-- ARGV  1 publish command      2 channel              3 tag of this attempt
--       4 fingerprint          5 ms to keep record    6 condition: '', 'absent', 'inc num tag',
--                                                    or 'fields inc era fields_num'
--       7 ttl: '' as it is, '-1' forget it but keep the deadline, '0' none, else ms
--       8 '1': may create      9 inc if created      10 bytes a delta may carry
--      11 bytes a session may hold   12 '1': fields follow   13 fields   14 note   15 put record
--      16 ms since the epoch after which this attempt must not be carried out   17.. its own
--
-- Returns {status, tag, header, start, end, note}; status is done, replayed, reused, late (note:
-- our time in ms), mismatch (header: the current one or ''), missing or full.

local key, record = KEYS[1], KEYS[2]
local SLICE, SWEPT = 1000, 4096

-- Lua writes a number as a float: slowly, and from 1e14 on (times in microseconds) with an
-- exponent. So numbers are written as %d.
local function text(number)
  return string.format('%d', number)
end

-- Returns what a header line says; nil if it is none, or one that contradicts itself.
local function parse(line)
  local inc, num, tag, first, next_, edits, size, tokens, newest, updated, created, ttl,
    fields_num, eras = parts_of(line)
  return inc and {
    inc = inc, num = num, tag = tag, first = first, next = next_, edits = edits, size = size,
    tokens = tokens, newest = newest, updated = updated, created = created, ttl = ttl,
    fields_num = fields_num, eras = eras,
  }
end

-- Whether a header that a change would write is one.
local function sound(h)
  return agree(h.num, h.first, h.next, h.edits, h.size, h.tokens, h.newest, tonumber(h.updated),
    tonumber(h.created), h.ttl, h.fields_num)
end

local function format(h)
  return string.format('2 %s %d %s %d %d %d %d %d %d %s %s %d %d %s', h.inc, h.num, h.tag,
    h.first, h.next, h.edits, h.size, h.tokens, h.newest, h.updated, h.created, h.ttl,
    h.fields_num, h.eras)
end

-- Time stands still while a script runs.
local TIME = redis.call('TIME')
local NOW = TIME[1] .. string.format('%06d', TIME[2])
local NOW_MS = tonumber(TIME[1]) * 1000 + math.floor(tonumber(TIME[2]) / 1000)

-- The session keeps one era:num pair per reign of a primary; a version lost in a failover is
-- told from a kept one by them. The oldest of many reigns are let go.
local function reign(eras, num)
  local era = string.sub(string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)'), 1, 10)
  if eras == '' then
    return era .. ':' .. num
  end
  if string.match(eras, '(%w+):%d+$') == era then
    return eras
  end
  while #eras > 1000 do
    eras = string.match(eras, ',(.*)$')
  end
  return eras .. ',' .. era .. ':' .. num
end

local function answer(status, line, note)
  return {status, ARGV[3], line or '', '0', '0', note or ''}
end

-- A network may hold an attempt back until nobody remembers that another was carried out.
local function late()
  return NOW_MS > tonumber(ARGV[16])
end

local function sliced(command, list)
  for from = 1, #list, SLICE do
    redis.call(command, key, unpack(list, from, math.min(from + SLICE - 1, #list)))
  end
end

-- What is written of a large append before the header reaches it: 'tag slices deadline next
-- last': the attempt, how much of it is there and until when others wait for it, the seq it
-- begins at and the last block it touches so far. It counts on the version it began with, so
-- whoever makes another takes it away: nothing is left where later messages go.
local beyond = false

local function written(tag, slices)
  local whose, count = string.match(beyond or '', '^(%S+) (%d+) ')
  return whose == tag and count == slices
end

-- Whether the record of it, if there is one, is one to go by; `next_`: of the session now. Each
-- block that it names has a field at least, so no record makes anybody look for what is not there.
local function clear(next_)
  if not beyond then
    return true
  end
  local from, last = string.match(beyond, '^%S+ %d+ %d+ (%d+) (%d+)$')
  from, last = tonumber(from), tonumber(last)
  if not from or from < next_ or from >= MOST_MESSAGES then
    return false
  end
  local blocks = last - math.floor(from / BLOCK) + 1
  return blocks > 0 and blocks <= redis.call('HLEN', key)
end

-- Takes it away up to where a change reaches, and as much more as holds nobody up; the rest is
-- left for later changes. Returns whether all of it is gone.
local function sweep(reach)
  if not beyond then
    return true
  end
  local from, last = string.match(beyond, '^%S+ %d+ %d+ (%d+) (%d+)$')
  from, last = tonumber(from), tonumber(last)
  local block, gone = math.floor(from / BLOCK), {}
  while block <= last and (#gone < SWEPT or block * BLOCK <= reach) do
    local begin = math.max(block * BLOCK, from)
    gone[#gone + 1] = 'd' .. block
    if begin == block * BLOCK then
      gone[#gone + 1] = 't' .. block
    end
    if redis.call('HDEL', key, 'b' .. block) == 0 then
      for seq = begin, block * BLOCK + BLOCK - 1 do
        gone[#gone + 1] = 'm' .. seq
      end
    end
    block = block + 1
  end
  if block <= last then
    redis.call('HSET', key, 'w', table.concat({'-', 0, 0, block * BLOCK, last}, ' '))
  else
    gone[#gone + 1] = 'w'
  end
  sliced('HDEL', gone)
  return block > last
end

-- Returns a reply that ends the script, or nil and the header (nil: there is no session). One that
-- cannot be read is an error, or as none if nothing of it is wanted.
local function check(unwanted)
  local done = redis.call('GET', record)
  if done then
    local print_, from, to, line, note = string.match(done, '^(%S+) (%d+) (%d+) ([^\n]*)\n(.*)$')
    if not print_ then
      return redis.error_reply('MC_DAMAGED operation')
    elseif print_ ~= ARGV[4] then
      return answer('reused')
    end
    return {'replayed', ARGV[3], line, from, to, note}
  end
  if late() then
    return answer('late', '', text(NOW_MS))
  end
  local held = redis.pcall('HMGET', key, 'h', 'w')
  if held.err and not string.find(held.err, '^WRONGTYPE') then
    return held
  end
  local line = held[1]
  local h = line and parse(line) or nil
  beyond = held[2]
  if not h and (line or redis.call('EXISTS', key) == 1) then
    if unwanted then
      return nil
    end
    return redis.error_reply('MC_DAMAGED header')
  end
  local wanted = ARGV[6]
  if wanted ~= '' then
    local is = h and (h.inc .. ' ' .. h.num .. ' ' .. h.tag) or 'absent'
    local fields = h and table.concat({'fields', h.inc, string.match(h.eras, '(%w+):%d+$'), h.fields_num}, ' ')
    if is ~= wanted and fields ~= wanted then
      return answer('mismatch', line)
    end
  end
  if not h and ARGV[8] == '0' then
    return answer('missing')
  end
  return nil, h
end

-- The tag of the version before; set by advance.
local previous = '-'

-- Makes it the header after the change, but for what is the change's own.
local function advance(h)
  if h then
    previous = h.tag
  end
  h = h or {
    inc = ARGV[9], num = 0, first = 0, next = 0, edits = 0, size = 0, tokens = 0, newest = 0,
    created = NOW, ttl = 0, fields_num = 0, eras = '',
  }
  h.num, h.tag, h.updated = h.num + 1, ARGV[3], NOW
  h.eras = reign(h.eras, h.num)
  if ARGV[7] == '-1' then
    h.ttl = 0
  elseif ARGV[7] ~= '' then
    h.ttl = tonumber(ARGV[7])
  end
  if ARGV[12] == '1' then
    h.fields_num = h.num
  end
  return h
end

-- The deadline after the change, in ms since the epoch; -1: none.
local function deadline(h)
  if h.ttl > 0 then
    return NOW_MS + h.ttl
  end
  if previous ~= '-' and ARGV[7] ~= '0' then
    return redis.call('PEXPIRETIME', key)
  end
  return -1
end

local function left(at)
  return at < 0 and -1 or math.max(0, at - NOW_MS)
end

-- A permission may have been taken away since the worker began, and what is refused in the middle
-- leaves a part of the change behind. So it is asked for what a change sends, before its first effect.
local function permit(command, ...)
  if not redis.acl_check_cmd(command, ...) then
    local text = "NOPERM the user has no permissions to run the '%s' command"
    error({err = string.format(text, string.lower(command))})
  end
end

local function publish(kind, at, line, next_, lines, bodies)
  local count, fields = 0, ARGV[12] == '1'
  local size = fields and #ARGV[13] or 0
  for i = 1, #bodies do
    size = size + #bodies[i]
  end
  if kind == 'A' and size > tonumber(ARGV[10]) then
    kind, fields = 'C', false
  end
  local parts = {}
  if kind == 'A' then
    count = #bodies
  else
    fields = false
  end
  parts[1] = string.format('%s %s %d %d %d', kind, previous, left(at), count, fields and 1 or 0)
  parts[2] = line
  if fields then
    parts[3] = ARGV[13]
  end
  if count > 0 then
    parts[#parts + 1] = table.concat(lines, '\n')
    parts[#parts + 1] = table.concat(bodies, '\n')
  end
  permit('SET', record, '')
  if beyond then
    permit('HDEL', key, 'w')
    permit('HSET', key, 'w', '')
  end
  if at >= 0 then
    permit('PEXPIREAT', key, '1')
  elseif ARGV[7] == '0' then
    permit('PERSIST', key)
  end
  redis.call(ARGV[1], ARGV[2], table.concat(parts, '\n'))
  sweep(next_)
end

local function finish(line, from, to)
  local result = string.format('%s %d %d %s', ARGV[4], from, to, line)
  redis.call('SET', record, result .. '\n' .. ARGV[14], 'PX', ARGV[5])
  return {'done', ARGV[3], line, text(from), text(to), ARGV[14]}
end

-- What the worker wants to remember of a whole-transcript PUT; it is right for this version only.
local function remember()
  if ARGV[15] ~= '' then
    redis.call('HSET', key, 'p', ARGV[3] .. ' ' .. ARGV[15])
  end
end

local function expire(at)
  if at >= 0 then
    redis.call('PEXPIREAT', key, at)
  elseif ARGV[7] == '0' then
    redis.call('PERSIST', key)
  end
end
