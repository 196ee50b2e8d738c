-- KEYS: sequence. Returns its next number, which follows the server's clock in microseconds.
local t = redis.call('TIME')
local n = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, t[1] * 1000000 + t[2])
redis.call('SET', KEYS[1], string.format('%.0f', n))
return n
