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

local key = KEYS[1]
local line = redis.call('HGET', key, 'h')
if not line and redis.call('EXISTS', key) == 0 then
  return {}
end
local h = parse(line or '')
if not h or not has_room(key, h) then
  return redis.error_reply('MC_DAMAGED header')
end
local first, next_ = h.first, h.next

local count, bound = tonumber(ARGV[2]), tonumber(ARGV[3])
local from, to = math.max(first, next_ - count), next_
if ARGV[1] == 'before' then
  to = math.max(first, math.min(next_, bound))
  from = math.max(first, to - count)
elseif ARGV[1] == 'after' then
  from = math.min(next_, math.max(first, bound + 1))
  to = math.min(next_, from + count)
elseif ARGV[4] == h.inc and tonumber(ARGV[5]) == h.edits and tonumber(ARGV[6]) <= next_
  and tonumber(ARGV[6]) >= math.max(first, next_ - math.max(count, tonumber(ARGV[8]))) then
  from = tonumber(ARGV[6])
end

local fields = ''
if ARGV[4] ~= h.inc or tonumber(ARGV[7]) < h.fields_num then
  fields = redis.call('HGET', key, 'f') or h.fields_num == 0 and '{}' or ''
  if fields == '' then
    return redis.error_reply('MC_DAMAGED fields')
  end
end

local reply = {line, redis.call('PTTL', key), fields, string.format('%.0f', from)}
if from >= to then
  return reply
end
local low, high = math.floor(from / BLOCK), math.floor((to - 1) / BLOCK)
reply[4] = string.format('%.0f', math.max(low * BLOCK, first))

local function messages(block)
  local names = {}
  for seq = math.max(block * BLOCK, first), math.min((block + 1) * BLOCK, next_) - 1 do
    names[#names + 1] = 'm' .. string.format('%.0f', seq)
  end
  return names
end

local room, measured = tonumber(ARGV[9]), h.size > tonumber(ARGV[9])
local function bytes(block)
  local sum = 0
  if (block + 1) * BLOCK <= next_ then
    sum = redis.call('HSTRLEN', key, 'b' .. block)
  end
  if sum == 0 then
    for _, name in ipairs(messages(block)) do
      sum = sum + redis.call('HSTRLEN', key, name)
    end
  end
  return sum + redis.call('HSTRLEN', key, 't' .. block)
end

for block = low, high do
  if measured and room >= 0 then
    room = room - bytes(block)
  end
  local side, bodies = false, false
  if room >= 0 then
    side = redis.call('HGET', key, 't' .. block)
    if (block + 1) * BLOCK <= next_ then
      bodies = redis.call('HGET', key, 'b' .. block)
    end
    if not bodies then
      local parts = redis.call('HMGET', key, unpack(messages(block)))
      for i = 1, #parts do
        if not parts[i] then
          return redis.error_reply('MC_DAMAGED message')
        end
      end
      bodies = table.concat(parts, '\n')
    end
    if not side then
      return redis.error_reply('MC_DAMAGED block')
    end
  end
  reply[#reply + 1] = side
  reply[#reply + 1] = bodies
end
return reply
