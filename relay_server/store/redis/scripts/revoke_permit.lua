#!lua flags=allow-oom
-- KEYS permits by hash, hashes by name; ARGV name
local hash = redis.call('HGET', KEYS[2], ARGV[1])
if not hash then
  -- Something is written and taken away again, so that WAIT waits for a replica that may have
  -- missed the revocation.
  redis.call('HSET', KEYS[2], ARGV[1], '')
  redis.call('HDEL', KEYS[2], ARGV[1])
  return 0
end
redis.call('HDEL', KEYS[1], hash)
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
