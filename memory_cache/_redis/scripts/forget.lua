#!lua flags=allow-oom
-- Brings entries of the index in line with their sessions: those of a session that is gone are
-- removed, and of one that is there the deadline is put right. In one step: a session that is made
-- afterwards is entered again by who made it.
--
-- KEYS  for each session: its record, its sets by id and by activity, its sets by deadline
-- ARGV  for each session: its member, how many sets by id and by activity, how many by deadline

local GONE, FOREVER = -2, -1
local before = 0

for at = 1, #ARGV, 3 do
  local member, active, deadlines = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local deadline = redis.call('PEXPIRETIME', KEYS[before + 1])
  for set = before + 2, before + 1 + active + deadlines do
    local is_active = set <= before + 1 + active
    if deadline == GONE or (deadline == FOREVER and not is_active) then
      redis.call('ZREM', KEYS[set], member)
    elseif not is_active then
      redis.call('ZADD', KEYS[set], 'XX', deadline, member)
    end
  end
  before = before + 1 + active + deadlines
end
return 0
