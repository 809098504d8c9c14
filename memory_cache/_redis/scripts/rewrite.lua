-- Edits: the worker planned the fields of the record, this puts them in place at once.
-- ARGV  16 '1': drop everything first   17 first   18 next   19 size   20 token count
--       21 largest created_at   22 start   23 end   24 > 0: KEYS[3] holds so many fields
--       25 count of fields to remove, those, then pairs to write

local reply, h = check()
if reply then
  return reply
end
local edits = h and h.edits + 1 or 0
h = advance(h)
h.edits = edits
h.first, h.next, h.size = tonumber(ARGV[17]), tonumber(ARGV[18]), tonumber(ARGV[19])
h.tokens, h.newest = tonumber(ARGV[20]), tonumber(ARGV[21])
local whole, staged = ARGV[16] == '1', tonumber(ARGV[24]) > 0
-- A key that expired between two slices would hold the later ones only.
if staged and redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[24]) then
  return redis.error_reply('MC_STAGED the staged record expired')
end
local fields = ARGV[12] == '1' and ARGV[13] or redis.call('HGET', key, 'f') or '{}'
local gone, pairs_ = {}, {}
local at = 25 + tonumber(ARGV[25])
for i = 26, at do
  gone[#gone + 1] = ARGV[i]
end
for i = at + 1, #ARGV do
  pairs_[#pairs_ + 1] = ARGV[i]
end

local line, ends = format(h), deadline(h)
publish('C', ends, line, {}, {})
if whole then
  redis.call('UNLINK', key)
end
if staged then
  redis.call('RENAME', KEYS[3], key)
  redis.call('PERSIST', key)
end
sliced('HDEL', gone)
sliced('HSET', pairs_)
redis.call('HSET', key, 'h', line, 'f', fields)
remember()
expire(ends)
return finish(line, tonumber(ARGV[22]), tonumber(ARGV[23]))
