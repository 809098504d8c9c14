-- Edits: the worker planned the fields of the record, this puts them in place at once.
-- ARGV  17 '1': drop everything first   18 first   19 next   20 size   21 token count
--       22 largest created_at   23 start   24 end   25 > 0: KEYS[3] holds so many fields
--       26 version it was planned on: '' any, 'absent', 'inc num tag'; the fields of such a
--          one are in KEYS[3] already
--       27 '1': an append, which is no edit   28 > 0: so many slices of it stand beyond `next`
--       29 count of fields to remove, those, then pairs to write
-- Status beside those of changes: crossed (somebody was faster; nothing was done).

local staged = tonumber(ARGV[25]) > 0
local reply, h = check()
local current = h and (h.inc .. ' ' .. h.num .. ' ' .. h.tag) or 'absent'
local continues = tonumber(ARGV[28]) > 0
if not reply and (ARGV[26] ~= '' and ARGV[26] ~= current or continues and not written(ARGV[3], ARGV[28])) then
  reply = answer('crossed')
end
if not reply and h and ARGV[17] ~= '1' and not clear(h.next) then
  reply = redis.error_reply('MC_DAMAGED beyond')
end
if reply then
  if staged then
    redis.call('UNLINK', KEYS[3])
  end
  return reply
end
local edits = h and h.edits + (ARGV[27] == '1' and 0 or 1) or 0
h = advance(h)
h.edits = edits
h.first, h.next, h.size = tonumber(ARGV[18]), tonumber(ARGV[19]), tonumber(ARGV[20])
h.tokens, h.newest = tonumber(ARGV[21]), tonumber(ARGV[22])
-- They were reckoned from a header that may have lied.
if not sound(h) then
  if staged then
    redis.call('UNLINK', KEYS[3])
  end
  return redis.error_reply('MC_DAMAGED header')
end
-- A key that expired between two slices would hold the later ones only.
if staged and redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[25]) then
  return redis.error_reply('MC_STAGED the staged record expired')
end
local gone, pairs_ = {}, {}
if continues then
  gone[1] = 'w'
end
if continues or ARGV[17] == '1' then
  beyond = false
end
local at = 29 + tonumber(ARGV[29])
for i = 30, at do
  gone[#gone + 1] = ARGV[i]
  -- A block that is not there in one piece is there in messages, or not at all.
  local block = string.match(ARGV[i], '^b(%d+)$')
  if block and redis.call('HEXISTS', key, ARGV[i]) == 0 then
    for seq = block * BLOCK, block * BLOCK + BLOCK - 1 do
      gone[#gone + 1] = 'm' .. seq
    end
  end
end
for i = at + 1, #ARGV do
  pairs_[#pairs_ + 1] = ARGV[i]
end
local line, ends = format(h), deadline(h)
pairs_[#pairs_ + 1] = 'h'
pairs_[#pairs_ + 1] = line
if ARGV[12] == '1' or ARGV[26] == '' then
  pairs_[#pairs_ + 1] = 'f'
  pairs_[#pairs_ + 1] = ARGV[12] == '1' and ARGV[13] or redis.call('HGET', key, 'f') or '{}'
end

permit('HSET', key, 'h', '')
permit('HDEL', key, 'h')
permit('UNLINK', key)
permit('RENAME', key, key)
permit('PERSIST', key)
publish('C', ends, line, h.next, {}, {})
if ARGV[17] == '1' then
  redis.call('UNLINK', key)
end
if staged then
  redis.call('RENAME', KEYS[3], key)
  redis.call('PERSIST', key)
end
sliced('HDEL', gone)
sliced('HSET', pairs_)
remember()
expire(ends)
return finish(line, tonumber(ARGV[23]), tonumber(ARGV[24]))
