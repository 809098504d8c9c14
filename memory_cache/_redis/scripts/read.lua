#!lua flags=no-writes
-- Reads a contiguous run of n messages at one moment, in whole blocks: ceil(n / 64) + 1 at most.
--
-- KEYS  1 session
-- ARGV  1 'tail', 'before' or 'after'   2 how many   3 the seq of before or after
--       4 inc   5 edits   6 next   7 fields_num: what the reader has ('' nothing)
--       8 so many new messages the reader takes in place of all that it asks for
--
-- Returns {} if there is no session, else {header, ms left, fields ('' as the reader has
-- them), first seq, sidecar, bodies, sidecar, bodies, …}, one pair per block.

local key, BLOCK = KEYS[1], 64
local line = redis.call('HGET', key, 'h')
if not line then
  if redis.call('EXISTS', key) == 1 then
    return redis.error_reply('MC_DAMAGED header')
  end
  return {}
end
local form, inc, first, next_, edits, fields_num = string.match(line,
  '^(%S+) (%S+) %d+ %S+ (%d+) (%d+) (%d+) %d+ %d+ %d+ %d+ %d+ %d+ (%d+) %S+$')
if form ~= '1' then
  return redis.error_reply('MC_DAMAGED header')
end
first, next_ = tonumber(first), tonumber(next_)

local count, bound = tonumber(ARGV[2]), tonumber(ARGV[3])
local from, to = math.max(first, next_ - count), next_
if ARGV[1] == 'before' then
  to = math.max(first, math.min(next_, bound))
  from = math.max(first, to - count)
elseif ARGV[1] == 'after' then
  from = math.min(next_, math.max(first, bound + 1))
  to = math.min(next_, from + count)
elseif ARGV[4] == inc and ARGV[5] == edits and tonumber(ARGV[6]) <= next_
  and tonumber(ARGV[6]) >= math.max(first, next_ - math.max(count, tonumber(ARGV[8]))) then
  from = tonumber(ARGV[6])
end

local fields = ''
if ARGV[4] ~= inc or tonumber(ARGV[7]) < tonumber(fields_num) then
  fields = redis.call('HGET', key, 'f') or '{}'
end

local reply = {line, redis.call('PTTL', key), fields, string.format('%.0f', from)}
if from >= to then
  return reply
end
local low, high = math.floor(from / BLOCK), math.floor((to - 1) / BLOCK)
reply[4] = string.format('%.0f', math.max(low * BLOCK, first))
for block = low, high do
  local side, bodies = redis.call('HGET', key, 't' .. block), nil
  if (block + 1) * BLOCK <= next_ then
    bodies = redis.call('HGET', key, 'b' .. block)
  else
    local fields_ = {}
    for seq = math.max(block * BLOCK, first), next_ - 1 do
      fields_[#fields_ + 1] = 'm' .. string.format('%.0f', seq)
    end
    local parts = redis.call('HMGET', key, unpack(fields_))
    for i = 1, #parts do
      if not parts[i] then
        return redis.error_reply('MC_DAMAGED message')
      end
    end
    bodies = table.concat(parts, '\n')
  end
  if not side or not bodies then
    return redis.error_reply('MC_DAMAGED block')
  end
  reply[#reply + 1] = side
  reply[#reply + 1] = bodies
end
return reply
