-- Creates BENCH_COUNT API keys, each bound to three networks of its own, or to none with BENCH_UNBOUND, and writes them
-- to the file BENCH_KEYS: the key, its id, and the first three numbers of each network.
local common = dofile("bench/traffic/common.lua")
local post = common.post("/api/v2/api-keys", common.token)
local count, unbound = tonumber(os.getenv("BENCH_COUNT")), os.getenv("BENCH_UNBOUND")
local sent, received, file = 0, 0, nil

local function network(number)
  return "10." .. math.floor(number / 256) % 256 .. "." .. number % 256
end

function request()
  local first = sent * 3
  sent = sent + 1
  local networks = '"' .. network(first) .. '.0/24","' .. network(first + 1) .. '.0/24","' .. network(first + 2) .. '.0/24"'
  return post('{"name":"Key ' .. 100000 + sent .. '","scopes":["reports:read","orders:write"],"allowed_ips":['
    .. (unbound and "" or networks) .. "]}")
end

function response(status, headers, body)
  if received == count then return end
  file = file or io.open(os.getenv("BENCH_KEYS"), "w")
  local key, id = body:match('"private_key":"([^"]+)"'), body:match('"id":"([^"]+)"')
  local a, b, c = body:match('"(10%.%d+%.%d+)%.0/24","(10%.%d+%.%d+)%.0/24","(10%.%d+%.%d+)%.0/24"')
  file:write(key, " ", id, " ", a or "10.0.0", " ", b or "10.0.1", " ", c or "10.0.2", "\n")
  received = received + 1
  if received == count then
    file:close()
    common.finish()
  end
end
