-- Deletes the session. That there was none is recorded too: a late retry of this operation
-- must not delete a session that was made since.

local reply, h = check()
if reply then
  return reply
end
if not h then
  return finish('', 0, 0)
end
h = advance(h)
h.ttl = 0
local line = format(h)
publish('D', -1, line, {}, {})
redis.call('UNLINK', key)
return finish(line, h.first, h.next)
