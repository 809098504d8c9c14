-- Copies a slice of a session into a record that is written aside: its fields first, then its
-- blocks. The header and the record of the last PUT stay behind.
-- KEYS  1 session   2 staged record
-- ARGV  1 version it must have: 'inc num tag'   2 seq to begin at, 0: the fields too
--       3 seq to stop before, the first of a block   4 bytes of a slice   5 ms to keep it
-- Returns {seq to go on at, fields copied, 1: there is more}; {} if it has another version.

local key, SLICE = KEYS[1], 1000
local inc, num, tag, first = parts_of(redis.call('HGET', key, 'h') or '')
if not inc or inc .. ' ' .. num .. ' ' .. tag ~= ARGV[1] then
  return {}
end
local at, stop, room = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local pairs_, size = {}, 0
local function take(field)
  local value = redis.call('HGET', key, field)
  if value then
    pairs_[#pairs_ + 1] = field
    pairs_[#pairs_ + 1] = value
    size = size + #value
  end
  return value
end

if at == 0 then
  take('f')
  size = 0 -- or large fields would leave no room, and it would begin at 0 for ever
end
at = math.max(at, first)
while at < stop and size < room do
  local block, whole = math.floor(at / BLOCK), false
  if at == math.max(block * BLOCK, first) then
    take('t' .. block)
    take('d' .. block)
    whole = take('b' .. block)
  end
  if whole then
    at = (block + 1) * BLOCK
  elseif take('m' .. at) then
    at = at + 1
  else
    return redis.error_reply('MC_DAMAGED message')
  end
end
for from = 1, #pairs_, SLICE do
  redis.call('HSET', KEYS[2], unpack(pairs_, from, math.min(from + SLICE - 1, #pairs_)))
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return {at, #pairs_ / 2, at < stop and 1 or 0}
