#!lua flags=allow-oom
-- Publishes a nonce on the write path. A script that may write, and has a key: a demoted
-- primary, one without its replicas and a failed cluster all take a bare PUBLISH, and refuse
-- this.
-- KEYS  1 store epoch   ARGV  1 publish command   2 channel   3 nonce   4 epoch if there is none
-- Returns {receivers, epoch, replication id}

local epoch = redis.call('GET', KEYS[1])
if not epoch then
  epoch = ARGV[4]
  redis.call('SET', KEYS[1], epoch)
end
local receivers = redis.call(ARGV[1], ARGV[2], ARGV[3])
return {receivers, epoch, string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')}
