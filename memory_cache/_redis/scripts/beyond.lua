-- Writes a slice of a large append beyond `next`, where nobody looks before the header says so
-- (rewrite lets it). Follows change, for its functions; its arguments are its own.
-- KEYS  1 session
-- ARGV  1 version it must have: 'inc num tag'   2 tag of this attempt   3 slices before this one
--       4 ms after which others need not wait   5 last block that the slice touches   6.. pairs
-- Returns 1; 0 if somebody was faster; -1 while another large append is being written, or what
-- is left of one is in the way.

local held = redis.call('HMGET', key, 'h', 'w')
local h = held[1] and parse(held[1])
if not h or h.inc .. ' ' .. h.num .. ' ' .. h.tag ~= ARGV[1] then
  return 0
end
beyond = held[2]
if not clear(h.next) then
  return redis.error_reply('MC_DAMAGED beyond')
end
if ARGV[3] == '0' then
  local left_ms = beyond and tonumber(string.match(beyond, '^%S+ %d+ (%d+)')) - NOW_MS or 0
  -- More than anybody is waited for: the clock was set back, or it is not what was written.
  if left_ms > 0 and left_ms <= tonumber(ARGV[4]) then
    return -1
  end
  if not sweep(0) then
    return -1
  end
elseif not written(ARGV[2], ARGV[3]) then
  return 0
end
local pairs_ = {}
for i = 6, #ARGV do
  pairs_[#pairs_ + 1] = ARGV[i]
end
pairs_[#pairs_ + 1] = 'w'
pairs_[#pairs_ + 1] = table.concat({ARGV[2], ARGV[3] + 1, text(NOW_MS + ARGV[4]), h.next, ARGV[5]}, ' ')
sliced('HSET', pairs_)
return 1
