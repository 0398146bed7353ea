-- Creates BENCH_COUNT API keys, each bound to BENCH_NETWORKS networks of its own, of BENCH_FAMILY 4 or 6, and writes
-- them to the file BENCH_KEYS: the key, its id, and its networks, or any three where it is bound to none.
-- BENCH_LIMITED per cent of them have a rate limit, which they never reach.
local common = dofile("bench/traffic/common.lua")
local post = common.post("/api/v2/api-keys", common.token)
local count, bound = tonumber(os.getenv("BENCH_COUNT")), tonumber(os.getenv("BENCH_NETWORKS"))
local six, limited = os.getenv("BENCH_FAMILY") == "6", tonumber(os.getenv("BENCH_LIMITED"))
local limit = '[{"name":"minute","limit":1000000,"window_seconds":60}]'
local sent, received, file = 0, 0, nil

local function network(number)
  if six then return string.format("2001:db8:%x::/48", number + 1) end
  return string.format("%d.%d.%d.0/24", 10 + math.floor(number / 65536), math.floor(number / 256) % 256, number % 256)
end

function request()
  local networks = {}
  for place = 1, bound do networks[place] = '"' .. network(sent * bound + place - 1) .. '"' end
  sent = sent + 1
  return post('{"name":"Key ' .. 100000 + sent .. '","scopes":["reports:read","orders:write"],"allowed_ips":['
    .. table.concat(networks, ",") .. '],"rate_limits":' .. (sent % 100 < limited and limit or "[]") .. "}")
end

-- A creation that a busy machine turned away is made again.
common.forgiven = true

function response(status, headers, body)
  if received == count or status ~= 201 then return end
  file = file or io.open(os.getenv("BENCH_KEYS"), "w")
  local key, id = body:match('"private_key":"([^"]+)"'), body:match('"id":"([^"]+)"')
  local networks = {}
  for each in body:match('"allowed_ips":%[([^%]]*)%]'):gmatch('[^",]+') do networks[#networks + 1] = each end
  if bound == 0 then networks = { network(0), network(1), network(2) } end
  file:write(key, " ", id, " ", table.concat(networks, " "), "\n")
  received = received + 1
  if received == count then
    file:close()
    common.finish()
  end
end
