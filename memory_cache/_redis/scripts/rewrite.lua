-- Edits: the worker planned the fields of the record, this puts them in place at once.
-- ARGV  15 '1': drop everything first   16 first   17 next   18 size   19 token count
--       20 largest created_at   21 start   22 end   23 '1': KEYS[3] holds the messages
--       24 count of fields to remove, those, then pairs to write

local reply, h = check()
if reply then
  return reply
end
local edits = h and h.edits + 1 or 0
h = advance(h)
h.edits = edits
h.first, h.next, h.size = tonumber(ARGV[16]), tonumber(ARGV[17]), tonumber(ARGV[18])
h.tokens, h.newest = tonumber(ARGV[19]), tonumber(ARGV[20])
local whole, staged = ARGV[15] == '1', ARGV[23] == '1'
if staged and redis.call('EXISTS', KEYS[3]) == 0 then
  return redis.error_reply('MC_STAGED the staged record expired')
end
local fields = ARGV[12] == '1' and ARGV[13] or redis.call('HGET', key, 'f') or '{}'
local gone, pairs_ = {}, {}
local at = 24 + tonumber(ARGV[24])
for i = 25, at do
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
expire(ends)
return finish(line, tonumber(ARGV[21]), tonumber(ARGV[22]))
