-- What all scripts share. wrk runs them from the root of the project:
--
--     BENCH_KEYS=keys.txt BENCH_CREDENTIAL=kw_vk_... wrk -t1 -c64 -d10s -s bench/traffic/verify.lua http://127.0.0.1:8080
--
-- BENCH_KEYS is the file that fill.lua writes, one API key a line: the key, its id, and its three networks.
-- BENCH_CREDENTIAL is a verifier's, BENCH_TOKEN an access token. BENCH_SEED decides every random choice.

local common = { credential = os.getenv("BENCH_CREDENTIAL"), token = os.getenv("BENCH_TOKEN") }

math.randomseed(tonumber(os.getenv("BENCH_SEED") or "1"))

function common.keys()
  local keys = {}
  for line in io.lines(os.getenv("BENCH_KEYS")) do
    local text, id, a, b, c = line:match("^(%S+) (%S+) (%S+) (%S+) (%S+)$")
    keys[#keys + 1] = { text = text, id = id, networks = { a, b, c } }
  end
  return keys
end

-- An address of one of the key's networks; `host` is its last number.
function common.address(key, host)
  return key.networks[math.random(3)] .. "." .. host
end

function common.question(key, host)
  return '{"key":"' .. key.text .. '","client_ip":"' .. common.address(key, host) .. '","scopes":["reports:read"]}'
end

-- Gives a function that writes the request for a body.
function common.post(path, credential)
  local head = "POST " .. path .. " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " .. credential
    .. "\r\nContent-Type: application/json\r\nContent-Length: "
  return function(body)
    return head .. #body .. "\r\n\r\n" .. body
  end
end

-- A question of a proxy about its client.
function common.proxied(key, host, uri, id)
  return "GET /forward-auth HTTP/1.1\r\nHost: bench\r\nX-Forwarded-Method: GET\r\nX-Keywright-Verifier: "
    .. common.credential .. "\r\nAuthorization: Bearer " .. key.text .. "\r\nX-Forwarded-For: "
    .. common.address(key, host) .. "\r\nX-Forwarded-Uri: " .. uri .. "\r\nX-Request-Id: bench-" .. id .. "\r\n\r\n"
end

function common.get(path, token)
  return "GET " .. path .. " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " .. token .. "\r\n\r\n"
end

-- No more keys: stop, and let the program that runs wrk know.
function common.finish()
  io.write("finished\n")
  io.flush()
  wrk.thread:stop()
end

-- With BENCH_SAMPLE, every one of a hundred answers is looked at: the first one is written to that file, or the first bad
-- one. wrk is slower with it, so nothing is measured then.
local sample = os.getenv("BENCH_SAMPLE")
if sample then
  local seen = 0
  function response(status, headers, body)
    local good = status < 300 and not body:find('"valid":false', 1, true)
    seen = seen + 1
    if seen == 100 or not good then common.finish() end
    if seen > 1 and good then return end
    local file = io.open(sample, "w")
    file:write(status, "\n")
    for name, value in pairs(headers) do file:write(name, ": ", value, "\n") end
    file:write("\n", body)
    file:close()
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers":%d,"microseconds":%d,"bad":%d,"p50":%f,"p99":%f,"p999":%f}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000
  ))
end

return common
