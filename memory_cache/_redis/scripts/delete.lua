-- Deletes the session. That there was none is recorded too: a late retry of this operation
-- must not delete a session that was made since.

-- What cannot be read can be deleted, if nothing is expected of it. Its rings elsewhere learn of
-- it by the sweep: there is no version to announce.
local kind = redis.call('TYPE', key).ok
local damaged = kind ~= 'none' and (kind ~= 'hash' or not parse(redis.call('HGET', key, 'h') or ''))
if damaged and ARGV[6] == '' and not late() then
  redis.call('UNLINK', key)
end

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
beyond = false -- it goes with the rest
publish('D', -1, line, {}, {})
redis.call('UNLINK', key)
return finish(line, h.first, h.next)
