-- Adds messages at the end (none is fine), and replaces the fields if they are given.
-- ARGV  16 count   17 bytes added   18 tokens added   19 a block that would have more bytes
--       keeps its messages apart   20.. sidecar lines, then bodies

local reply, h = check()
if reply then
  return reply
end
h = advance(h)
local count, from = tonumber(ARGV[16]), h.next
h.size, h.tokens, h.next = h.size + tonumber(ARGV[17]), h.tokens + tonumber(ARGV[18]), from + count
if h.size > tonumber(ARGV[11]) then
  return answer('full')
end

local EXACT = 2 ^ 53
local lines, bodies, pairs_, gone = {}, {}, {}, {}
for i = 1, count do
  lines[i], bodies[i] = ARGV[19 + i], ARGV[19 + count + i]
end

local function put(field, value)
  pairs_[#pairs_ + 1] = field
  pairs_[#pairs_ + 1] = value
end

-- One turn per block touched. A block that fills is sealed: its messages become one value.
local at = from
while at < h.next do
  local block = math.floor(at / BLOCK)
  local stop = math.min((block + 1) * BLOCK, h.next)
  local begin = math.max(block * BLOCK, h.first)
  local side = text(h.newest)
  if begin < at then
    side = redis.call('HGET', key, 't' .. block)
  end
  if not side then
    return redis.error_reply('MC_DAMAGED sidecar')
  end
  -- The first line: the largest time before the block, from which its times count, and the bytes
  -- of its messages while it fills. A block that would be too large for one value is not sealed.
  local first, size, rest = string.match(side, '^(%d+) ?(%d*)(.*)$')
  if not first then
    return redis.error_reply('MC_DAMAGED sidecar')
  end
  local since, kept = tonumber(first), {}
  size = tonumber(size) or 0
  for seq = at, stop - 1 do
    local head, moment, id = string.match(lines[seq - from + 1], '^(%a%d+) (%-?%d+)(.*)$')
    local time = tonumber(moment)
    local short = math.max(time, since) < EXACT and text(time - since) or '=' .. moment
    kept[#kept + 1] = '\n' .. head .. ' ' .. short .. id
    h.newest = math.max(h.newest, time)
    size = size + #bodies[seq - from + 1]
  end
  local full = stop == (block + 1) * BLOCK
  local sealed = full and size <= tonumber(ARGV[19])
  side = first .. (full and '' or ' ' .. text(size)) .. rest .. table.concat(kept)
  put('t' .. block, side)
  if sealed then
    local parts, fields = {}, {}
    for seq = begin, at - 1 do
      fields[#fields + 1] = 'm' .. seq
      gone[#gone + 1] = 'm' .. seq
    end
    if #fields > 0 then
      parts = redis.call('HMGET', key, unpack(fields))
    end
    for i = 1, #parts do
      if not parts[i] then
        return redis.error_reply('MC_DAMAGED message')
      end
    end
    for seq = at, stop - 1 do
      parts[#parts + 1] = bodies[seq - from + 1]
    end
    local whole = table.concat(parts, '\n')
    put('b' .. block, whole)
    if not string.find(side, '\ns', 1, true) then
      put('d' .. block, redis.sha1hex(whole))
    end
  else
    for seq = at, stop - 1 do
      put('m' .. seq, bodies[seq - from + 1])
    end
  end
  at = stop
end

if ARGV[12] == '1' then
  put('f', ARGV[13])
end
local line, ends = format(h), deadline(h)
put('h', line)
publish('A', ends, line, lines, bodies)
if #gone > 0 then
  redis.call('HDEL', key, unpack(gone))
end
sliced('HSET', pairs_)
remember()
expire(ends)
return finish(line, from, h.next)
