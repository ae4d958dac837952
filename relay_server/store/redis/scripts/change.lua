#!lua flags=allow-oom
-- Raise a ticket's state (R65 to R68).
-- KEYS ticket, envelope, due, ended, wake; ARGV id, state, expiry, now, tombstone, life of an index
local there = redis.call('HMGET', KEYS[1], 'state', 'token_hash', 'expiry')
if not there[1] then return false end
local now, tombstone = tonumber(ARGV[4]), tonumber(ARGV[5])
local state, expiry = tonumber(there[1]), tonumber(there[3])
if now >= expiry + tombstone then return false end
local wanted = tonumber(ARGV[2])
local lives = expiry > now and redis.call('EXISTS', KEYS[2]) == 1
if not lives or state >= wanted then
  -- Written again as it is, so that WAIT waits for a replica that may have missed it.
  redis.call('HSET', KEYS[1], 'state', state)
  return {0, state, there[2], expiry, lives and 0 or 1}
end
redis.call('HSET', KEYS[1], 'state', wanted)
if wanted == 3 then
  redis.call('UNLINK', KEYS[2])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZADD', KEYS[4], expiry, ARGV[1])
  redis.call('EXPIRE', KEYS[4], ARGV[6])
else
  expiry = math.min(expiry, tonumber(ARGV[3]))
  local life = math.max(1, expiry - now)
  redis.call('HSET', KEYS[1], 'expiry', expiry)
  redis.call('EXPIRE', KEYS[1], life + tombstone)
  redis.call('EXPIRE', KEYS[2], life)
  redis.call('ZADD', KEYS[3], expiry, ARGV[1])
end
redis.call('SPUBLISH', KEYS[5], 'c')
return {1, wanted, there[2], expiry, wanted == 3 and 1 or 0}
