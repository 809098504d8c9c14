#!lua flags=allow-oom
-- Removes a stale entry of the index, if nobody has touched it since it was seen.
-- KEYS  1 sorted set   ARGV  1 member   2 score as it was seen

if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
