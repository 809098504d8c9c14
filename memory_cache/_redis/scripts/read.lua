-- Reads a contiguous run of n messages at one moment, in whole blocks: ceil(n / 64) + 1 at most.
--
-- KEYS  1 session
-- ARGV  1 'tail', 'before' or 'after'   2 how many   3 the seq of before or after
--       4 inc   5 edits   6 next   7 fields_num: what the reader has ('' nothing)
--       8 so many new messages the reader takes in place of all that it asks for
--       9 bytes of all blocks: what is more is left to plain commands, which cost far less
--
-- Returns {} if there is no session, else {header, ms left, fields ('' as the reader has
-- them), first seq, sidecar, bodies, sidecar, bodies, …}, one pair per block, of nils from the
-- first on that is too much.
--
-- Values are read together where they are wanted together: each command costs a script as much as
-- ten messages do.

local key = KEYS[1]
local line, fields
if ARGV[4] == '' then
  line, fields = unpack(redis.call('HMGET', key, 'h', 'f'))
else
  line = redis.call('HGET', key, 'h')
end
if not line and redis.call('EXISTS', key) == 0 then
  return {}
end
local inc, _, _, first, next_, edits, size, _, _, _, _, _, fields_num = parts_of(line or '')
-- Each block has a sidecar and a message at least; FEW of them need not be counted. What passes
-- bounds every loop over blocks, here and in whoever asks.
local FEW = 64
local blocks = inc and math.floor((next_ - 1) / BLOCK) - math.floor(first / BLOCK) + 1
if not inc or blocks > FEW and redis.call('HLEN', key) <= 2 * blocks then
  return redis.error_reply('MC_DAMAGED header')
end

local count, bound = tonumber(ARGV[2]), tonumber(ARGV[3])
local from, to = math.max(first, next_ - count), next_
if ARGV[1] == 'before' then
  to = math.max(first, math.min(next_, bound))
  from = math.max(first, to - count)
elseif ARGV[1] == 'after' then
  from = math.min(next_, math.max(first, bound + 1))
  to = math.min(next_, from + count)
elseif ARGV[4] == inc and tonumber(ARGV[5]) == edits and tonumber(ARGV[6]) <= next_
  and tonumber(ARGV[6]) >= math.max(first, next_ - math.max(count, tonumber(ARGV[8]))) then
  from = tonumber(ARGV[6])
end

if ARGV[4] == inc and tonumber(ARGV[7]) >= fields_num then
  fields = ''
else
  fields = fields or redis.call('HGET', key, 'f') or fields_num == 0 and '{}' or ''
  if fields == '' then
    return redis.error_reply('MC_DAMAGED fields')
  end
end

local reply = {line, redis.call('PTTL', key), fields, from}
if from >= to then
  return reply
end
local low, high = math.floor(from / BLOCK), math.floor((to - 1) / BLOCK)
reply[4] = math.max(low * BLOCK, first)

-- The sidecar of a block, and its messages.
local function names(block)
  local found, format = {'t' .. block}, string.format
  for seq = math.max(block * BLOCK, first), math.min((block + 1) * BLOCK, next_) - 1 do
    found[#found + 1] = format('m%d', seq)
  end
  return found
end

local function is_full(block)
  return (block + 1) * BLOCK <= next_
end

local room, measured = tonumber(ARGV[9]), size > tonumber(ARGV[9])
local function bytes(block)
  local whole = is_full(block) and redis.call('HSTRLEN', key, 'b' .. block) or 0
  if whole > 0 then
    return whole + redis.call('HSTRLEN', key, 't' .. block)
  end
  local sum = 0
  for _, name in ipairs(names(block)) do
    sum = sum + redis.call('HSTRLEN', key, name)
  end
  return sum
end

for block = low, high do
  if measured and room >= 0 then
    room = room - bytes(block)
  end
  local side, bodies = false, false
  if room >= 0 then
    if is_full(block) then
      side, bodies = unpack(redis.call('HMGET', key, 't' .. block, 'b' .. block))
    end
    if not bodies then
      local parts = redis.call('HMGET', key, unpack(names(block)))
      for i = 2, #parts do
        if not parts[i] then
          return redis.error_reply('MC_DAMAGED message')
        end
      end
      side, bodies = parts[1], table.concat(parts, '\n', 2)
    end
    if not side then
      return redis.error_reply('MC_DAMAGED block')
    end
  end
  reply[#reply + 1] = side
  reply[#reply + 1] = bodies
end
return reply
