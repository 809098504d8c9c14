-- Adds messages at the end (none is fine), and replaces the fields if they are given.
-- ARGV  17 count   18 bytes added   19 tokens added   20 a block that would have more bytes
--       keeps its messages apart   21.. lines of what is known beside messages, then bodies

local reply, h = check()
if reply then
  return reply
end
local count = tonumber(ARGV[17])
local function there(kind, number)
  return redis.call('HEXISTS', key, kind .. text(number)) == 1
end

-- Nothing is added behind a hole, or over what is there already: what the header says of the end
-- must be so. Where messages are added within a block, more is looked at below.
local function ends_there(last)
  local block = math.floor(last / BLOCK)
  if (last + 1) % BLOCK > 0 then
    return there('m', last) and (count > 0 or beyond or not there('m', last + 1))
  end
  return (there('b', block) or there('m', last)) and (beyond or not there('t', block + 1))
end
if h and not clear(h.next) then
  return redis.error_reply('MC_DAMAGED beyond')
elseif h and h.next > h.first and not ends_there(h.next - 1) then
  return redis.error_reply('MC_DAMAGED end')
end
h = advance(h)
local from, held = h.next, h.size
h.size, h.tokens, h.next = h.size + tonumber(ARGV[18]), h.tokens + tonumber(ARGV[19]), from + count
if h.size > tonumber(ARGV[11]) then
  return answer('full')
end

local lines, bodies, pairs_, gone = {}, {}, {}, {}
for i = 1, count do
  lines[i], bodies[i] = ARGV[20 + i], ARGV[20 + count + i]
end

local function put(field, value)
  pairs_[#pairs_ + 1] = field
  pairs_[#pairs_ + 1] = value
end

-- Returns the microseconds from one time to another in hex, or the other as it is.
local EXACT = 2 ^ 53
local function since(last, moment)
  local past, now = tonumber(last), tonumber(moment)
  if math.max(math.abs(past), math.abs(now)) >= EXACT then
    return '=' .. moment
  elseif now < past then
    return string.format('-%x', past - now)
  end
  return string.format('%x', now - past)
end

-- One turn per block touched. A block that fills is sealed: its messages become one value.
local at = from
while at < h.next do
  local block = math.floor(at / BLOCK)
  local stop = math.min((block + 1) * BLOCK, h.next)
  local begin = math.max(block * BLOCK, h.first)
  -- See _sidecar.py. A block that would be too large for one value is not sealed.
  local first, size, last, rest = text(h.newest), 0, text(h.newest), ''
  if begin < at then
    local found = redis.call('HMGET', key, 't' .. block, 'm' .. text(at))
    first, size, last, rest = string.match(found[1] or '', '^(%d+) (%d+) (%-?%d+)(\n.+)$')
    size = tonumber(size)
    -- The first block that is held has all that the header counts, any other has not.
    if not first or found[2] and not beyond or size > held or begin == h.first and size < held
      or tonumber(first) > h.newest or tonumber(last) > h.newest then
      return redis.error_reply('MC_DAMAGED sidecar')
    end
  end
  local kept = {}
  for seq = at, stop - 1 do
    local kind, tokens, moment, id =
      string.match(lines[seq - from + 1], '^(%a)(%d+) (%-?%d+)(.*)$')
    kept[#kept + 1] = string.format('\n%s%x %s%s', kind == 'v' and '' or kind, tokens, since(last, moment), id)
    h.newest = math.max(h.newest, tonumber(moment))
    size, last = size + #bodies[seq - from + 1], moment
  end
  local full = stop == (block + 1) * BLOCK
  local sealed = full and size <= tonumber(ARGV[20])
  local side = first .. (full and '' or ' ' .. text(size) .. ' ' .. last) .. rest .. table.concat(kept)
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
    if #whole - #parts + 1 ~= size then
      return redis.error_reply('MC_DAMAGED message')
    end
    put('b' .. block, whole)
    if not string.find(side, '\n[us]') then
      put('d' .. block, redis.sha1hex(whole))
    end
  else
    for seq = at, stop - 1 do
      put('m' .. seq, bodies[seq - from + 1])
    end
  end
  at = stop
end

-- A number that was at its bound already lied; one more would make the header none.
if not sound(h) then
  return redis.error_reply('MC_DAMAGED header')
end
if ARGV[12] == '1' then
  put('f', ARGV[13])
end
local line, ends = format(h), deadline(h)
put('h', line)
permit('HSET', key, 'h', '')
if #gone > 0 then
  permit('HDEL', key, 'h')
end
publish('A', ends, line, h.next, lines, bodies)
if #gone > 0 then
  redis.call('HDEL', key, unpack(gone))
end
sliced('HSET', pairs_)
remember()
expire(ends)
return finish(line, from, h.next)
