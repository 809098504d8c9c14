-- Deletes the session. That there was none is recorded too: a late retry of this operation
-- must not delete a session that was made since. And it is told: whoever still holds one that was
-- evicted, or deleted by hand, must not answer with it once it has been deleted for certain.

-- What cannot be read can be deleted, if nothing is expected of it.
local reply, h = check(ARGV[6] == '')
if reply then
  return reply
end
local existed = h ~= nil or redis.call('EXISTS', key) == 1
h = advance(h and h.num + 1 < MOST and h or nil)
h.ttl = 0
local line = format(h)
beyond = false -- it goes with the rest
permit('UNLINK', key)
publish('D', -1, line, h.next, {}, {})
redis.call('UNLINK', key)
if not existed then
  return finish('', 0, 0)
end
return finish(line, h.first, h.next)
