#!lua flags=no-writes
-- Bytes of each of some fields; 0 where there is none.
-- KEYS  1 session   ARGV  names of fields

local sizes = {}
for i = 1, #ARGV do
  sizes[i] = redis.call('HSTRLEN', KEYS[1], ARGV[i])
end
return sizes
