-- Edits: the worker planned the fields of the record, this puts them in place at once.
-- ARGV  16 '1': drop everything first   17 first   18 next   19 size   20 token count
--       21 largest created_at   22 start   23 end   24 > 0: KEYS[3] holds so many fields
--       25 version it was planned on: '' any, 'absent', 'inc num tag'; the fields of such a
--          one are in KEYS[3] already
--       26 '1': an append, which is no edit   27 > 0: so many slices of it stand beyond `next`
--       28 count of fields to remove, those, then pairs to write
-- Status beside those of changes: crossed (somebody was faster; nothing was done).

local staged = tonumber(ARGV[24]) > 0
local reply, h = check()
local current = h and (h.inc .. ' ' .. h.num .. ' ' .. h.tag) or 'absent'
local continues = tonumber(ARGV[27]) > 0
if not reply and (ARGV[25] ~= '' and ARGV[25] ~= current or continues and not written(ARGV[3], ARGV[27])) then
  reply = answer('crossed')
end
if reply then
  if staged then
    redis.call('UNLINK', KEYS[3])
  end
  return reply
end
local edits = h and h.edits + (ARGV[26] == '1' and 0 or 1) or 0
h = advance(h)
h.edits = edits
h.first, h.next, h.size = tonumber(ARGV[17]), tonumber(ARGV[18]), tonumber(ARGV[19])
h.tokens, h.newest = tonumber(ARGV[20]), tonumber(ARGV[21])
-- A key that expired between two slices would hold the later ones only.
if staged and redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[24]) then
  return redis.error_reply('MC_STAGED the staged record expired')
end
local gone, pairs_ = {}, {}
if continues then
  gone[1] = 'w'
end
if continues or ARGV[16] == '1' then
  beyond = false
end
local at = 28 + tonumber(ARGV[28])
for i = 29, at do
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
if ARGV[12] == '1' or ARGV[25] == '' then
  pairs_[#pairs_ + 1] = 'f'
  pairs_[#pairs_ + 1] = ARGV[12] == '1' and ARGV[13] or redis.call('HGET', key, 'f') or '{}'
end

publish('C', ends, line, {}, {})
if ARGV[16] == '1' then
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
return finish(line, tonumber(ARGV[22]), tonumber(ARGV[23]))
