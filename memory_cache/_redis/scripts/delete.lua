-- Deletes the session. That there was none is recorded too: a late retry of this operation
-- must not delete a session that was made since.

local reply, before = check()
if reply then
  return reply
end
if not before then
  return finish('', 0, 0)
end
local h = advance(before)
h.ttl = 0
local line = format(h)
publish('D', before, -1, line, {}, {})
redis.call('UNLINK', key)
return finish(line, h.first, h.next)
