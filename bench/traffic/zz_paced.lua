local common = dofile("bench/traffic/common.lua")
local keys = common.keys()
local post = common.post("/api/v2/api-keys/verify", common.credential)
local pause = tonumber(os.getenv("BENCH_PAUSE") or "0")
function request()
  return post(common.question(keys[math.random(#keys)], math.random(254)))
end
if pause > 0 then
  function delay() return pause end
end
