-- What all scripts share. wrk runs them from the root of the project:
--
--     BENCH_KEYS=keys.txt BENCH_CREDENTIAL=kw_vk_... wrk -t1 -c64 -d10s -s bench/traffic/verify.lua http://127.0.0.1:8080
--
-- BENCH_KEYS is the file that fill.lua writes, one API key a line: the key, its id, and its networks.
-- BENCH_CREDENTIAL is a verifier's, BENCH_TOKEN an access token. BENCH_SEED decides every random choice.
-- BENCH_POPULARITY=zipf, BENCH_ADDRESSES=new, BENCH_HEADS=new and BENCH_JUNK=share make traffic of another kind.

local common = { credential = os.getenv("BENCH_CREDENTIAL"), token = os.getenv("BENCH_TOKEN") }

math.randomseed(tonumber(os.getenv("BENCH_SEED") or "1"))

-- The keys of the file, or one of so many slices of it, the first of which is 0.
function common.keys(slices, slice)
  return common.keys_of(os.getenv("BENCH_KEYS"), slices or 1, slice or 0)
end

function common.keys_of(path, slices, slice)
  local keys, number = {}, 0
  for line in io.lines(path) do
    if number % slices == slice then
      local text, id, networks = line:match("^(%S+) (%S+) (.+)$")
      local begins = {}
      -- "10.0.7.0/24" begins "10.0.7.", and "2001:db8:7::/48" begins "2001:db8:7:".
      for each in networks:gmatch("%S+") do begins[#begins + 1] = each:gsub("([.:])[0:]/%d+$", "%1") end
      keys[#keys + 1] = { text = text, id = id, networks = begins }
    end
    number = number + 1
  end
  return keys
end

-- Gives a function that picks a key: each as often as any other, or, with BENCH_POPULARITY=zipf, the n-th one 1/n times as
-- often as the first. With BENCH_JUNK, that many per cent of the texts are no key: half of them a key of another database
-- (BENCH_UNKNOWN), with shape and checksum right, half of them a text of no shape; one per cent are keys that were revoked
-- (BENCH_REVOKED).
function common.picker()
  local keys = common.keys()
  local function pick() return keys[math.random(#keys)] end
  if os.getenv("BENCH_POPULARITY") == "zipf" then pick = common.zipf(keys) end
  if not os.getenv("BENCH_JUNK") then return pick end
  local junk = tonumber(os.getenv("BENCH_JUNK")) / 100
  local unknown = common.keys_of(os.getenv("BENCH_UNKNOWN"), 1, 0)
  local revoked = common.keys_of(os.getenv("BENCH_REVOKED"), 1, 0)
  return function()
    local chance = math.random()
    if chance >= junk + 0.01 then return pick() end
    if chance >= junk then return revoked[math.random(#revoked)] end
    -- The address is that of some customer, since failures are limited by network.
    if chance < junk / 2 then return { text = unknown[math.random(#unknown)].text, networks = pick().networks } end
    return { text = "sk_test_" .. math.random(100000000, 999999999), networks = pick().networks }
  end
end

function common.zipf(keys)
  local sums, sum = {}, 0
  for place = 1, #keys do
    sum = sum + 1 / place
    sums[place] = sum
  end
  return function()
    local wanted, low, high = math.random() * sum, 1, #keys
    while low < high do
      local middle = math.floor((low + high) / 2)
      if sums[middle] < wanted then low = middle + 1 else high = middle end
    end
    return keys[low]
  end
end

-- Gives a function for the last number of an address: always the same one, or any, with BENCH_ADDRESSES=new.
function common.host()
  if os.getenv("BENCH_ADDRESSES") == "new" then return function() return math.random(254) end end
  return function() return 7 end
end

-- Gives a function for more headers: none, or, with BENCH_HEADS=new, an id and a trace that no other request has.
function common.headers()
  if os.getenv("BENCH_HEADS") ~= "new" then return function() return "" end end
  local number = math.random(0x10000000, 0x7fffffff)
  return function()
    number = number + 1
    local id = string.format("%08x%08x", number % 0x100000000, math.random(0, 0x7fffffff))
    return "X-Request-Id: " .. id .. "\r\ntraceparent: 00-" .. id .. id .. "-" .. id .. "-01\r\n"
  end
end

-- An address of one of the key's networks; `host` is its last number. An IPv6 address is written with all its groups, as
-- clients have them.
function common.address(key, host)
  local begin = key.networks[math.random(#key.networks)]
  if begin:sub(-1) == "." then return begin .. host end
  return begin .. "1a2b:3c4d:5e6f:7081:" .. string.format("%x", 4096 + host)
end

function common.question(key, host)
  return '{"key":"' .. key.text .. '","client_ip":"' .. common.address(key, host) .. '","scopes":["reports:read"]}'
end

-- Gives a function that writes the request for a body.
function common.post(path, credential)
  local head = "POST " .. path .. " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " .. credential
    .. "\r\nContent-Type: application/json\r\nContent-Length: "
  return function(body, headers)
    return head .. #body .. "\r\n" .. (headers or "") .. "\r\n" .. body
  end
end

-- A question of a proxy about its client.
function common.proxied(key, host, uri, id)
  return "GET /forward-auth HTTP/1.1\r\nHost: bench\r\nX-Forwarded-Method: GET\r\nX-Keywright-Verifier: "
    .. common.credential .. "\r\nAuthorization: Bearer " .. key.text .. "\r\nX-Forwarded-For: "
    .. common.address(key, host) .. "\r\nX-Forwarded-Uri: " .. uri .. "\r\nX-Request-Id: bench-" .. id .. "\r\n\r\n"
end

function common.with_token(method, path)
  return method .. " " .. path .. " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " .. common.token .. "\r\n\r\n"
end

-- The keys are read: the program that runs wrk begins to count the seconds.
function init()
  io.write("loaded\n")
  io.flush()
end

-- No more keys: stop, and let the program that runs wrk know.
function common.finish()
  io.write("finished\n")
  io.flush()
  wrk.thread:stop()
end

-- With BENCH_SAMPLE, every one of BENCH_SAMPLES answers is looked at: the first valid one is written to that file, or the
-- first bad one. wrk is slower with it, so nothing is measured then. Where there is junk, a refusal is a good answer.
local sample = os.getenv("BENCH_SAMPLE")
if sample then
  local seen, written, wanted = 0, false, tonumber(os.getenv("BENCH_SAMPLES") or "100")
  function response(status, headers, body)
    local refused = body:find('"valid":false', 1, true)
    local bad = status >= 300 or (refused and not os.getenv("BENCH_JUNK"))
    seen = seen + 1
    if seen == wanted or bad then common.finish() end
    if (written or refused) and not bad then return end
    written = true
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
    common.forgiven and 0 or errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000
  ))
end

return common
