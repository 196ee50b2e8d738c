-- KEYS: lease, sequence. ARGV: token, life in ms. Returns the fence, or 0 while another holds it.
-- A repeated call with the same token (its answer was lost) returns the same fence.
local held = redis.call('HMGET', KEYS[1], 'token', 'fence')
if held[1] == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(held[2])
end
if held[1] then return 0 end
local t = redis.call('TIME')
local n = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, t[1] * 1000000 + t[2])
local text = string.format('%.0f', n)
redis.call('SET', KEYS[2], text)
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'fence', text)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return n
