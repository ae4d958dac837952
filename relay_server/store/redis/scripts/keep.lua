#!lua
-- Keep an envelope unless something is there (R37 to R42).
-- KEYS ticket, envelope, due, ended, wake; ARGV id, token_hash, expiry, now, tombstone, life of an index, envelope
local now, tombstone = tonumber(ARGV[4]), tonumber(ARGV[5])
local there = redis.call('HMGET', KEYS[1], 'state', 'token_hash', 'expiry')
if there[1] then
  local expiry = tonumber(there[3])
  if now < expiry + tombstone then
    local envelope = redis.call('GET', KEYS[2])
    if not envelope or expiry <= now then
      return {'gone', tonumber(there[1]), there[2], expiry, 1}
    end
    -- Written again as it is, so that WAIT waits for a replica that may have missed it.
    redis.call('HSET', KEYS[1], 'state', there[1])
    return {envelope == ARGV[7] and 'same' or 'other', tonumber(there[1]), there[2], expiry, 0}
  end
  -- The sweeper is late: the tombstone has ended (R20).
  redis.call('UNLINK', KEYS[1], KEYS[2])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
end
local expiry = tonumber(ARGV[3])
local life = math.max(1, expiry - now)
redis.call('SET', KEYS[2], ARGV[7], 'EX', life)
redis.call('HSET', KEYS[1], 'state', 0, 'token_hash', ARGV[2], 'expiry', ARGV[3])
redis.call('EXPIRE', KEYS[1], life + tombstone)
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('EXPIRE', KEYS[3], ARGV[6])
redis.call('SPUBLISH', KEYS[5], 'c')
return {'stored', 0, ARGV[2], expiry, 0}
